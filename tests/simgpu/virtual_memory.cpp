/// @file
/// Stable addresses of the simulated GPU: reservations are inaccessible pages, physical memory is
/// huge pages that are parked somewhere, and mapping moves them over the reservation, as a GPU does
/// without touching a byte. None of it belongs to a context.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "simgpu/world.hpp"

namespace simgpu {
namespace {

bool granular(const void* address, std::uint64_t bytes) {
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  return bytes != 0 && bytes % granularity_bytes == 0 && value % granularity_bytes == 0;
}

constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/// Address space that begins at a step of device memory. @return null when there is none
char* find_space(std::uint64_t bytes, int protection) {
  void* const found = ::mmap(nullptr, bytes + granularity_bytes, protection, anonymous, -1, 0);
  if (found == MAP_FAILED) return nullptr;
  auto* const pages = static_cast<char*>(found);
  const std::uint64_t past = reinterpret_cast<std::uintptr_t>(pages) % granularity_bytes;
  const std::uint64_t lead = past == 0 ? 0 : granularity_bytes - past;
  if (lead != 0) ::munmap(pages, lead);
  if (lead != granularity_bytes) ::munmap(pages + lead + bytes, granularity_bytes - lead);
  return pages + lead;
}

}  // namespace

code world::vm_reserve(int device, std::uint64_t bytes, void* hint, void** address) {
  const std::lock_guard lock(mutex_);
  if (!made_.stable_addresses) return code::not_supported;
  if (!granular(hint, bytes)) return code::invalid_value;
  void* const there = hint == nullptr
                          ? MAP_FAILED
                          : ::mmap(hint, bytes, PROT_NONE, anonymous | MAP_FIXED_NOREPLACE, -1, 0);
  if (there != MAP_FAILED) {
    *address = there;
  } else {
    *address = find_space(bytes, PROT_NONE);
    if (*address == nullptr) return code::out_of_memory;
  }
  reservations_[static_cast<char*>(*address)] = {device, bytes};
  return code::ok;
}

code world::vm_release(void* address, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = reservations_.find(static_cast<char*>(address));
  if (found == reservations_.end() || found->second.bytes != bytes) {
    return misused("release of what is not reserved");
  }
  const auto mapped = mappings_.lower_bound(static_cast<char*>(address));
  if (mapped != mappings_.end() && mapped->first < found->first + bytes) {
    return misused("release of a reservation in which memory is mapped");
  }
  for (auto at = physical_.begin(); at != physical_.end();) {
    auto* const was_at = static_cast<char*>(at->second.mapped_at);
    const bool here = was_at >= found->first && was_at < found->first + bytes;
    if (at->second.held_by_address && here) {
      refund(at->second.device, at->second.bytes);
      ::munmap(at->second.parked, at->second.bytes);
      at = physical_.erase(at);
    } else {
      ++at;
    }
  }
  ::munmap(address, bytes);
  reservations_.erase(found);
  return code::ok;
}

code world::vm_create(int device, std::uint64_t bytes, std::uint64_t* handle) {
  spend_in_driver(made().speed.create(bytes));
  const std::lock_guard lock(mutex_);
  if (!made_.stable_addresses) return code::not_supported;
  if (!valid(device)) return code::no_device;
  if (!granular(nullptr, bytes)) return code::invalid_value;
  if (const code charged = charge(device, bytes); charged != code::ok) return charged;
  char* pages = nullptr;
  if (const auto spare = spare_.find(bytes); spare != spare_.end()) {
    pages = spare->second;
    spare_.erase(spare);
  } else {
    pages = find_space(bytes, PROT_READ | PROT_WRITE);
    if (pages == nullptr) return code::out_of_memory;
    ::madvise(pages, bytes, MADV_HUGEPAGE);
  }
  *handle = next_id_++;
  physical_[*handle] = {device, bytes, pages, nullptr, false, false};
  return code::ok;
}

std::uint64_t world::physical_bytes(std::uint64_t handle) const {
  const std::lock_guard lock(mutex_);
  const auto found = physical_.find(handle);
  return found == physical_.end() ? 0 : found->second.bytes;
}

code world::vm_destroy(std::uint64_t handle) {
  spend_in_driver(made().speed.release(physical_bytes(handle)));
  const std::lock_guard lock(mutex_);
  const auto found = physical_.find(handle);
  if (found == physical_.end() || found->second.released) {
    return misused("release of memory that does not exist");
  }
  physical_memory& memory = found->second;
  const bool still_mapped =
      memory.mapped_at != nullptr && mappings_.contains(static_cast<char*>(memory.mapped_at));
  if (still_mapped) return misused("release of memory that is mapped");
  if (made_.unmap_keeps_memory && memory.mapped_at != nullptr) {
    memory.released = memory.held_by_address = true;
    return code::ok;
  }
  refund(memory.device, memory.bytes);
  if (made_.speed.slowdown != 0) {
    // A GPU does not fill memory with zeros; where times are measured nor does this one.
    spare_.emplace(memory.bytes, static_cast<char*>(memory.parked));
  } else {
    ::munmap(memory.parked, memory.bytes);
  }
  physical_.erase(found);
  return code::ok;
}

bool world::is_reserved(const void* address, std::uint64_t bytes) const {
  const auto* const at = static_cast<const char*>(address);
  auto after = reservations_.upper_bound(at);
  if (after == reservations_.begin()) return false;
  --after;
  return at + bytes <= after->first + after->second.bytes;
}

/// What is mapped there stays where it is, and can be unmapped.
void world::lose_addresses(int device) {
  for (auto at = reservations_.begin(); at != reservations_.end();) {
    if (at->second.device != device) {
      ++at;
      continue;
    }
    const char* const end = at->first + at->second.bytes;
    const auto mapped = mappings_.lower_bound(const_cast<char*>(at->first));
    const bool in_use = mapped != mappings_.end() && mapped->first < end;
    if (!in_use) ::munmap(const_cast<char*>(at->first), at->second.bytes);
    at = reservations_.erase(at);
  }
}

code world::vm_map(void* address, std::uint64_t bytes, std::uint64_t handle) {
  spend_in_driver(made().speed.map(bytes));
  const std::lock_guard lock(mutex_);
  const auto memory = physical_.find(handle);
  if (memory == physical_.end() || memory->second.released || memory->second.bytes != bytes) {
    return misused("mapping of memory that does not exist or has another size");
  }
  if (!granular(address, bytes) || !is_reserved(address, bytes)) {
    return code::invalid_value;
  }
  if (mappings_.contains(static_cast<char*>(address))) return misused("mapping over a mapping");
  if (memory->second.parked == nullptr) return misused("mapping of memory that is mapped");
  if (::mremap(memory->second.parked, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, address) ==
      MAP_FAILED) {
    return code::out_of_memory;
  }
  ::mprotect(address, bytes, PROT_NONE);
  memory->second.parked = nullptr;
  memory->second.mapped_at = address;
  mappings_[static_cast<char*>(address)] = {bytes, handle};
  return code::ok;
}

code world::vm_set_access(void* address, std::uint64_t bytes, int device) {
  spend_in_driver(made().speed.access(bytes));
  const std::lock_guard lock(mutex_);
  const auto found = mappings_.find(static_cast<char*>(address));
  if (found == mappings_.end() || found->second.bytes != bytes) {
    return misused("access to what is not mapped");
  }
  if (!can_access_peer(device, physical_.at(found->second.handle).device)) {
    return code::invalid_value;
  }
  ::mprotect(address, bytes, PROT_READ | PROT_WRITE);
  found->second.devices.insert(device);
  return code::ok;
}

/// Whether something runs that may use any of the device's memory.
bool world::is_working(int device) const {
  return std::any_of(handles_.begin(), handles_.end(), [&](const auto& each) {
    return each.second.device == device && each.second.running;
  });
}

code world::vm_unmap(void* address, std::uint64_t bytes) {
  spend_in_driver(made().speed.unmap(bytes));
  const std::lock_guard lock(mutex_);
  const auto found = mappings_.find(static_cast<char*>(address));
  if (found == mappings_.end() || found->second.bytes != bytes) {
    return misused("unmapping of what is not mapped");
  }
  const int device = physical_.at(found->second.handle).device;
  if (is_working(device) || is_being_copied(address, bytes)) {
    return misused("unmapping of memory that the device works on");
  }
  char* const parking = find_space(bytes, PROT_READ | PROT_WRITE);
  if (parking == nullptr) return code::out_of_memory;
  // The addresses stay taken all the while: other threads map memory, too.
  if (::mremap(address, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, parking) ==
      MAP_FAILED) {
    ::munmap(parking, bytes);
    return code::out_of_memory;
  }
  ::mprotect(parking, bytes, PROT_READ | PROT_WRITE);
  ::mmap(address, bytes, PROT_NONE, anonymous | MAP_FIXED, -1, 0);
  physical_.at(found->second.handle).parked = parking;
  mappings_.erase(found);
  return code::ok;
}

}  // namespace simgpu
