#ifndef LULL_VOCABULARY_ROUND_UP_HPP
#define LULL_VOCABULARY_ROUND_UP_HPP

#include <cstdint>

namespace lull::detail {

/// To a whole number of steps. The result must fit.
constexpr std::uint64_t round_up(std::uint64_t bytes, std::uint64_t step) noexcept {
  return (bytes + step - 1) / step * step;
}

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_ROUND_UP_HPP
