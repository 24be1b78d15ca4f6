#include "musa/own.hpp"

#include <lull/backend.hpp>

#include "common/pci_address.hpp"

namespace lull::backends {

musa_own::musa_own(const musa_api& api, std::chrono::milliseconds retry)
    : api_(api), telemetry_(retry) {
  int count = 0;
  api_.check(api_.driver_init(0), api_.driver_init.name);
  api_.check(api_.get_device_count(&count), api_.get_device_count.name);
  for (int ordinal = 0; ordinal < count; ++ordinal) devices_.push_back(inspect(ordinal));
}

bool musa_own::attribute(MUdevice device, MUdevice_attribute which) const {
  int value = 0;
  // What a driver does not know of, the device does not have.
  return api_.device_attribute(&value, which, device) == MUSA_SUCCESS && value != 0;
}

std::unique_ptr<musa_own::device_state> musa_own::inspect(int ordinal) const {
  MUdevice driver_device = 0;
  api_.check(api_.device_get(&driver_device, ordinal), api_.device_get.name);
  auto device = std::make_unique<device_state>(api_, driver_device);
  char name[128] = {};
  if (api_.names &&
      api_.device_name(name, sizeof name - 1, device->driver_device) == MUSA_SUCCESS) {
    device->name = name;
  }
  device->pci_address = pci_address_of(api_, api_.get_pci_address, driver_device);
  device->integrated = attribute(device->driver_device, MU_DEVICE_ATTRIBUTE_INTEGRATED);
  device->stable_addresses =
      attribute(device->driver_device, MU_DEVICE_ATTRIBUTE_VIRTUAL_ADDRESS_MANAGEMENT_SUPPORTED);
  return device;
}

void musa_own::describe(std::uint32_t device, lull_backend_device& facts) const {
  const device_state& state = *devices_[device];
  if (state.integrated) facts.type = LULL_DEVICE_INTEGRATED;
  if (state.stable_addresses) facts.capabilities |= LULL_CAP_STABLE_ADDRESSES;
  if (api_.pools) facts.capabilities |= LULL_CAP_POOLS;
  copy_text(facts.description, state.name);
  copy_text(facts.pci_address, state.pci_address);
}

void musa_own::observe(std::uint32_t device, lull_backend_memory& out) {
  telemetry_.observe(devices_[device]->pci_address, out);
}

lull_tristate musa_own::context_alive(std::uint32_t device) const {
  return devices_[device]->primary.is_active() ? LULL_TRISTATE_YES : LULL_TRISTATE_NO;
}

void musa_own::before_graph_destroy() const {
  api_.check(api_.device_synchronize(), api_.device_synchronize.name);
}

}  // namespace lull::backends
