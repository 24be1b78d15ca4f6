#ifndef LULL_BACKENDS_COMMON_MANAGEMENT_START_HPP
#define LULL_BACKENDS_COMMON_MANAGEMENT_START_HPP

#include <chrono>
#include <mutex>
#include <optional>

namespace lull::backends {

/// Starts a management library with the first question to it, because that can hang, and never ends
/// it: another user of it in this process may count on its staying so. One that does not start is
/// asked again after a while: it may be there before the driver is.
class management_start {
 public:
  explicit management_start(std::chrono::milliseconds retry) : retry_(retry) {}

  /// @param start says whether it has worked; called by one thread at a time, and no more once it
  ///        has
  template <class Start>
  bool ready(Start&& start) {
    const std::lock_guard lock(mutex_);
    if (ready_) return true;
    const auto now = std::chrono::steady_clock::now();
    if (tried_ && now - *tried_ < retry_) return false;
    tried_ = now;
    ready_ = start();
    return ready_;
  }

 private:
  const std::chrono::milliseconds retry_;
  std::mutex mutex_;
  bool ready_ = false;
  std::optional<std::chrono::steady_clock::time_point> tried_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_MANAGEMENT_START_HPP
