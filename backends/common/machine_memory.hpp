#ifndef LULL_BACKENDS_COMMON_MACHINE_MEMORY_HPP
#define LULL_BACKENDS_COMMON_MACHINE_MEMORY_HPP

#include <cstdint>
#include <optional>

namespace lull::backends {

/// Memory of the machine by the kernel's account (/proc/meminfo), for devices that share it.
struct machine_memory {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;
};

/// @return nothing where the kernel does not say both
std::optional<machine_memory> read_machine_memory();

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_MACHINE_MEMORY_HPP
