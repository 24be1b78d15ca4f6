#ifndef LULL_HOST_MEMORY_HPP
#define LULL_HOST_MEMORY_HPP

#include <lull/backend.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace lull::backends {

/// Throws invalid_argument.
[[noreturn]] void misuse(std::string message);

/// Memory of the host device. Reservations, handles and allocations are kept so that a wrong
/// address or size is an error instead of a hole in somebody else's memory.
class host_memory {
 public:
  explicit host_memory(std::uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  void memory_info(std::uint32_t device, lull_backend_memory* out);

  void allocate(std::uint32_t device, std::uint64_t bytes, void** address);
  void deallocate(std::uint32_t device, void* address, std::uint64_t bytes);

  void vm_granularity(std::uint32_t device, std::uint64_t* bytes);
  void vm_reserve(std::uint32_t device, std::uint64_t bytes, void** address);
  void vm_reserve_near(std::uint32_t device, std::uint64_t bytes, void* wanted, void** address);
  void vm_release(std::uint32_t device, void* address, std::uint64_t bytes);
  void vm_create(std::uint32_t device, std::uint64_t bytes, std::uint64_t* handle);
  void vm_destroy(std::uint32_t device, std::uint64_t handle);
  void vm_map(std::uint32_t device, void* address, std::uint64_t bytes, std::uint64_t handle);
  void vm_unmap(std::uint32_t device, void* address, std::uint64_t bytes);

  void copy_to_host(std::uint32_t device, void* host, const void* address, std::uint64_t bytes);
  void copy_from_host(std::uint32_t device, void* address, const void* host, std::uint64_t bytes);
  void fill(std::uint32_t device, void* address, std::uint8_t value, std::uint64_t bytes);

 private:
  using address_value = std::uintptr_t;

  struct physical {
    std::uint64_t bytes = 0;
    address_value mapped_at = 0;  // 0: not mapped
  };

  static address_value value_of(const void* address) noexcept {
    return reinterpret_cast<address_value>(address);
  }

  void charge(std::uint64_t bytes);
  void expect_inside_reservation(address_value address, std::uint64_t bytes) const;
  void expect_nothing_mapped(address_value address, std::uint64_t bytes) const;

  const std::uint64_t capacity_bytes_;
  std::mutex mutex_;
  std::uint64_t used_bytes_ = 0;
  std::uint64_t next_handle_ = 1;
  std::map<address_value, std::uint64_t> allocations_;   // address to rounded size
  std::map<address_value, std::uint64_t> reservations_;  // address to size
  std::map<std::uint64_t, physical> handles_;
  std::map<address_value, std::uint64_t> mappings_;  // address to handle
};

}  // namespace lull::backends

#endif  // LULL_HOST_MEMORY_HPP
