#ifndef LULL_VOCABULARY_COARSE_TIME_HPP
#define LULL_VOCABULARY_COARSE_TIME_HPP

#include <lull/clock.hpp>

#include <time.h>

namespace lull::detail {

/// What steady_clock().coarse_now() says, for who knows that it is the one to ask.
/// CLOCK_MONOTONIC_COARSE is CLOCK_MONOTONIC at the last timer tick, 1 to 10 ms apart
/// (clock_gettime(2)); reading it costs a quarter of the exact one.
inline time_point coarse_steady_now() noexcept {
  timespec at;
  if (::clock_gettime(CLOCK_MONOTONIC_COARSE, &at) != 0) return std::chrono::steady_clock::now();
  return time_point{std::chrono::seconds{at.tv_sec} + std::chrono::nanoseconds{at.tv_nsec}};
}

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_COARSE_TIME_HPP
