// The sleeper's own thread: it carries out transitions, one at a time.

#include <algorithm>
#include <utility>

#include "policy/handed_work.hpp"
#include "policy/released.hpp"
#include "policy/sleeper_impl.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

/// For how long a thread that had no memory for something waits before it tries again.
constexpr duration patience = std::chrono::milliseconds{100};

}  // namespace

void sleeper::impl::run() {
  // Also how long callers have the lock at least between two turns.
  constexpr duration shortest_wait = std::chrono::milliseconds{1};
  std::unique_lock lock(mutex);
  while (!stopping) {
    try {
      const auto due = take_turn(lock);
      if (due) clock.wait_until(work, lock, std::max(*due, clock.deadline_in(shortest_wait)));
    } catch (...) {
      // There was no memory for something. The thread goes on, and tries again after a while.
      const error failure = detail::current_error(status::internal, "sleeper");
      if (lock.owns_lock()) lock.unlock();
      options.log.write(log_level::error, failure.what());
      lock.lock();
      clock.wait_until(work, lock, clock.deadline_in(patience));
    }
  }
}

/// Does one thing, if there is any to do.
/// @return when there will be something; absent: look again at once
std::optional<time_point> sleeper::impl::take_turn(std::unique_lock<std::mutex>& lock) {
  const sleep_state state = gate.state();
  const bool wake_wanted = state == sleep_state::asleep && wakers != 0;
  if (wanted_deepening && !wake_wanted) {
    perform_deepening(lock);
  } else if (wanted_sleep && state == sleep_state::awake) {
    perform_sleep(lock);
  } else if (wake_wanted) {
    perform_wake(lock);
  } else if (options.watch_idle && start_idle_sleep(clock.now())) {
    return std::nullopt;
  } else if ((options.watch_idle || rung_at_once) && start_rung(clock.now())) {
    return std::nullopt;
  } else if (!perform_upkeep(lock)) {
    return (options.watch_idle ? next_deadline() : std::nullopt).value_or(no_deadline);
  }
  return std::nullopt;
}

/// Has participants do what is due, with the lock let go meanwhile.
/// @return whether anything was
bool sleeper::impl::perform_upkeep(std::unique_lock<std::mutex>& lock) {
  if (!std::exchange(upkeep_wanted, false) && !options.watch_idle) return false;
  if (gate.state() != sleep_state::awake) return false;
  const time_point now = clock.now();
  const auto due = members.take_due(now);
  if (due.empty()) return false;
  lock.unlock();
  const auto done = run_participants([&] {
    do_upkeep(due, now);
    return detail::outcome{};
  });
  if (done.failure)
    options.log.write(log_level::warning, detail::text("upkeep: {}", done.failure->what()));
  lock.lock();
  return true;
}

void sleeper::impl::do_upkeep(const std::vector<std::shared_ptr<participant>>& due,
                              time_point now) {
  for (const auto& each : due) {
    try {
      each->upkeep(now);
    } catch (...) {
      options.log.write(
          log_level::error,
          detail::current_error(status::callback, detail::text("{}: upkeep failed", each->name()))
              .what());
    }
  }
}

/// Runs participants where the engine wants them run.
detail::outcome sleeper::impl::run_participants(const std::function<detail::outcome()>& run) {
  if (!options.run_on) return run();
  detail::outcome result;
  const auto act = [&] {
    acting.store(std::this_thread::get_id(), std::memory_order_relaxed);
    try {
      result = run();
    } catch (...) {
      result.failure = detail::current_error(status::internal);
    }
    acting.store({}, std::memory_order_relaxed);
  };
  auto refusal = detail::handed_work::hand_over(options.run_on, act, stop.get_token());
  if (!refusal) return result;
  return {std::move(refusal), true};  // nothing has been done
}

/// Closes the gate and waits for the leases that are out.
/// @return false when they did not come back in time: the gate is open again
bool sleeper::impl::drain(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt) {
  if (attempt.only_if_idle) {
    // Work that came in since the timer fired goes first, also when it is done by now.
    return idle_since() == attempt.idle_since && gate.close_if_idle(sleep_state::sleeping);
  }
  set_state(sleep_state::draining);
  const time_point deadline = clock.deadline_in(options.drain_timeout);
  // Read once per iteration: a refused attempt counts as a lease for a moment.
  std::uint32_t left = gate.leases();
  while (left != 0 && clock.now() < deadline && !stopping) {
    clock.wait_until(changed, lock, deadline);
    left = gate.leases();
  }
  if (left != 0) {
    set_state(sleep_state::awake);
    attempt.failure = error(
        stopping ? status::cancelled : status::timed_out,
        detail::text(
            "{} leases did not come back within {} ms", left,
            std::chrono::duration_cast<std::chrono::milliseconds>(options.drain_timeout).count()));
    return false;
  }
  return true;
}

transition sleeper::impl::begin_transition() {
  done_bytes.store(0, std::memory_order_relaxed);
  total_bytes.store(0, std::memory_order_relaxed);
  return {clock, stop.get_token(),
          [this](const transfer_progress& so_far) {
            done_bytes.store(so_far.done_bytes, std::memory_order_relaxed);
            total_bytes.store(so_far.total_bytes, std::memory_order_relaxed);
          },
          options.log};
}

