#include "hip/own.hpp"

#include <lull/backend.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <optional>

#include "common/pci_address.hpp"

namespace lull::backends {
namespace {

/// hipDeviceAttributeVirtualMemoryManagementSupported, which follows the pools' attribute in the
/// headers of ROCm 5.3 and later. An older runtime does not know it and answers with an error.
constexpr auto attribute_stable_addresses =
    static_cast<hipDeviceAttribute_t>(hipDeviceAttributeMemoryPoolsSupported + 1);

}  // namespace

hip_own::hip_own(const hip_api& api, std::filesystem::path sysfs)
    : api_(api), telemetry_(std::move(sysfs)) {
  int count = 0;
  api_.check(api_.init(0), api_.init.name);
  api_.check(api_.get_device_count(&count), api_.get_device_count.name);
  for (int ordinal = 0; ordinal < count; ++ordinal) devices_.push_back(inspect(ordinal));
  for (const auto& one : devices_) {
    one->partition = std::count_if(devices_.begin(), devices_.end(), [&](const auto& each) {
                       return each->pci_address == one->pci_address;
                     }) > 1;
  }
}

int hip_own::attribute(int ordinal, hipDeviceAttribute_t which) const {
  int value = 0;
  if (api_.get_attribute(&value, which, ordinal) == hipSuccess) return value;
  static_cast<void>(api_.take_last_error());
  return 0;
}

std::unique_ptr<hip_own::device_state> hip_own::inspect(int ordinal) const {
  auto device = std::make_unique<device_state>();
  char name[128] = {};
  api_.check(api_.device_name(name, sizeof name - 1, ordinal), api_.device_name.name);
  device->name = name;
  device->pci_address = pci_address_of(api_, api_.get_pci_address, ordinal);
  device->integrated = attribute(ordinal, hipDeviceAttributeIntegrated) != 0;
  device->pools = attribute(ordinal, hipDeviceAttributeMemoryPoolsSupported) != 0;
  device->stable_addresses = attribute(ordinal, attribute_stable_addresses) != 0;
  return device;
}

void hip_own::describe(std::uint32_t device, lull_backend_device& facts) const {
  const device_state& state = *devices_[device];
  if (state.integrated) facts.type = LULL_DEVICE_INTEGRATED;
  if (state.stable_addresses) facts.capabilities |= LULL_CAP_STABLE_ADDRESSES;
  if (state.pools) facts.capabilities |= LULL_CAP_POOLS;
  copy_text(facts.description, state.partition
                                   ? state.name + " (a partition of " + state.pci_address + ")"
                                   : state.name);
  // What several devices have identifies none.
  if (!state.partition) copy_text(facts.pci_address, state.pci_address);
}

void hip_own::observe(std::uint32_t device, lull_backend_memory& out) {
  telemetry_.observe(devices_[device]->pci_address, devices_[device]->used.load(), out);
}

std::vector<lull_backend_process> hip_own::processes(std::uint32_t device) const {
  return telemetry_.processes(devices_[device]->pci_address);
}

lull_tristate hip_own::context_alive(std::uint32_t device) {
  device_state& state = *devices_[device];
  if (state.used.load()) return LULL_TRISTATE_YES;
  const auto held = telemetry_.held(state.pci_address, false);
  if (!held) return LULL_TRISTATE_CANNOT_TELL;
  // What a reset leaves is no context. Some may still be on its way back, so the least counts.
  std::uint64_t residue = state.residue.load();
  while (*held < residue && !state.residue.compare_exchange_weak(residue, *held)) {
  }
  return *held > state.residue.load() ? LULL_TRISTATE_YES : LULL_TRISTATE_NO;
}

void hip_own::reset(std::uint32_t device) {
  {
    const hip_api::device_scope current(*this, device);
    api_.check(api_.device_reset(), api_.device_reset.name);
    end_registrations(*devices_[device]);
  }
  device_state& state = *devices_[device];
  // Where it is not known what stays, that is for the first who sees it.
  state.residue.store(look_at(state, false).value_or(UINT64_MAX));
  state.used.store(false);
}

void hip_own::registered(std::uint32_t device, void* address) {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  try {
    state.registrations.insert(address);
  } catch (...) {  // out of host memory
    static_cast<void>(api_.host_unregister(address));
    throw;
  }
}

void hip_own::unregistered(std::uint32_t device, void* address) noexcept {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  state.registrations.erase(address);
}

/// After a reset. Should one be gone with it, all the better.
void hip_own::end_registrations(device_state& device) const {
  const std::lock_guard lock(device.mutex);
  for (void* const address : device.registrations) {
    if (api_.host_unregister(address) != hipSuccess) static_cast<void>(api_.take_last_error());
  }
  device.registrations.clear();
}

void hip_own::before_graph_destroy() const {
  api_.check(api_.device_synchronize(), api_.device_synchronize.name);
}

void hip_own::mapped(std::uint32_t device, std::uint64_t handle, void* address,
                     std::uint64_t bytes) noexcept {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  try {
    state.mappings.insert_or_assign(handle, mapping{address, bytes, 0});
  } catch (const std::bad_alloc&) {  // what is not known here is neither measured nor cycled
  }
}

void hip_own::unmapping(std::uint32_t device, void* address) {
  if (release_.load() != release_kind::not_measured) return;
  device_state& state = *devices_[device];
  const std::uint64_t held = look_at(state).value_or(0);
  const std::lock_guard lock(state.mutex);
  for (auto& [handle, each] : state.mappings) {
    if (each.address == address) each.held_before = held;
  }
}

void hip_own::reserved(std::uint32_t device, void* address, std::uint64_t bytes) noexcept {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  try {
    state.reservations.insert_or_assign(address, reservation{bytes, false});
  } catch (const std::bad_alloc&) {  // what is not known here is not cycled
  }
}

void hip_own::released(std::uint32_t device, void* address) noexcept {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  state.reservations.erase(address);
}

bool hip_own::is_lost(std::uint32_t device, void* address) {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  const auto found = state.reservations.find(address);
  return found != state.reservations.end() && found->second.lost;
}

void hip_own::creating(std::uint32_t device) noexcept {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  for (auto& [address, each] : state.reservations) {
    if (each.lost) each.lost = !take_again(address, each.bytes);
  }
}

void hip_own::mapping_at(std::uint32_t device, void* address) {
  device_state& state = *devices_[device];
  const std::lock_guard lock(state.mutex);
  const auto found = state.reservations.find(address);
  if (found == state.reservations.end() || !found->second.lost) return;
  if (!take_again(address, found->second.bytes)) {
    throw backend_failure(
        LULL_ERROR_BACKEND, api_.vm_reserve.name, 0,
        "the address range had to be freed for its memory to be, and somebody else took it "
        "meanwhile; the region cannot come back to its address");
  }
  found->second.lost = false;
}

void hip_own::destroyed(std::uint32_t device, std::uint64_t handle) noexcept {
  device_state& state = *devices_[device];
  mapping was;
  {
    const std::lock_guard lock(state.mutex);
    const auto node = state.mappings.extract(handle);
    if (node.empty()) return;  // never mapped: nothing that an address could keep
    was = node.mapped();
  }
  try {
    make_memory_leave(state, was);
  } catch (const std::exception&) {  // out of host memory: what stays is seen in the figures
  }
}

void hip_own::make_memory_leave(device_state& device, const mapping& was) {
  bool keeps = release_.load() == release_kind::keeps;
  if (release_.load() == release_kind::not_measured && was.held_before != 0) {
    keeps = memory_stayed(device, was);
    const int votes = keeps ? ++votes_ : --votes_;
    if (votes >= enough_votes) release_.store(release_kind::keeps);
    if (votes <= -enough_votes) release_.store(release_kind::frees);
  }
  if (keeps) cycle_reservation(device, was);
}

/// What this process holds. For want of memory or descriptors to look with it is not known, and
/// what the look is beside goes on.
std::optional<std::uint64_t> hip_own::look_at(const device_state& device,
                                              bool has_context) noexcept {
  try {
    return telemetry_.held(device.pci_address, has_context);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

bool hip_own::memory_stayed(const device_state& device, const mapping& was) {
  const auto held = look_at(device);
  // Half: other allocations may come and go meanwhile, and the driver rounds.
  return held && *held + was.bytes / 2 > was.held_before;
}

void hip_own::cycle_reservation(device_state& device, const mapping& was) const {
  const auto alone = reserve_alone();
  const std::lock_guard lock(device.mutex);
  const auto found = device.reservations.find(was.address);
  // Other mappings may live in a range that is larger.
  if (found == device.reservations.end() || found->second.bytes != was.bytes) return;
  if (api_.vm_release(was.address, was.bytes) != hipSuccess) {
    static_cast<void>(api_.take_last_error());
    return;
  }
  found->second.lost = !take_again(was.address, was.bytes);
}

/// Reserves a range at an address, or nothing.
bool hip_own::take_again(void* address, std::uint64_t bytes) const {
  void* again = nullptr;
  if (api_.vm_reserve(&again, bytes, 0, address, 0) != hipSuccess) {
    static_cast<void>(api_.take_last_error());
    return false;
  }
  if (again == address) return true;
  // The runtime takes the address as a hint and reports success for another one (hip_vm.cpp).
  static_cast<void>(api_.vm_release(again, bytes));
  return false;
}

}  // namespace lull::backends
