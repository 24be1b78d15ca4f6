#ifndef LULL_TESTS_SUPPORT_EVENTUALLY_HPP
#define LULL_TESTS_SUPPORT_EVENTUALLY_HPP

#include <lull/clock.hpp>

#include <chrono>
#include <functional>
#include <thread>

namespace lull::test {

/// What a healthy machine does in milliseconds and a busy one under sanitizers in seconds.
inline constexpr auto patience = std::chrono::seconds{10};

/// Waits for what another thread or process is about to do, as long as patience lasts.
/// @return whether it happened
inline bool eventually(const std::function<bool()>& condition) {
  const time_point deadline = steady_clock().deadline_in(patience);
  while (!condition()) {
    if (steady_clock().now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{2});
  }
  return true;
}

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_EVENTUALLY_HPP
