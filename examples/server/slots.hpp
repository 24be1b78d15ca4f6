#ifndef EXAMPLES_SERVER_SLOTS_HPP
#define EXAMPLES_SERVER_SLOTS_HPP

#include <lull/clock.hpp>

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <vector>

namespace example {

/// The places in which completions are computed, numbered from 0. The one that was given back last
/// is taken first: what it has captured is the likeliest to be kept. Not std::counting_semaphore,
/// which can neither be cancelled nor, in the libstdc++ of GCC 12, be trusted not to oversleep a
/// release (GCC bug 104928). Thread-safe.
class slots {
 public:
  explicit slots(int count);

  /// Waits for a free slot and takes it.
  /// @return its number
  /// @throws lull::error timed_out, cancelled; then none is taken
  [[nodiscard]] int take(lull::time_point deadline, const std::stop_token& stop);
  void give_back(int slot) noexcept;

 private:
  std::mutex mutex_;
  std::condition_variable_any freed_;
  std::vector<int> free_;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_SLOTS_HPP
