/// @file
/// Host memory of the caller's that is registered with the simulated GPU.

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "simgpu/world.hpp"

namespace simgpu {
namespace {

struct mapped_range {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  bool readable = false;
  bool writable = false;
};

/// What the kernel has mapped where, by address (proc(5), /proc/pid/maps).
bool may_register(const void* address, std::uint64_t bytes, bool read_only) {
  auto at = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t end = at + bytes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; at < end && std::getline(maps, line);) {
    std::istringstream words(line);
    mapped_range range;
    char dash = 0;
    std::string rights;
    words >> std::hex >> range.start >> dash >> range.end >> rights;
    if (range.end <= at) continue;
    if (range.start > at || rights.size() < 2 || rights[0] != 'r') return false;
    if (!read_only && rights[1] != 'w') return false;
    at = range.end;
  }
  return at >= end;
}

}  // namespace

/// Pages whose registration a reset has ended are there; registering alone is fast. Whose
/// registration was ended by its owner are given back, as far as can be seen.
bool world::was_registered(const void* address) {
  const std::lock_guard lock(mutex_);
  return registered_before_.erase(address) != 0;
}

code world::host_register(int device, void* address, std::uint64_t bytes, bool read_only) {
  spend_in_driver(made().speed.pin(bytes, was_registered(address)));
  const std::lock_guard lock(mutex_);
  if (const code made = ensure_context_locked(device); made != code::ok) return made;
  if (read_only && !made_.read_only_registration) return code::not_supported;
  if (bytes == 0 || !may_register(address, bytes, read_only)) return code::invalid_value;
  const char* const start = static_cast<const char*>(address);
  const auto after = registrations_.lower_bound(start);
  const bool overlaps = (after != registrations_.end() && after->first < start + bytes) ||
                        (after != registrations_.begin() &&
                         std::prev(after)->first + std::prev(after)->second.bytes > start);
  if (overlaps) return code::registered_already;
  registrations_[start] = {device, bytes};
  return code::ok;
}

std::uint64_t world::registered_bytes(const void* address) const {
  const std::lock_guard lock(mutex_);
  const auto found = registrations_.find(static_cast<const char*>(address));
  return found == registrations_.end() ? 0 : found->second.bytes;
}

code world::host_unregister(void* address) {
  spend_in_driver(made().speed.unpin(registered_bytes(address)));
  const std::lock_guard lock(mutex_);
  const auto found = registrations_.find(static_cast<const char*>(address));
  if (found == registrations_.end()) return code::not_registered;
  if (is_being_copied(address, found->second.bytes)) {
    return misused("end of a registration whose memory is being copied");
  }
  registrations_.erase(found);
  return code::ok;
}

/// With the context, but on HIP: there they belong to all devices.
void world::end_registrations(int device) {
  if (vendor_ == vendor::hip) return;
  std::erase_if(registrations_, [&](const auto& each) {
    if (each.second.device != device) return false;
    registered_before_.insert(each.first);
    return true;
  });
}

/// Whether a range begins or ends in a registration and reaches out of it, which copies must not
/// (seen on an H200 with CUDA 13.0).
bool world::crosses_registrations(const void* address, std::uint64_t bytes) const {
  const char* const start = static_cast<const char*>(address);
  auto after = registrations_.upper_bound(start);
  if (after != registrations_.end() && after->first < start + bytes) return true;
  if (after == registrations_.begin()) return false;
  const auto& [first, each] = *std::prev(after);
  return start < first + each.bytes && start + bytes > first + each.bytes;
}

}  // namespace simgpu
