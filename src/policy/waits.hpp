#ifndef LULL_POLICY_WAITS_HPP
#define LULL_POLICY_WAITS_HPP

#include <lull/sleeper.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

namespace lull::detail {

/// One caller of the sleeper that waits until it is awake.
struct awake_wait {
  awake_wait(acquire_options given, time_point now)
      : how(std::move(given)), next_check(later(now, how.check_every)) {}

  acquire_options how;
  bool take_lease = true;
  std::uint64_t failures_before = 0;  ///< wakes that had failed when it began to wait
  time_point next_check;              ///< when keep_waiting is asked again

  /// When it has to be looked at although nothing happens.
  [[nodiscard]] time_point next_look() const noexcept {
    return how.keep_waiting ? std::min(how.deadline, next_check) : how.deadline;
  }
  /// Asks keep_waiting. Called without the sleeper's lock.
  /// @throws error cancelled; callback
  void ask(time_point now);

  static time_point later(time_point now, duration span) noexcept {
    return span > no_deadline - now ? no_deadline : now + span;
  }
};

/// One acquire_async.
struct async_wait : awake_wait {
  using awake_wait::awake_wait;
  std::function<void(sleeper::acquire_result)> done;
  std::optional<std::stop_callback<std::function<void()>>> wake_up;
  std::optional<sleeper::acquire_result> result;
};

}  // namespace lull::detail

#endif  // LULL_POLICY_WAITS_HPP
