#ifndef LULL_MEMORY_HOST_CLAIM_HPP
#define LULL_MEMORY_HOST_CLAIM_HPP

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "vocabulary/system_memory.hpp"

namespace lull::detail {

/// Host memory that somebody will touch soon. The kernel promises more memory than there is and
/// kills later; so whoever is about to fill some looks first whether it is there, and what was
/// promised to others of this process in this way counts as gone. Not thread-safe by itself.
class host_claim {
 public:
  host_claim() noexcept = default;
  /// @param where for the error: "host memory"
  /// @throws error out_of_host_memory: with what is missing
  host_claim(std::string_view where, std::uint64_t bytes);
  host_claim(host_claim&& other) noexcept : bytes_(std::exchange(other.bytes_, 0)) {}
  host_claim& operator=(host_claim&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~host_claim() { settle(bytes_); }

  /// So much of it has been touched, and shows in the system's own figures, or is not needed.
  void settle(std::uint64_t bytes) noexcept;

 private:
  std::uint64_t bytes_ = 0;
};

/// What can be touched now: what the machine and its control groups have, less what was promised
/// and a reserve for everything else. Without limit where the system cannot tell.
[[nodiscard]] std::uint64_t claimable_bytes();

/// Where the figures of the system come from; tests put their own in place. Null: the system.
using system_memory_probe = std::optional<system_memory> (*)();
void set_system_memory_probe(system_memory_probe probe) noexcept;

/// The most that an arena holds unless told otherwise.
[[nodiscard]] std::uint64_t default_arena_budget();

}  // namespace lull::detail

#endif  // LULL_MEMORY_HOST_CLAIM_HPP
