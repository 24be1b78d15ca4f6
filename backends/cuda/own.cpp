#include "cuda/own.hpp"

#include <lull/backend.hpp>

#include "common/machine_memory.hpp"
#include "common/pci_address.hpp"

namespace lull::backends {
namespace {

/// As NVML and nvidia-smi write it.
/// @param prefix "GPU-" or "MIG-"
std::string to_text(const CUuuid& uuid, std::string_view prefix) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text{prefix};
  for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace

cuda_own::cuda_own(const cuda_api& api, std::chrono::milliseconds retry)
    : api_(api), telemetry_(retry) {
  api_.check(api_.driver_init(0), api_.driver_init.name);
  int count = 0;
  api_.check(api_.get_device_count(&count), api_.get_device_count.name);
  for (int ordinal = 0; ordinal < count; ++ordinal) devices_.push_back(inspect(ordinal));
}

int cuda_own::attribute(CUdevice device, CUdevice_attribute which) const {
  int value = 0;
  // An attribute that an older driver does not know is one the device does not have.
  const CUresult result = api_.device_attribute(&value, which, device);
  if (result == CUDA_ERROR_INVALID_VALUE) return 0;
  api_.check(result, api_.device_attribute.name);
  return value;
}

std::unique_ptr<cuda_own::device_state> cuda_own::inspect(int ordinal) const {
  CUdevice driver_device = 0;
  api_.check(api_.device_get(&driver_device, ordinal), api_.device_get.name);
  auto device = std::make_unique<device_state>(api_, driver_device);
  api_.check(api_.device_name(device->name, sizeof device->name - 1, device->driver_device),
             api_.device_name.name);
  CUuuid uuid{};
  api_.check(api_.device_uuid(&uuid, device->driver_device), api_.device_uuid.name);
  // Of a slice of a GPU this is the slice's own (cuda.h, cuDeviceGetUuid_v2), and its name says
  // what it is: "NVIDIA A100-SXM4-40GB MIG 1g.5gb".
  device->slice = std::string_view{device->name}.find(" MIG ") != std::string_view::npos;
  device->identity.uuid = to_text(uuid, device->slice ? "MIG-" : "GPU-");
  device->identity.pci_address = pci_address_of(api_, api_.get_pci_address, ordinal);
  device->shared = attribute(device->driver_device, CU_DEVICE_ATTRIBUTE_MPS_ENABLED) != 0;
  device->integrated = attribute(device->driver_device, CU_DEVICE_ATTRIBUTE_INTEGRATED) != 0;
  device->stable_addresses =
      attribute(device->driver_device, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) !=
      0;
  device->pools = attribute(device->driver_device, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED) != 0;
  device->read_only_registration =
      attribute(device->driver_device, CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED) != 0;
  return device;
}

void cuda_own::describe(std::uint32_t device, lull_backend_device& facts) const {
  const device_state& state = *devices_[device];
  if (state.integrated) facts.type = LULL_DEVICE_INTEGRATED;
  if (state.stable_addresses) facts.capabilities |= LULL_CAP_STABLE_ADDRESSES;
  if (state.pools) facts.capabilities |= LULL_CAP_POOLS;
  // CRIU's plugin for CUDA, README: neither slices can be checkpointed, nor what is shared by MPS.
  if (state.slice || state.shared) facts.capabilities &= ~std::uint64_t{LULL_CAP_SUSPEND};
  if (state.read_only_registration) facts.capabilities |= LULL_CAP_READ_ONLY_REGISTRATION;
  // NVIDIA's own executable graph cache counts 10 KB a kernel node (NVIDIA/cccl pull request 3768).
  facts.graph_node_bytes = 10 << 10;
  copy_text(facts.description, state.name);
  copy_text(facts.pci_address, state.identity.pci_address);
  copy_text(facts.uuid, state.identity.uuid);
}

void cuda_own::observe(std::uint32_t device, lull_backend_memory& out) {
  const device_state& state = *devices_[device];
  const bool active = state.primary.is_active();
  telemetry_.observe(state.identity, active, state.held_bytes(), out);
  if (out.total_bytes != LULL_UNKNOWN) return;
  if (state.integrated) {
    // NVML does not support the question where GPU and CPU share their memory; the kernel knows.
    if (const auto system = read_machine_memory()) {
      out.source = LULL_SOURCE_KERNEL;
      out.total_bytes = system->total_bytes;
      out.free_bytes = system->available_bytes;
    }
    return;
  }
  if (active) ask_runtime(state, out);
}

std::vector<lull_backend_process> cuda_own::processes(std::uint32_t device) {
  return telemetry_.processes(devices_[device]->identity);
}

/// The driver's own figures. Only with a live context: without one it would make one.
void cuda_own::ask_runtime(const device_state& device, lull_backend_memory& out) const {
  device.primary.ask_within([&] {
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    const bool known = api_.memory_info(&free_bytes, &total_bytes) == CUDA_SUCCESS;
    if (!known || total_bytes == 0) return;
    out.source = LULL_SOURCE_RUNTIME;
    out.total_bytes = total_bytes;
    out.free_bytes = free_bytes;
  });
}

void cuda_own::created(std::uint32_t device, std::uint64_t handle, std::uint64_t bytes) {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.held_mutex);
  state.held.insert_or_assign(handle, bytes);
}

void cuda_own::destroyed(std::uint32_t device, std::uint64_t handle) noexcept {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.held_mutex);
  state.held.erase(handle);
}

std::uint64_t cuda_own::device_state::held_bytes() const {
  const std::lock_guard lock(held_mutex);
  std::uint64_t sum = 0;
  for (const auto& [handle, bytes] : held) sum += bytes;
  return sum;
}

lull_tristate cuda_own::context_alive(std::uint32_t device) const {
  return devices_[device]->primary.is_active() ? LULL_TRISTATE_YES : LULL_TRISTATE_NO;
}

void cuda_own::reset(std::uint32_t device) {
  devices_[device]->primary.reset();
}

}  // namespace lull::backends
