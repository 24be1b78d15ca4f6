#include "cuda/telemetry.hpp"

#include <lull/backend.hpp>

#include <algorithm>
#include <cstring>
#include <vector>

namespace lull::backends {

namespace {

/// Stands where NVML has written nothing.
constexpr unsigned char untouched = 0xA5;

/// How far apart the entries of a list lie, by how much of the room for it was written to.
/// @return nothing when that is no size we know
std::optional<std::size_t> entry_bytes(const std::vector<unsigned char>& room, std::size_t count) {
  const auto last = std::find_if(room.rbegin(), room.rend(),
                                 [](unsigned char each) { return each != untouched; });
  const auto written = static_cast<std::size_t>(room.rend() - last);
  // The last 8 bytes of an entry are written in both, so there is no mistaking one for the other.
  for (const std::size_t size : {nvml::process_info_bytes, nvml::longer_process_info_bytes}) {
    if (written <= size * count && written + 8 > size * count) return size;
  }
  return std::nullopt;
}

/// A process id that the kernel can give (proc(5): pid_max is at most 2^22).
bool is_process_id(unsigned id) noexcept {
  return id != 0 && id <= (1u << 22);
}

}  // namespace

bool cuda_telemetry::ready() {
  return start_.ready([this] {
    api_.emplace();
    return api_->needed && api_->init() == nvml::success;
  });
}

std::optional<nvml::device> cuda_telemetry::find(const target& device) const {
  nvml::device found = nullptr;
  // A slice of a GPU shares the PCI address with the other slices, and only the UUID tells it
  // apart.
  const bool slice = device.uuid.starts_with("MIG-");
  const int result = slice ? api_->by_uuid(device.uuid.c_str(), &found)
                           : api_->by_pci_address(device.pci_address.c_str(), &found);
  if (result != nvml::success) return std::nullopt;
  return found;
}

int cuda_telemetry::list_processes(nvml::device device,
                                   std::vector<nvml::process_info>& processes) const {
  std::size_t capacity = 32;
  std::vector<unsigned char> room;
  unsigned count = 0;
  int result = nvml::insufficient_size;
  // The list can grow between the call that asks for its size and the one that fetches it.
  for (int attempt = 0; attempt < 4 && result == nvml::insufficient_size; ++attempt) {
    room.assign(capacity * nvml::longer_process_info_bytes, untouched);
    count = static_cast<unsigned>(capacity);
    result =
        api_->compute_processes(device, &count, reinterpret_cast<nvml::process_info*>(room.data()));
    if (result == nvml::insufficient_size) capacity = std::size_t{count} + 32;
  }
  processes.clear();
  if (result != nvml::success || count == 0) return result;

  const auto size = count <= capacity ? entry_bytes(room, count) : std::nullopt;
  processes.resize(size ? count : 0);
  for (std::size_t i = 0; i < processes.size(); ++i) {
    std::memcpy(&processes[i], room.data() + i * *size, sizeof processes[i]);
  }
  if (!size || !std::all_of(processes.begin(), processes.end(),
                            [](const auto& each) { return is_process_id(each.pid); })) {
    throw backend_failure(LULL_ERROR_UNSUPPORTED, api_->compute_processes.name, result,
                          "the entries of its list are not of a size that this version knows");
  }
  return result;
}

std::optional<std::uint64_t> cuda_telemetry::used_by_process(nvml::device device,
                                                             bool has_context) {
  if (!api_->processes) return std::nullopt;
  std::vector<nvml::process_info> processes;
  try {
    if (list_processes(device, processes) != nvml::success) return std::nullopt;
  } catch (const backend_failure&) {
    return std::nullopt;
  }

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

void cuda_telemetry::observe(const target& device, bool has_context, std::uint64_t held_bytes,
                             lull_backend_memory& out) {
  if (!ready()) return;
  const auto handle = find(device);
  if (!handle) return;
  nvml::memory memory{};
  // Where the GPU shares the host's memory it may succeed and answer nothing.
  if (api_->memory_info(*handle, &memory) == nvml::success && memory.total != 0) {
    out.source = LULL_SOURCE_MANAGEMENT;
    out.total_bytes = memory.total;
    out.free_bytes = memory.free;
  }
  // On a slice the list of its parent would be needed, which takes privileges.
  if (device.uuid.starts_with("MIG-")) return;
  const auto used = used_by_process(*handle, has_context);
  if (used && *used >= held_bytes) {
    out.source = LULL_SOURCE_MANAGEMENT;
    out.used_by_process_bytes = *used;
  }
}

}  // namespace lull::backends
