#ifndef LULL_POLICY_SLEEPER_IMPL_HPP
#define LULL_POLICY_SLEEPER_IMPL_HPP

#include <lull/sleeper.hpp>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "policy/gate.hpp"
#include "policy/participants.hpp"

namespace lull {

/// One sleep that was asked for, shared by those who wait for it.
struct sleep_attempt {
  sleep_plan plan;
  bool only_if_idle = false;  ///< give way to a lease instead of draining
  bool finished = false;
  std::optional<error> failure;
  transition_report report;
};

struct sleeper::impl {
  explicit impl(sleeper_options given);
  ~impl();
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;

  const sleeper_options options;
  const lull::clock& clock;

  // The hot part: what acquire and release touch, on a cache line of its own.
  alignas(64) detail::gate gate;
  std::atomic<duration::rep> last_active;

  // Everything below is guarded by `mutex`, which is never held while participants or callbacks
  // run, but for participant::next_upkeep().
  alignas(64) mutable std::mutex mutex;
  std::condition_variable changed;  ///< for callers that wait: the state, or an attempt finished
  std::condition_variable work;     ///< for the runner: there may be something to do
  std::optional<duration> idle_time;
  sleep_plan current_plan;
  std::shared_ptr<sleep_attempt> wanted_sleep;  ///< asked for, not begun
  std::shared_ptr<sleep_attempt> last_sleep;    ///< begun last
  std::uint64_t failed_wakes = 0;
  std::optional<error> wake_failure;  ///< of the last failed wake
  std::uint32_t wakers = 0;           ///< callers that want a wake since the last failed one
  std::uint32_t waiting = 0;
  bool upkeep_wanted = false;  ///< poll() found some due
  time_point state_since;
  sleep_counters counters;
  std::optional<transition_report> last_report;
  bool stopping = false;
  std::stop_source stop;
  std::thread runner;
  detail::participants sleepers;

  std::atomic<std::uint64_t> done_bytes{0};
  std::atomic<std::uint64_t> total_bytes{0};

  void mark_active() noexcept;
  [[nodiscard]] time_point idle_since() const noexcept;
  void leave() noexcept;

  // Called with `lock` held.
  void set_state(sleep_state next);
  void start_runner();
  void expect_other_thread(const char* what) const;
  [[nodiscard]] std::optional<time_point> idle_deadline() const;
  [[nodiscard]] std::optional<time_point> upkeep_deadline() const;
  [[nodiscard]] std::optional<time_point> next_deadline() const;
  [[nodiscard]] bool start_idle_sleep(time_point now);
  void start_upkeep(time_point now);
  void wait_awake(std::unique_lock<std::mutex>& lock, time_point deadline,
                  const std::stop_token& stop, bool take_lease);
  std::shared_ptr<sleep_attempt> want_sleep(std::unique_lock<std::mutex>& lock,
                                            const std::optional<sleep_plan>& plan);

  // The runner's side.
  void run();
  void perform_sleep(std::unique_lock<std::mutex>& lock);
  void perform_wake(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool perform_upkeep(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool drain(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt);
  void finish(std::unique_lock<std::mutex>& lock, transition_report report);
  [[nodiscard]] transition begin_transition();
};

}  // namespace lull

#endif  // LULL_POLICY_SLEEPER_IMPL_HPP
