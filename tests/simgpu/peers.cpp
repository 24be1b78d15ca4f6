/// @file
/// Devices of the simulated machine that use each other's memory.

#include "simgpu/world.hpp"

namespace simgpu {

bool world::can_access_peer(int device, int memory_of) const {
  const std::lock_guard lock(mutex_);
  return valid(device) && valid(memory_of) && (device == memory_of || made_.peers);
}

std::set<int> world::accessible_from(const void* address) const {
  const std::lock_guard lock(mutex_);
  const auto found = mappings_.find(static_cast<char*>(const_cast<void*>(address)));
  return found == mappings_.end() ? std::set<int>{} : found->second.devices;
}

}  // namespace simgpu
