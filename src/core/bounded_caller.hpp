#ifndef LULL_CORE_BOUNDED_CALLER_HPP
#define LULL_CORE_BOUNDED_CALLER_HPP

#include <lull/clock.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace lull::detail {

/// Calls what may hang. The work runs on a thread of its own, which is kept for the next call; a
/// caller waits for it until its deadline and no longer. A call that hangs costs the caller who
/// started it its deadline and later callers nothing: until it returns they are told so at once, and
/// nothing is started a second time.
///
/// Source of the need: a management library's call can block in the kernel for seconds or for good,
/// and then no signal or cancellation reaches it (NVIDIA/go-nvml issue 152, leptonai/gpud issue 117).
///
/// Thread-safe; calls run one after the other.
class bounded_caller {
 public:
  enum class outcome {
    done,
    timed_out,  ///< the deadline passed; the work may still finish later
    hanging,    ///< not started: an earlier call is past its deadline and has not returned
  };

  bounded_caller() = default;
  /// Joins an idle thread; leaves a hanging one to itself.
  ~bounded_caller();
  bounded_caller(const bounded_caller&) = delete;
  bounded_caller& operator=(const bounded_caller&) = delete;

  /// @param work must not throw, and owns what it uses: it may outlive the caller
  [[nodiscard]] outcome call(std::function<void()> work, const clock& time, time_point deadline);

 private:
  struct shared;

  void start_thread();

  std::mutex starting_;
  std::shared_ptr<shared> shared_;
  std::thread thread_;
};

}  // namespace lull::detail

#endif  // LULL_CORE_BOUNDED_CALLER_HPP
