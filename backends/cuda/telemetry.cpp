#include "cuda/telemetry.hpp"

#include <lull/backend.hpp>

#include <algorithm>
#include <vector>

namespace lull::backends {

/// Initializes NVML once. It is never shut down: another user of it in this process may count on it.
bool cuda_telemetry::ready() {
  const std::lock_guard lock(mutex_);
  if (tried_) return ready_;
  api_.emplace();
  ready_ = api_->needed && api_->init() == nvml::success;
  tried_ = true;
  return ready_;
}

std::optional<nvml::device> cuda_telemetry::find(const target& device) const {
  nvml::device found = nullptr;
  // A slice of a GPU shares the PCI address with the other slices, and only the UUID tells it apart.
  const bool slice = device.uuid.starts_with("MIG-");
  const int result = slice ? api_->by_uuid(device.uuid.c_str(), &found)
                           : api_->by_pci_address(device.pci_address.c_str(), &found);
  if (result != nvml::success) return std::nullopt;
  return found;
}

int cuda_telemetry::list_processes(nvml::device device,
                                   std::vector<nvml::process_info>& processes) const {
  processes.resize(32);
  int result = nvml::insufficient_size;
  // The list can grow between the call that asks for its size and the one that fetches it.
  for (int attempt = 0; attempt < 4 && result == nvml::insufficient_size; ++attempt) {
    auto count = static_cast<unsigned>(processes.size());
    result = api_->compute_processes(device, &count, processes.data());
    processes.resize(result == nvml::insufficient_size ? std::size_t{count} + 32 : count);
  }
  return result;
}

std::optional<std::uint64_t> cuda_telemetry::used_by_process(nvml::device device,
                                                             bool has_context) {
  if (!api_->processes) return std::nullopt;
  std::vector<nvml::process_info> processes;
  if (list_processes(device, processes) != nvml::success) return std::nullopt;

  std::optional<std::uint64_t> listed;
  for (const nvml::process_info& each : processes) {
    if (each.pid != static_cast<unsigned>(self_.id())) continue;
    if (each.used_gpu_memory == nvml::value_not_available) return std::nullopt;
    listed = listed.value_or(0) + each.used_gpu_memory;
  }
  return self_.judge(listed, has_context);
}

std::vector<lull_backend_process> cuda_telemetry::processes(const target& device) {
  if (!ready() || !api_->processes) {
    throw backend_failure(LULL_ERROR_UNSUPPORTED, "", 0,
                          "the NVML of this machine is missing or too old to list processes");
  }
  if (device.uuid.starts_with("MIG-")) {
    throw backend_failure(LULL_ERROR_UNSUPPORTED, "", 0,
                          "the processes of a slice are listed with its parent only, which takes "
                          "privileges");
  }
  const auto handle = find(device);
  if (!handle) throw backend_failure(LULL_ERROR_NOT_FOUND, "", 0, "NVML knows no such device");
  std::vector<nvml::process_info> listed;
  if (const int result = list_processes(*handle, listed); result != nvml::success) {
    const bool refused = result == nvml::not_supported || result == nvml::no_permission;
    throw backend_failure(refused ? LULL_ERROR_UNSUPPORTED : LULL_ERROR_BACKEND,
                          api_->compute_processes.name, result, api_->error_string(result));
  }
  std::vector<lull_backend_process> processes;
  for (const nvml::process_info& each : listed) {
    const bool known = each.used_gpu_memory != nvml::value_not_available;
    processes.push_back({each.pid, known ? each.used_gpu_memory : LULL_UNKNOWN});
  }
  return processes;
}

void cuda_telemetry::observe(const target& device, bool has_context, lull_backend_memory& out) {
  if (!ready()) return;
  const auto handle = find(device);
  if (!handle) return;
  nvml::memory memory{};
  if (api_->memory_info(*handle, &memory) == nvml::success) {
    out.source = LULL_SOURCE_MANAGEMENT;
    out.total_bytes = memory.total;
    out.free_bytes = memory.free;
  }
  // On a slice the list of its parent would be needed, which takes privileges.
  if (device.uuid.starts_with("MIG-")) return;
  if (const auto used = used_by_process(*handle, has_context)) {
    out.source = LULL_SOURCE_MANAGEMENT;
    out.used_by_process_bytes = *used;
  }
}

}  // namespace lull::backends
