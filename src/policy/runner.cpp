// The sleeper's own thread: it carries out transitions, one at a time.

#include <lull/settle.hpp>

#include <algorithm>
#include <new>

#include "policy/handed_work.hpp"
#include "policy/sleeper_impl.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

/// Whether a sleep gave up memory of a device. Measured where the platform can tell.
bool released_memory(const device_report& on, context_action context) noexcept {
  if (on.copied_bytes != 0 || on.discarded_bytes != 0) return true;
  const auto freed = on.freed_bytes();
  return freed ? *freed > 0 : context == context_action::reset;
}

/// @param told devices whose memory a participant says it gave up
void mark_released(release_clock& releases, const std::vector<device_report>& devices,
                   const std::vector<std::string>& told, context_action context) noexcept {
  for (const device_report& each : devices) {
    const bool said = std::find(told.begin(), told.end(), each.device) != told.end();
    if (!said && !released_memory(each, context)) continue;
    try {
      releases.mark(each.device);
    } catch (...) {
      return releases.mark_all();  // needs no memory
    }
  }
}

}  // namespace

void sleeper::impl::run() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const sleep_state state = gate.state();
    if (wanted_sleep && state == sleep_state::awake) {
      perform_sleep(lock);
    } else if (state == sleep_state::asleep && wakers != 0) {
      perform_wake(lock);
    } else if (options.watch_idle && start_idle_sleep(clock.now())) {
      continue;
    } else if (!perform_upkeep(lock)) {
      const auto due = options.watch_idle ? next_deadline() : std::nullopt;
      clock.wait_until(work, lock, due.value_or(no_deadline));
    }
  }
}

/// Has participants do what is due, with the lock let go meanwhile.
/// @return whether anything was
bool sleeper::impl::perform_upkeep(std::unique_lock<std::mutex>& lock) {
  if (!std::exchange(upkeep_wanted, false) && !options.watch_idle) return false;
  if (gate.state() != sleep_state::awake) return false;
  const time_point now = clock.now();
  std::vector<std::shared_ptr<participant>> due;
  try {
    due = sleepers.due(now);
  } catch (const std::bad_alloc&) {
    return false;
  }
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
    result = run();
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
    // Work that came in since the timer fired goes first.
    return gate.close_if_idle(sleep_state::sleeping);
  }
  set_state(sleep_state::draining);
  const time_point deadline = clock.deadline_in(options.drain_timeout);
  // Looked at once a round: an attempt that is about to be turned away counts for a moment.
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

/// Without a log: what a reset has to say goes to the transition, which logs it. Without a release clock:
/// that is marked at the end of the sleep, if it is not taken back.
reset_options sleeper::impl::options_of_resets() const {
  reset_options how;
  how.drop = options.reset.drop;
  how.drain_timeout = options.reset.drain_timeout.value_or(options.drain_timeout);
  how.settle_timeout = options.reset.settle_timeout;
  how.reset = options.reset.reset;
  how.clock = options.clock;
  return how;
}

void sleeper::impl::perform_sleep(std::unique_lock<std::mutex>& lock) {
  const auto attempt = std::exchange(wanted_sleep, nullptr);
  last_sleep = attempt;
  const time_point begun = clock.now();
  transition_report& report = attempt->report;
  report.way = transition_report::direction::sleep;
  report.plan = attempt->plan.name;

  if (!drain(lock, *attempt)) {
    report.elapsed = clock.now() - begun;
    attempt->finished = true;
    changed.notify_all();
    if (!attempt->failure) return;  // there is work: not a failure, and not worth a report
    report.failure = attempt->failure->what();
    ++counters.failed_sleeps;
    finish(lock, report);
    return;
  }
  current_plan = attempt->plan;
  set_state(sleep_state::sleeping);

  lock.unlock();
  transition current = begin_transition();
  const detail::outcome result =
      run_participants([&] { return sleepers.sleep(attempt->plan, options_of_resets(), current); });
  // A sleep that was taken back holds its memory again.
  if (options.releases != nullptr && (!result.failure || !result.rolled_back)) {
    mark_released(*options.releases, current.devices_, current.released_, attempt->plan.context);
  }
  lock.lock();

  current.write_to(report, result.failure, result.rolled_back);
  report.elapsed = clock.now() - begun;
  attempt->failure = result.failure;
  attempt->finished = true;
  ++(result.failure ? counters.failed_sleeps : counters.sleeps);
  // The idle time starts anew, so that a sleep that fails is not tried again at once.
  if (result.failure) mark_active();
  // Whoever could not be taken back needs a wake, like after a sleep that succeeded.
  set_state(result.failure && result.rolled_back ? sleep_state::awake : sleep_state::asleep);
  finish(lock, report);
}

void sleeper::impl::perform_wake(std::unique_lock<std::mutex>& lock) {
  const time_point begun = clock.now();
  transition_report report;
  report.way = transition_report::direction::wake;
  report.plan = current_plan.name;
  set_state(sleep_state::waking);

  lock.unlock();
  transition current = begin_transition();
  const detail::outcome result =
      run_participants([&] { return sleepers.wake(current_plan, current); });
  lock.lock();

  current.write_to(report, result.failure, result.rolled_back);
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
    current_plan = options.plan;
    mark_active();
    set_state(sleep_state::awake);
  }
  finish(lock, std::move(report));
}

/// Makes a report known. Lets go of the lock meanwhile.
void sleeper::impl::finish(std::unique_lock<std::mutex>& lock, transition_report report) {
  last_report = report;
  lock.unlock();
  const bool sleeping = report.way == transition_report::direction::sleep;
  const auto level = report.failure.empty() ? log_level::info : log_level::warning;
  if (options.log.wants(level)) {
    options.log.write(
        level,
        detail::text("{} ({}) {} in {} ms{}{}", sleeping ? "sleep" : "wake", report.plan,
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
