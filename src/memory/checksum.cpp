#include "memory/checksum.hpp"

#include <algorithm>
#include <cstring>

namespace lull::detail {
namespace {

__extension__ using wide = unsigned __int128;

// The first two constants of wyhash: half of the bits set, odd.
constexpr std::uint64_t first_key = 0xa0761d6478bd642f;
constexpr std::uint64_t second_key = 0xe7037ed1a0b428db;

std::uint64_t word_at(const std::byte* address) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, address, sizeof word);
  return word;
}

std::uint64_t term(std::uint64_t place, std::uint64_t low, std::uint64_t high) noexcept {
  const wide product = static_cast<wide>(low ^ (first_key + place)) * (high ^ (second_key - place));
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

}  // namespace

std::uint64_t checksum_of(std::uint64_t offset, const std::byte* part,
                          std::uint64_t bytes) noexcept {
  std::uint64_t sum = 0;
  std::uint64_t at = 0;
  for (; at + checksum_alignment <= bytes; at += checksum_alignment) {
    sum += term(offset + at, word_at(part + at), word_at(part + at + sizeof(std::uint64_t)));
  }
  if (at < bytes) {
    std::byte last[checksum_alignment]{};
    std::memcpy(last, part + at, bytes - at);
    sum += term(offset + at, word_at(last), word_at(last + sizeof(std::uint64_t)));
  }
  return sum;
}

}  // namespace lull::detail
