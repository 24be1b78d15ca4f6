#ifndef LULL_BACKENDS_CUDA_TELEMETRY_HPP
#define LULL_BACKENDS_CUDA_TELEMETRY_HPP

#include <lull/backend.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/management_start.hpp"
#include "common/own_process.hpp"
#include "cuda/nvml.hpp"

namespace lull::backends {

/// Looks at device memory through NVML, which needs no context. Loaded and initialized with the
/// first question, because that can hang.
class cuda_telemetry {
 public:
  /// @param retry after how long NVML is asked again when it did not start
  explicit cuda_telemetry(std::chrono::milliseconds retry) : start_(retry) {}

  struct target {
    std::string pci_address;
    std::string uuid;  ///< "GPU-..." or "MIG-..."
  };

  /// Fills in what NVML knows and leaves the rest as it is.
  /// @param has_context whether this process has a context on the device
  /// @param held_bytes what this process is known to hold there; a list that says less is not
  ///        believed
  void observe(const target& device, bool has_context, std::uint64_t held_bytes,
               lull_backend_memory& out);

  /// The processes with a context on the device.
  /// @throws backend_failure where NVML is missing, too old, or refuses to say
  [[nodiscard]] std::vector<lull_backend_process> processes(const target& device);

 private:
  [[nodiscard]] bool ready();
  [[nodiscard]] std::optional<nvml::device> find(const target& device) const;
  /// @return NVML's code; with `success` all entries are filled in
  /// @throws backend_failure when the entries are of a size that we do not know
  [[nodiscard]] int list_processes(nvml::device device,
                                   std::vector<nvml::process_info>& processes) const;
  [[nodiscard]] std::optional<std::uint64_t> used_by_process(nvml::device device, bool has_context);

  management_start start_;
  std::optional<nvml::api> api_;
  own_process self_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_CUDA_TELEMETRY_HPP
