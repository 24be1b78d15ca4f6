#ifndef LULL_MEMORY_CHECKSUM_HPP
#define LULL_MEMORY_CHECKSUM_HPP

#include <cstddef>
#include <cstdint>

namespace lull::detail {

/// Parts that are summed up by themselves begin at multiples of this.
inline constexpr std::uint64_t checksum_alignment = 16;

/// What a part of some contents adds to their checksum. The sum of all parts, modulo 2^64, is the
/// same however the contents are divided and in whatever order, so that every thread can add what
/// it moves. Every 16 bytes go through one 64 by 64 bit multiplication, whose halves are folded,
/// together with their place: the step of wyhash (Wang Yi), without a chain from one to the next.
/// @param offset of the part in the contents, a multiple of checksum_alignment
[[nodiscard]] std::uint64_t checksum_of(std::uint64_t offset, const std::byte* part,
                                        std::uint64_t bytes) noexcept;

}  // namespace lull::detail

#endif  // LULL_MEMORY_CHECKSUM_HPP
