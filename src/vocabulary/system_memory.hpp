#ifndef LULL_VOCABULARY_SYSTEM_MEMORY_HPP
#define LULL_VOCABULARY_SYSTEM_MEMORY_HPP

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lull::detail {

/// Memory of the machine as far as this process may use it, control group limits included.
struct system_memory {
  std::uint64_t total_bytes = 0;
  /// What can be had without swapping; page cache counts as available.
  std::uint64_t available_bytes = 0;
};

/// Reads /proc/meminfo and the limits of control groups: memory.max and memory.high of version 2,
/// memory.limit_in_bytes of version 1, of our group and of every one above it, wherever the
/// hierarchies are mounted. Takes some hundred microseconds.
/// @param root where "proc" and "sys" are found; for tests
/// @param process whose groups they are, "self" or an id: of another process as far as they can be
///        seen from here
/// @return nothing where /proc/meminfo cannot be read
/// @throws error (io) when there is no descriptor to look with
std::optional<system_memory> read_system_memory(const std::filesystem::path& root = "/",
                                                const std::string& process = "self");

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_SYSTEM_MEMORY_HPP
