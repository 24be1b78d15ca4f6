#ifndef LULL_CLOCK_HPP
#define LULL_CLOCK_HPP

/// @file
/// Time, as an object that is passed in, so that policy can be tested without sleeping.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace lull {

using duration = std::chrono::steady_clock::duration;
using time_point = std::chrono::steady_clock::time_point;

/// Stands for "no deadline".
inline constexpr time_point no_deadline = time_point::max();

/// Where time comes from. Implementations are thread-safe and never throw.
class LULL_API clock {
 public:
  virtual ~clock() = default;

  [[nodiscard]] virtual time_point now() const noexcept = 0;

  /// A cheaper now() that may lag by up to 10 ms and never leads. For marks of activity on hot
  /// paths.
  [[nodiscard]] virtual time_point coarse_now() const noexcept { return now(); }

  /// Waits on `changed` until notified, until `deadline`, or spuriously. Callers loop over their
  /// own condition, as with std::condition_variable.
  virtual void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                          time_point deadline) const = 0;

  /// `now() + span`, which stays at no_deadline instead of overflowing.
  [[nodiscard]] time_point deadline_in(duration span) const noexcept;
};

/// The machine's monotonic clock. One object for the whole process; never destroyed.
LULL_API const clock& steady_clock() noexcept;

/// A clock that stands still until it is told otherwise. For tests, ours and yours.
class LULL_API manual_clock final : public clock {
 public:
  /// Starts an hour after the epoch, so that "some time ago" can be expressed.
  [[nodiscard]] time_point now() const noexcept override;

  /// Looks at the time once per millisecond of real time, so that advance() need not know who
  /// waits.
  void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  time_point deadline) const override;

  /// Moves time forward. `span` >= 0. Thread-safe.
  void advance(duration span) noexcept;

 private:
  std::atomic<duration::rep> since_epoch_{duration{std::chrono::hours{1}}.count()};
};

}  // namespace lull

#endif  // LULL_CLOCK_HPP
