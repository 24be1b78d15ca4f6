#ifndef LULL_TESTS_SUPPORT_SETTLE_WORLD_HPP
#define LULL_TESTS_SUPPORT_SETTLE_WORLD_HPP

#include <algorithm>
#include <functional>
#include <utility>
#include <variant>
#include <vector>

#include "settle/driver.hpp"

namespace lull::test {

/// The outside of a wait, without threads: waiting moves the time, and so does probing.
class fake_world final : public detail::settle_world {
 public:
  using answer = std::variant<std::vector<memory_reading>, detail::sample_failure>;
  /// Given the time since the release at which it is asked.
  using script = std::function<answer(duration since_release)>;

  explicit fake_world(script answers) : answers_(std::move(answers)) {}

  [[nodiscard]] time_point now() const noexcept override { return now_; }
  [[nodiscard]] answer sample(time_point deadline) override {
    asked.push_back(since_release());
    answer result = answers_(since_release());
    now_ += probe_takes;
    if (now_ < deadline) return result;
    // As the real world does: who asks does not wait beyond the deadline.
    now_ = std::max(deadline, now_ - probe_takes);
    return detail::sample_failure{settle_status::timed_out, "late"};
  }
  [[nodiscard]] bool wait_until(time_point moment) override {
    if (cancel_at && moment >= release + *cancel_at) {
      now_ = std::max(now_, release + *cancel_at);
      return false;
    }
    now_ = std::max(now_, moment);
    return true;
  }

  [[nodiscard]] duration since_release() const { return now_ - release; }

  /// Runs a wait that begins `after_release`.
  settle_result settle(settle_options options = {}, duration after_release = {}) {
    now_ = release + after_release;
    const auto released_at = [this](std::string_view device) -> std::optional<release_mark> {
      if (!is_released(device)) return std::nullopt;
      return release_mark{release, gain_of(device)};
    };
    return detail::run_settle(options, released_at, *this);
  }

  const time_point release{std::chrono::hours{1}};
  /// On which devices the release is recorded.
  std::function<bool(std::string_view device)> is_released = [](std::string_view) { return true; };
  /// What the mark says comes back.
  std::function<release_gain(std::string_view device)> gain_of = [](std::string_view) {
    return release_gain{};
  };
  duration probe_takes{};
  std::optional<duration> cancel_at;
  std::vector<duration> asked;  ///< when samples were taken, since the release

 private:
  script answers_;
  time_point now_ = release;
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_SETTLE_WORLD_HPP
