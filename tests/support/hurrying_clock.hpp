#ifndef LULL_TESTS_SUPPORT_HURRYING_CLOCK_HPP
#define LULL_TESTS_SUPPORT_HURRYING_CLOCK_HPP

#include <lull/clock.hpp>
#include <lull/settle.hpp>

namespace lull::test {

/// For settle(): pauses between samples pass at once. A longer wait is one for a probe, and only
/// the probe itself can move the time then.
class hurrying_clock final : public clock {
 public:
  [[nodiscard]] time_point now() const noexcept override { return time_.now(); }
  void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  time_point deadline) const override {
    const duration left = deadline - now();
    if (left > duration::zero() && left <= settle_options{}.longest_interval) {
      time_.advance(left);
    } else {
      time_.wait_until(changed, lock, deadline);
    }
  }
  void advance(duration span) { time_.advance(span); }

 private:
  mutable manual_clock time_;
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_HURRYING_CLOCK_HPP
