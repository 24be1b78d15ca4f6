#ifndef LULL_BACKENDS_HIP_TELEMETRY_HPP
#define LULL_BACKENDS_HIP_TELEMETRY_HPP

#include <lull/backend.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/own_process.hpp"

namespace lull::backends {

/// Looks at device memory through the files of AMD's kernel driver, which need no context and no
/// privileges:
///
/// - bus/pci/devices/<address>/mem_info_vram_{total,used}: the whole device, in bytes
///   (amdgpu_vram_mgr.c in the kernel);
/// - class/kfd/kfd/proc/<pid>/vram_<gpu id>: one process (kfd_process.c), by the id that
///   class/kfd/kfd/topology/nodes/<n>/gpu_id gives the device. Nodes are matched by PCI address,
///   never by index. Partitions of one GPU share it, and then nothing is known of any of them.
class hip_telemetry {
 public:
  /// @param sysfs where the tree is mounted, "/sys"
  explicit hip_telemetry(std::filesystem::path sysfs) : sysfs_(std::move(sysfs)) {}

  /// Fills in what the files say and leaves the rest as it is.
  void observe(const std::string& pci_address, bool has_context, lull_backend_memory& out);

  /// What this process holds on the device; nothing when that cannot be known.
  [[nodiscard]] std::optional<std::uint64_t> held(const std::string& pci_address, bool has_context);

  /// The processes that hold memory of the device. The driver also lists who only has it open;
  /// those are left out.
  /// @throws backend_failure where the files are missing
  [[nodiscard]] std::vector<lull_backend_process> processes(const std::string& pci_address) const;

 private:
  /// More than one where the GPU is in partitions.
  [[nodiscard]] std::vector<std::string> kfd_ids(const std::string& pci_address) const;

  std::filesystem::path sysfs_;
  own_process self_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_HIP_TELEMETRY_HPP
