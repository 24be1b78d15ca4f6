#ifndef LULL_CORE_PROBE_THREAD_HPP
#define LULL_CORE_PROBE_THREAD_HPP

#include <lull/clock.hpp>
#include <lull/error.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace lull::detail {

enum class call_outcome : std::uint8_t {
  returned,       ///< there is a result
  late,           ///< the deadline is over and the call still runs
  still_hanging,  ///< an earlier call is past its deadline: nothing was started
  cancelled,      ///< the stop token was set; the call may still run
};

template <class Result>
struct bounded_result {
  call_outcome outcome = call_outcome::late;
  std::optional<Result> value;  ///< with `returned` only
};

/// Makes calls that may never return, one at a time, on a thread of its own. Who calls waits until
/// its own deadline and no longer.
///
/// The thread is started at the first call and parked between calls. A call that outlives the
/// object keeps its thread, which then owns all it touches: what `work` captures lives until `work`
/// has returned, so capture whatever keeps the code it calls loaded. A process may exit meanwhile.
/// Thread-safe; not to be destroyed while a caller waits in it.
class probe_thread {
 public:
  probe_thread();
  /// Ends the parked thread. Does not wait for a call that hangs.
  ~probe_thread();
  probe_thread(const probe_thread&) = delete;
  probe_thread& operator=(const probe_thread&) = delete;

  /// Runs `work` and waits for what it returns. While a call that is not late runs, others wait
  /// their turn, within their own deadlines.
  /// @param work copied or moved to the thread; runs at most once, possibly after this returned
  /// @throws whatever `work` throws; error (out_of_host_memory) when no thread can be started
  template <class Work>
  auto call(const clock& time, Work work, time_point deadline, const std::stop_token& stop = {})
      -> bounded_result<std::invoke_result_t<Work&>> {
    using result = std::invoke_result_t<Work&>;
    struct slot {
      std::optional<result> value;
      std::exception_ptr failure;
    };
    auto answer = std::make_shared<slot>();
    auto job = [answer, work = std::move(work)]() mutable {
      try {
        answer->value.emplace(work());
      } catch (...) {
        answer->failure = std::current_exception();
      }
    };
    const call_outcome outcome = run(time, std::move(job), deadline, stop);
    if (outcome != call_outcome::returned) return {outcome, std::nullopt};
    if (answer->failure) std::rethrow_exception(answer->failure);
    return {outcome, std::move(answer->value)};
  }

  /// Whether a call is past its deadline and has not returned.
  [[nodiscard]] bool hanging() const;
  /// How many threads were started so far: 1 however many calls return.
  [[nodiscard]] std::uint64_t threads_started() const;

 private:
  struct shared_state;

  /// `job` must not throw.
  call_outcome run(const clock& time, std::function<void()> job, time_point deadline,
                   const std::stop_token& stop);

  std::shared_ptr<shared_state> state_;
};

}  // namespace lull::detail

#endif  // LULL_CORE_PROBE_THREAD_HPP
