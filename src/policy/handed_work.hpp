#ifndef LULL_POLICY_HANDED_WORK_HPP
#define LULL_POLICY_HANDED_WORK_HPP

#include <lull/clock.hpp>
#include <lull/sleeper.hpp>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace lull::detail {

/// A piece of work that one thread hands to another and waits for. It is run once, or refused by
/// whoever got it, or taken back by whoever waits.
class handed_work {
 public:
  explicit handed_work(std::function<void()> work) : work_(std::move(work)) {}

  /// Hands it over and waits until it is done.
  /// @param stop takes it back if it has not begun
  /// @return why it did not run; absent when it did
  static std::optional<error> hand_over(const std::function<void(transition_work)>& to,
                                        std::function<void()> work, const std::stop_token& stop);

  void run() noexcept;
  void refuse() noexcept;

 private:
  enum class progress { waiting, running, done, refused, taken_back };

  /// Takes it back if it has not begun, else waits for its end.
  progress wait(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable changed_;
  progress progress_ = progress::waiting;
  std::function<void()> work_;
};

}  // namespace lull::detail

#endif  // LULL_POLICY_HANDED_WORK_HPP
