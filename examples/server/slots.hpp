#ifndef EXAMPLES_SERVER_SLOTS_HPP
#define EXAMPLES_SERVER_SLOTS_HPP

#include <lull/clock.hpp>

#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace example {

/// How many completions are computed at once. Not std::counting_semaphore, which can neither be
/// cancelled nor, in the libstdc++ of GCC 12, be trusted not to oversleep a release (GCC bug
/// 104928). Thread-safe.
class slots {
 public:
  explicit slots(int count) : free_(count) {}

  /// Waits for a free slot and takes it.
  /// @throws lull::error timed_out, cancelled; then none is taken
  void take(lull::time_point deadline, const std::stop_token& stop);
  void give_back() noexcept;

 private:
  std::mutex mutex_;
  std::condition_variable_any freed_;
  int free_;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_SLOTS_HPP