/// Without a log: what a reset has to say goes to the transition, which logs it. Without a release
/// clock: that is marked at the end of the sleep, if it is not taken back.
reset_options sleeper::impl::options_of_resets() const {
  reset_options how;
  how.drop = options.reset.drop;
  how.drain_timeout = options.reset.drain_timeout.value_or(options.drain_timeout);
  how.settle_timeout = options.reset.settle_timeout;
  how.reset = options.reset.reset;
  how.clock = options.clock;
  return how;
}

/// Has the participants do what an attempt is about, with the lock let go; takes down in its report
/// what came of it.
/// @return whether a device is left with more than the plan allows
bool sleeper::impl::ask_participants(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt,
                                     const std::function<detail::outcome(transition&)>& act) {
  lock.unlock();
  transition current = begin_transition();
  bool too_much = false;
  const detail::outcome result = run_participants([&] {
    if (auto failure = settle_on_possible(attempt)) return detail::outcome{std::move(failure)};
    detail::outcome done = act(current);
    too_much = !done.failure && leaves_too_much(attempt.plan, current);
    return done;
  });
  // What was taken back holds its memory again.
  if (options.releases != nullptr && (!result.failure || !result.rolled_back)) {
    detail::mark_released(*options.releases, current.devices_, current.released_,
                          attempt.plan.context);
  }
  lock.lock();
  attempt.failure = result.failure;
  current.write_to(attempt.report, result.failure, result.rolled_back);
  return too_much;
}

void sleeper::impl::perform_sleep(std::unique_lock<std::mutex>& lock) {
  const auto attempt = std::exchange(wanted_sleep, nullptr);
  last_sleep = attempt;
  try {
    carry_out(lock, *attempt);
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    if (!attempt->finished) {
      attempt->failure = detail::current_error(status::internal, "sleep");
      end_sleep(*attempt);
    }
    throw;
  }
}

void sleeper::impl::carry_out(std::unique_lock<std::mutex>& lock, sleep_attempt& attempt) {
  const time_point begun = clock.now();
  transition_report& report = attempt.report;
  report.way = transition_report::direction::sleep;
  report.plan = attempt.plan.name;
  if (!drain(lock, attempt)) {
    report.elapsed = clock.now() - begun;
    attempt.finished = true;
    changed.notify_all();
    if (!attempt.failure) return;  // there is work: not a failure, and not worth a report
    ++counters.failed_sleeps;
    report.failure = attempt.failure->what();
    finish(lock, report);
    return;
  }
  current_plan = attempt.plan;
  set_state(sleep_state::sleeping);

  const bool too_much = ask_participants(lock, attempt, [&](transition& current) {
    return members.sleep(attempt.plan, options_of_resets(), current);
  });
  report.elapsed = clock.now() - begun;
  std::swap(current_plan, attempt.plan);  // it may have fallen back
  end_sleep(attempt);
  rung_at_once = too_much;
  finish(lock, report);
}

/// Counts a sleep that was carried out, tells those who wait for it, and opens the gate if it is to
/// be open.
void sleeper::impl::end_sleep(sleep_attempt& attempt) {
  attempt.finished = true;
  begin_ladder();
  if (!attempt.failure) {
    ++counters.sleeps;
    failed_idle_sleeps = 0;
  } else {
    ++counters.failed_sleeps;
    if (attempt.only_if_idle) ++failed_idle_sleeps;
    // The idle time starts anew, so that a sleep that fails is not tried again at once.
    mark_active();
  }
  // Whoever could not be taken back needs a wake, like after a sleep that succeeded.
  const bool all_awake = attempt.failure && !members.any_asleep();
  set_state(all_awake ? sleep_state::awake : sleep_state::asleep);
}

void sleeper::impl::perform_wake(std::unique_lock<std::mutex>& lock) {
  const time_point begun = clock.now();
  transition_report report;
  report.way = transition_report::direction::wake;
  detail::outcome result;
  set_state(sleep_state::waking);
  lock.unlock();
  try {
    report.plan = current_plan.name;
    transition current = begin_transition();
    result = run_participants([&] { return members.wake(current_plan, current); });
    current.write_to(report, result.failure, result.rolled_back);
  } catch (...) {
    if (!result.failure) result.failure = detail::current_error(status::internal, "wake");
  }
  lock.lock();

  report.elapsed = clock.now() - begun;
  if (result.failure) {
    ++counters.failed_wakes;
    // All who wait now get this error; only those who come later count for the next attempt.
    wake_failure = result.failure;
    ++failed_wakes;
    wakers = 0;
    set_state(sleep_state::asleep);
  } else {
    ++counters.wakes;
    mark_active();
    set_state(sleep_state::awake);
    current_plan = rungs.front().plan;
  }
  finish(lock, std::move(report));
}

/// Makes a report known. Lets go of the lock meanwhile.
void sleeper::impl::finish(std::unique_lock<std::mutex>& lock, transition_report report) {
  last_report = report;
  lock.unlock();
  const auto level = report.failure.empty() ? log_level::info : log_level::warning;
  if (options.log.wants(level)) {
    options.log.write(
        level,
        detail::text("{} ({}) {} in {} ms{}{}", to_string(report.way), report.plan,
                     report.failure.empty() ? "done" : "failed",
                     std::chrono::duration_cast<std::chrono::milliseconds>(report.elapsed).count(),
                     report.failure.empty() ? "" : ": ", report.failure));
  }
  if (options.on_transition) {
    try {
      options.on_transition(report);
    } catch (...) {
      options.log.write(log_level::error,
                        detail::current_error(status::callback, "on_transition threw").what());
    }
  }
  lock.lock();
}

}  // namespace lull
