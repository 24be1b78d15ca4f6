#include "host/memory.hpp"

#include <lull/backend.hpp>
#include <lull/bytes.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>

#include "vocabulary/page.hpp"
#include "vocabulary/round_up.hpp"
#include "vocabulary/system_memory.hpp"
#include "vocabulary/text.hpp"

// Linux 5.14; older C libraries do not name it (linux/mman.h).
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace lull::backends {

using lull::detail::huge_page_bytes;
using lull::detail::page_bytes;

void misuse(std::string message) {
  throw backend_failure(LULL_ERROR_INVALID_ARGUMENT, "", 0, std::move(message));
}

namespace {

constexpr auto no_access = PROT_NONE;
constexpr auto read_write = PROT_READ | PROT_WRITE;
constexpr auto anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

[[noreturn]] void fail_with_errno(const char* call, std::uint64_t bytes) {
  const int code = errno;
  throw backend_failure(
      code == ENOMEM ? LULL_ERROR_OUT_OF_DEVICE_MEMORY : LULL_ERROR_BACKEND, call, code,
      lull::detail::text("{} of {}", std::generic_category().message(code), format_bytes(bytes)));
}

std::uint64_t whole_pages(std::uint64_t bytes) {
  if (bytes > UINT64_MAX - page_bytes())
    misuse(lull::detail::text("{} bytes cannot be rounded up", bytes));
  return lull::detail::round_up(bytes, page_bytes());
}

/// Anonymous pages, of which large stretches may become huge pages: a restore then takes one page
/// fault where it would take 512.
void* map_pages(std::uint64_t bytes, int protection, void* fixed_address = nullptr) {
  void* const address = ::mmap(fixed_address, bytes, protection,
                               anonymous | (fixed_address != nullptr ? MAP_FIXED : 0), -1, 0);
  if (address == MAP_FAILED) fail_with_errno("mmap", bytes);
  // Best effort: kernels without huge pages answer EINVAL.
  if (protection != no_access && bytes >= huge_page_bytes) {
    ::madvise(address, bytes, MADV_HUGEPAGE);
  }
  return address;
}

void unmap_pages(void* address, std::uint64_t bytes) {
  if (::munmap(address, bytes) != 0) fail_with_errno("munmap", bytes);
}

/// Pages that go away again unless they are taken: the books may run out of memory too.
class pages_in_hand {
 public:
  pages_in_hand(std::uint64_t bytes, int protection)
      : address_(static_cast<std::byte*>(map_pages(bytes, protection))), bytes_(bytes) {}
  ~pages_in_hand() {
    if (address_ != nullptr) ::munmap(address_, bytes_);
  }
  pages_in_hand(const pages_in_hand&) = delete;
  pages_in_hand& operator=(const pages_in_hand&) = delete;

  [[nodiscard]] std::byte* address() const noexcept { return address_; }

  /// Cuts off what lies before and behind the part that is wanted.
  void trim(std::uint64_t lead, std::uint64_t bytes) {
    if (const std::uint64_t tail = bytes_ - lead - bytes; tail != 0) {
      unmap_pages(address_ + lead + bytes, tail);
      bytes_ -= tail;
    }
    if (lead != 0) {
      unmap_pages(address_, lead);
      address_ += lead;
      bytes_ -= lead;
    }
  }

  std::byte* take() noexcept { return std::exchange(address_, nullptr); }

 private:
  std::byte* address_;
  std::uint64_t bytes_;
};

/// memcpy into pages that may be fresh. They are populated a few at a time, and so are in the
/// caches when they are written: a fifth faster than one fault after the other where pages are
/// small, and a tenth where they are huge. To pages that are there it makes no difference.
void copy_pages(void* to, const void* from, std::uint64_t bytes) {
  constexpr std::uint64_t step = huge_page_bytes;
  constexpr std::uint64_t worth_a_call = std::uint64_t{64} << 10;
  for (std::uint64_t done = 0; done < bytes; done += step) {
    auto* const here = static_cast<std::byte*>(to) + done;
    const std::uint64_t size = std::min(step, bytes - done);
    if (size >= worth_a_call) {
      const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(here) % page_bytes();
      // Best effort: before Linux 5.14 it is refused, and the copy populates.
      ::madvise(here - past, size + past, MADV_POPULATE_WRITE);
    }
    std::memcpy(here, static_cast<const std::byte*>(from) + done, size);
  }
}

}  // namespace

void host_memory::memory_info(std::uint32_t, lull_backend_memory* out) {
  const auto system = lull::detail::read_system_memory();
  const std::lock_guard lock(mutex_);
  lull_backend_memory memory{};
  memory.source = LULL_SOURCE_ACCOUNTING;
  memory.total_bytes = capacity_bytes_;
  memory.used_by_process_bytes = used_bytes_;
  memory.free_bytes = capacity_bytes_ - used_bytes_;
  if (system) memory.free_bytes = std::min(memory.free_bytes, system->available_bytes);
  copy_versioned(out, memory);
}

/// Counts memory as used. Called with the mutex held.
void host_memory::charge(std::uint64_t bytes) {
  const std::uint64_t free_bytes = capacity_bytes_ - used_bytes_;
  if (bytes > free_bytes) {
    throw backend_failure(
        LULL_ERROR_OUT_OF_DEVICE_MEMORY, "", 0,
        lull::detail::text("{} asked for, {} free of a capacity of {}: {} missing",
                           format_bytes(bytes), format_bytes(free_bytes),
                           format_bytes(capacity_bytes_), format_bytes(bytes - free_bytes)));
  }
  used_bytes_ += bytes;
}

void host_memory::allocate(std::uint32_t, std::uint64_t bytes, void** address) {
  if (bytes == 0) misuse("an allocation of 0 bytes");
  const std::uint64_t rounded = whole_pages(bytes);
  const std::lock_guard lock(mutex_);
  charge(rounded);
  try {
    pages_in_hand pages(rounded, read_write);
    allocations_.emplace(value_of(pages.address()), rounded);
    *address = pages.take();
  } catch (...) {
    used_bytes_ -= rounded;
    throw;
  }
}

void host_memory::deallocate(std::uint32_t, void* address, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(value_of(address));
  if (found == allocations_.end() || found->second != whole_pages(bytes)) {
    misuse(lull::detail::text("{} with {} bytes is no allocation of this device",
                              lull::detail::hex(address), bytes));
  }
  unmap_pages(address, found->second);
  used_bytes_ -= found->second;
  allocations_.erase(found);
}

void host_memory::vm_granularity(std::uint32_t, std::uint64_t* bytes) {
  *bytes = page_bytes();
}

void host_memory::vm_reserve(std::uint32_t, std::uint64_t bytes, void** address) {
  if (bytes == 0 || bytes % page_bytes() != 0) {
    misuse(lull::detail::text("a reservation of {} bytes; it must be a multiple of {}", bytes,
                              page_bytes()));
  }
  // mmap aligns to small pages; a range that starts between huge pages could use fewer of them.
  const std::uint64_t slack = bytes >= huge_page_bytes ? huge_page_bytes : 0;
  if (bytes > UINT64_MAX - slack) misuse(lull::detail::text("a reservation of {} bytes", bytes));
  const std::lock_guard lock(mutex_);
  pages_in_hand pages(bytes + slack, no_access);
  const std::uint64_t past = slack == 0 ? 0 : value_of(pages.address()) % slack;
  pages.trim(past == 0 ? 0 : slack - past, bytes);
  reservations_.emplace(value_of(pages.address()), bytes);
  *address = pages.take();
}

void host_memory::vm_reserve_near(std::uint32_t device, std::uint64_t bytes, void* wanted,
                                  void** address) {
  const bool usable = bytes % page_bytes() == 0 && value_of(wanted) % page_bytes() == 0;
  void* const there = usable
                          ? ::mmap(wanted, bytes, no_access, anonymous | MAP_FIXED_NOREPLACE, -1, 0)
                          : MAP_FAILED;
  // A kernel before Linux 4.17 takes it for a wish.
  if (there != wanted && there != MAP_FAILED) ::munmap(there, bytes);
  if (there != wanted) return vm_reserve(device, bytes, address);
  try {
    const std::lock_guard lock(mutex_);
    reservations_.emplace(value_of(there), bytes);
  } catch (...) {
    ::munmap(there, bytes);
    throw;
  }
  *address = there;
}

void host_memory::vm_release(std::uint32_t, void* address, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = reservations_.find(value_of(address));
  if (found == reservations_.end() || found->second != bytes) {
    misuse(lull::detail::text("{} with {} bytes is no reservation of this device",
                              lull::detail::hex(address), bytes));
  }
  expect_nothing_mapped(value_of(address), bytes);
  unmap_pages(address, bytes);
  reservations_.erase(found);
}

void host_memory::vm_create(std::uint32_t, std::uint64_t bytes, std::uint64_t* handle) {
  if (bytes == 0 || bytes % page_bytes() != 0) {
    misuse(
        lull::detail::text("{} bytes of memory; it must be a multiple of {}", bytes, page_bytes()));
  }
  const std::lock_guard lock(mutex_);
  const auto made = handles_.emplace(next_handle_, physical{bytes, 0}).first;
  try {
    charge(bytes);
  } catch (...) {
    handles_.erase(made);
    throw;
  }
  *handle = next_handle_++;
}

void host_memory::vm_destroy(std::uint32_t, std::uint64_t handle) {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(handle);
  if (found == handles_.end())
    misuse(lull::detail::text("{} is no memory handle of this device", handle));
  if (found->second.mapped_at != 0) {
    throw backend_failure(LULL_ERROR_BUSY, "", 0, "the memory is still mapped");
  }
  used_bytes_ -= found->second.bytes;
  handles_.erase(found);
}

void host_memory::expect_inside_reservation(address_value address, std::uint64_t bytes) const {
  auto after = reservations_.upper_bound(address);
  if (after != reservations_.begin()) {
    const auto& [start, size] = *--after;
    if (address - start <= size && bytes <= size - (address - start)) return;
  }
  misuse(lull::detail::text("{} with {} bytes is in no reservation of this device",
                            lull::detail::hex(address), bytes));
}

void host_memory::expect_nothing_mapped(address_value address, std::uint64_t bytes) const {
  auto mapping = mappings_.lower_bound(address);
  const bool inside = mapping != mappings_.end() && mapping->first - address < bytes;
  const bool reaches_in = mapping != mappings_.begin() && [&] {
    --mapping;
    return address - mapping->first < handles_.at(mapping->second).bytes;
  }();
  if (inside || reaches_in) {
    throw backend_failure(LULL_ERROR_BUSY, "", 0, "memory is mapped in that range");
  }
}

void host_memory::vm_map(std::uint32_t, void* address, std::uint64_t bytes, std::uint64_t handle) {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(handle);
  if (found == handles_.end() || found->second.bytes != bytes) {
    misuse(
        lull::detail::text("{} with {} bytes is no memory handle of this device", handle, bytes));
  }
  if (found->second.mapped_at != 0) {
    throw backend_failure(LULL_ERROR_BUSY, "", 0, "the memory is mapped already");
  }
  expect_inside_reservation(value_of(address), bytes);
  expect_nothing_mapped(value_of(address), bytes);
  const auto mapping = mappings_.emplace(value_of(address), handle).first;
  try {
    map_pages(bytes, read_write, address);
  } catch (...) {
    mappings_.erase(mapping);
    throw;
  }
  found->second.mapped_at = value_of(address);
}

void host_memory::vm_unmap(std::uint32_t, void* address, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto mapping = mappings_.find(value_of(address));
  if (mapping == mappings_.end() || handles_.at(mapping->second).bytes != bytes) {
    misuse(lull::detail::text("nothing of {} bytes is mapped at {}", bytes, address));
  }
  // A fresh PROT_NONE mapping over the old one gives the pages back and keeps the range ours, with
  // no moment in which another thread's mmap could be placed there.
  map_pages(bytes, no_access, address);
  handles_.at(mapping->second).mapped_at = 0;
  mappings_.erase(mapping);
}

void host_memory::copy_to_host(std::uint32_t, void* host, const void* address,
                               std::uint64_t bytes) {
  copy_pages(host, address, bytes);
}

void host_memory::copy_from_host(std::uint32_t, void* address, const void* host,
                                 std::uint64_t bytes) {
  copy_pages(address, host, bytes);
}

void host_memory::fill(std::uint32_t, void* address, std::uint8_t value, std::uint64_t bytes) {
  std::memset(address, value, bytes);
}

}  // namespace lull::backends
