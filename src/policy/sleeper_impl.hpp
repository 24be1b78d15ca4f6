#ifndef LULL_POLICY_SLEEPER_IMPL_HPP
#define LULL_POLICY_SLEEPER_IMPL_HPP

#include <lull/sleeper.hpp>

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "policy/gate.hpp"
#include "policy/participants.hpp"
#include "policy/waits.hpp"
#include "vocabulary/coarse_time.hpp"

namespace lull {

/// One sleep, or a deeper one, that was asked for, shared by those who wait for it.
struct sleep_attempt {
  sleep_plan plan;
  bool only_if_idle = false;  ///< give way to a lease instead of draining
  time_point idle_since{};    ///< with it: what it was due by
  bool by_ladder = false;     ///< a deeper one that nobody waits for
  bool finished = false;
  std::optional<error> failure;
  transition_report report;
};

struct sleeper::impl {
  impl(sleeper& of, sleeper_options given);
  ~impl();
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;

  sleeper* const owner;
  const sleeper_options options;
  const lull::clock& clock;
  const bool on_steady_clock;  ///< which each release asks without a detour

  // The hot part, on cache lines of its own: what every acquire and release write, and what they
  // write now and then.
  alignas(64) detail::gate gate;
  std::atomic<std::uint32_t> observers{0};  ///< leases that only observe; never fewer than are out
  alignas(64) std::atomic<duration::rep> last_active;

  // Everything below is guarded by `mutex`, which is never held while participants or callbacks
  // run, but for participant::next_upkeep().
  alignas(64) mutable std::mutex mutex;
  std::condition_variable changed;    ///< for callers that wait: the state, or an attempt finished
  std::condition_variable work;       ///< for the runner: there may be something to do
  std::optional<duration> idle_time;  ///< of the first rung
  const std::vector<sleep_rung> rungs;  ///< one at least
  std::size_t next_rung = 0;            ///< the first that the sleep has not come to
  bool rung_at_once = false;            ///< more is left on a device than there should be
  std::uint32_t failed_rungs = 0;       ///< of the next rung, one after the other
  time_point no_rung_before = time_point::min();
  sleep_plan current_plan;
  std::shared_ptr<sleep_attempt> wanted_sleep;      ///< asked for, not begun
  std::shared_ptr<sleep_attempt> last_sleep;        ///< begun last
  std::shared_ptr<sleep_attempt> wanted_deepening;  ///< asked for, not begun
  bool deepening = false;
  std::uint32_t failed_idle_sleeps = 0;  ///< one after the other
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
  std::atomic<std::thread::id> acting{};  ///< runs participants where run_on wants them
  std::list<detail::async_wait> async_waits;
  std::thread async_server;
  detail::participants members;

  std::atomic<std::uint64_t> done_bytes{0};
  std::atomic<std::uint64_t> total_bytes{0};

  // Two threads that leave at once may store their times in the wrong order; the later one is then
  // forgotten by as long as one of them was held up between reading the clock and storing it.
  void mark_active() noexcept {
    const time_point at = on_steady_clock ? detail::coarse_steady_now() : clock.coarse_now();
    const duration::rep now = at.time_since_epoch().count();
    // Between two ticks of the coarse clock its cache line is only read, and stays in every core.
    if (now > last_active.load(std::memory_order_relaxed)) {
      last_active.store(now, std::memory_order_relaxed);
    }
  }
  void leave() noexcept {
    if (gate.leave()) tell_who_drains();
  }
  [[gnu::noinline]] void tell_who_drains() noexcept;
  void leave_observing() noexcept;
  [[nodiscard]] time_point idle_since() const noexcept;

  // Called with `lock` held.
  void set_state(sleep_state next);
  void start_runner();
  void expect_other_thread(const char* what) const;
  [[nodiscard]] duration idle_wait() const;
  [[nodiscard]] static duration wait_after_failures(duration first, std::uint32_t failures);
  [[nodiscard]] std::optional<time_point> idle_deadline() const;
  [[nodiscard]] std::optional<time_point> upkeep_deadline() const;
  [[nodiscard]] std::optional<time_point> next_deadline() const;
  [[nodiscard]] bool start_idle_sleep(time_point now);
  void start_upkeep(time_point now);
  [[nodiscard]] duration time_of(std::size_t rung) const;
  [[nodiscard]] std::optional<time_point> rung_deadline() const;
  [[nodiscard]] bool start_rung(time_point now);
  void begin_asleep(sleep_plan plan, const sleep_counters& from, transition_report last);
  void expect_first_rung_at(std::optional<duration> wanted) const;
  void begin_ladder();
  void pass_rungs();
  void note_failed_rung(const error& failure);
  [[nodiscard]] std::shared_ptr<sleep_attempt> want_deepening(
      std::unique_lock<std::mutex>& lock, const std::optional<sleep_plan>& plan);
  void begin_wait(detail::awake_wait& wait) noexcept;
  void end_wait(const detail::awake_wait& wait) noexcept;
  /// Whether it has got what it waits for; its lease is taken then.
  /// @throws error why it never will
  [[nodiscard]] bool is_over(const detail::awake_wait& wait);
  [[nodiscard]] std::list<detail::async_wait> take_finished_waits();
  [[nodiscard]] bool ask_who_is_due(std::unique_lock<std::mutex>& lock);
  std::shared_ptr<sleep_attempt> want_sleep(std::unique_lock<std::mutex>& lock,
                                            const std::optional<sleep_plan>& plan);

  [[nodiscard]] transition_report report_of(std::unique_lock<std::mutex>& lock,
                                            const sleep_attempt& attempt);

  // Called without the lock.
  void wait_awake(detail::awake_wait& wait);
  /// After an attempt that failed, or in a child made by fork(): waits until it is awake, and takes
  /// a lease.
  [[gnu::noinline]] lease enter_slowly(time_point deadline, const stop_view& give_up);
  void add_async(std::list<detail::async_wait> one);
  void finish_async(detail::async_wait& wait) noexcept;
  void serve_async();

  // The runner's side.
  [[nodiscard]] detail::outcome run_participants(const std::function<detail::outcome()>& run);
  void run();
  [[nodiscard]] std::optional<time_point> take_turn(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool ask_participants(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt,
                                      const std::function<detail::outcome(transition&)>& act);
  void perform_sleep(std::unique_lock<std::mutex>& lock);
  void carry_out(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt);
  void end_sleep(sleep_attempt& attempt);
  void perform_deepening(std::unique_lock<std::mutex>& lock);
  void carry_out_deepening(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt);
  void end_deepening(sleep_attempt& attempt);
  [[nodiscard]] std::optional<error> why_not_deeper() const;
  [[nodiscard]] std::optional<error> settle_on_possible(sleep_attempt& attempt) const;
  [[nodiscard]] bool leaves_too_much(const sleep_plan& plan, transition& current) const;
  void perform_wake(std::unique_lock<std::mutex>& lock);
  void replace_image(transition& current);
  void do_upkeep(const std::vector<std::shared_ptr<participant>>& due, time_point now);
  [[nodiscard]] bool perform_upkeep(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool drain(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt);
  void finish(std::unique_lock<std::mutex>& lock, transition_report report);
  [[nodiscard]] transition begin_transition();
  [[nodiscard]] reset_options options_of_resets() const;
};

}  // namespace lull

#endif  // LULL_POLICY_SLEEPER_IMPL_HPP
