#ifndef LULL_BACKENDS_CUDA_TELEMETRY_HPP
#define LULL_BACKENDS_CUDA_TELEMETRY_HPP

#include <lull/backend.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/own_process.hpp"
#include "cuda/nvml.hpp"

namespace lull::backends {

/// Looks at device memory through NVML, which needs no context. Loaded and initialized with the first
/// question, because that can hang.
class cuda_telemetry {
 public:
  struct target {
    std::string pci_address;
    std::string uuid;  ///< "GPU-..." or "MIG-..."
  };

  /// Fills in what NVML knows and leaves the rest as it is.
  /// @param has_context whether this process has a context on the device
  void observe(const target& device, bool has_context, lull_backend_memory& out);

  /// The processes with a context on the device.
  /// @throws backend_failure where NVML is missing, too old, or refuses to say
  [[nodiscard]] std::vector<lull_backend_process> processes(const target& device);

 private:
  [[nodiscard]] bool ready();
  [[nodiscard]] std::optional<nvml::device> find(const target& device) const;
  /// @return NVML's code; with `success` all entries are filled in
  [[nodiscard]] int list_processes(nvml::device device,
                                   std::vector<nvml::process_info>& processes) const;
  [[nodiscard]] std::optional<std::uint64_t> used_by_process(nvml::device device, bool has_context);

  std::mutex mutex_;
  bool tried_ = false;
  bool ready_ = false;
  std::optional<nvml::api> api_;
  own_process self_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_CUDA_TELEMETRY_HPP
