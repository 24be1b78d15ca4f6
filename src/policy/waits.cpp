// Waits for a lease: those of callers that block, and those that one thread serves for all who do
// not.

#include "policy/waits.hpp"

#include <algorithm>
#include <system_error>

#include "policy/sleeper_impl.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {

void detail::awake_wait::ask(time_point now) {
  next_check = later(now, how.check_every);
  bool wanted = false;
  try {
    wanted = how.keep_waiting();
  } catch (...) {
    fail(status::callback, "keep_waiting threw: {}", current_error(status::callback).what());
  }
  if (!wanted) throw error(status::cancelled, "the caller no longer waits for a lease");
}

void sleeper::impl::begin_wait(detail::awake_wait& wait) noexcept {
  wait.failures_before = failed_wakes;
  ++waiting;
  ++wakers;
}

void sleeper::impl::end_wait(const detail::awake_wait& wait) noexcept {
  --waiting;
  if (failed_wakes == wait.failures_before) --wakers;
}

bool sleeper::impl::is_over(const detail::awake_wait& wait) {
  if (gate.state() == sleep_state::awake) {
    // The state does not change while we hold the mutex, except from awake to sleeping.
    if (!wait.take_lease || gate.try_enter()) return true;
    static_cast<void>(gate.leave());
  }
  if (failed_wakes != wait.failures_before) throw error(*wake_failure);
  if (stopping || wait.how.stop.stop_requested()) {
    throw error(status::cancelled, "the wait for a lease was cancelled");
  }
  if (clock.now() >= wait.how.deadline) {
    detail::fail(status::timed_out, "the deadline for a lease passed while {}",
                 to_string(gate.state()));
  }
  start_runner();
  work.notify_all();
  return false;
}

void sleeper::impl::wait_awake(detail::awake_wait& wait) {
  // Made before the lock is taken and destroyed after it is gone: the callback takes it too.
  const std::stop_callback wake_up(wait.how.stop, [this] {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  expect_other_thread(wait.take_lease ? "acquire" : "wake");
  begin_wait(wait);
  try {
    while (!is_over(wait)) {
      if (wait.how.keep_waiting && clock.now() >= wait.next_check) {
        lock.unlock();
        try {
          wait.ask(clock.now());
        } catch (...) {
          lock.lock();
          throw;
        }
        lock.lock();
        continue;
      }
      clock.wait_until(changed, lock, wait.next_look());
    }
  } catch (...) {
    end_wait(wait);
    throw;
  }
  end_wait(wait);
}

void sleeper::impl::add_async(std::list<detail::async_wait> one) {
  detail::async_wait& wait = one.front();
  wait.wake_up.emplace(wait.how.stop, [this] {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  });
  const std::lock_guard lock(mutex);
  if (!async_server.joinable()) {
    try {
      async_server = std::thread([this] { serve_async(); });
    } catch (const std::system_error& failure) {
      detail::fail(status::out_of_host_memory, "no thread for waits for leases: {}",
                   failure.what());
    }
  }
  begin_wait(wait);
  async_waits.splice(async_waits.end(), one);
  changed.notify_all();
}

void sleeper::impl::serve_async() {
  std::unique_lock lock(mutex);
  while (true) {
    auto over = take_finished_waits();
    if (!over.empty()) {
      lock.unlock();
      for (detail::async_wait& each : over) finish_async(each);
      over.clear();  // its stop callbacks take the lock
      lock.lock();
      continue;
    }
    if (stopping) return;  // a wait that is left would be over
    if (ask_who_is_due(lock)) continue;
    time_point next = no_deadline;
    for (const detail::async_wait& each : async_waits) next = std::min(next, each.next_look());
    clock.wait_until(changed, lock, next);
  }
}

std::list<detail::async_wait> sleeper::impl::take_finished_waits() {
  std::list<detail::async_wait> over;
  for (auto at = async_waits.begin(); at != async_waits.end();) {
    const auto each = at++;
    try {
      if (!each->result && !is_over(*each)) continue;
      if (!each->result) each->result.emplace(lease(*owner));
    } catch (...) {
      each->result.emplace(detail::current_error(status::internal));
    }
    end_wait(*each);
    over.splice(over.end(), async_waits, each);
  }
  return over;
}

/// Asks one caller whether it still waits, with the lock let go meanwhile.
/// @return whether one was due
bool sleeper::impl::ask_who_is_due(std::unique_lock<std::mutex>& lock) {
  const time_point now = clock.now();
  const auto due = std::find_if(async_waits.begin(), async_waits.end(), [now](const auto& each) {
    return each.how.keep_waiting && now >= each.next_check;
  });
  if (due == async_waits.end()) return false;
  // Only this thread removes waits, so this one stays while the lock is let go.
  detail::async_wait& which = *due;
  lock.unlock();
  std::optional<error> gone;
  try {
    which.ask(now);
  } catch (...) {
    gone = detail::current_error(status::internal);
  }
  lock.lock();
  if (gone) which.result.emplace(*gone);
  return true;
}

void sleeper::impl::finish_async(detail::async_wait& wait) noexcept {
  try {
    wait.done(std::move(*wait.result));
  } catch (...) {
    detail::log_warning(options.log, "acquire_async's callback",
                        detail::current_error(status::callback).what());
  }
}

sleeper::lease sleeper::acquire(time_point deadline, const stop_view& stop) {
  // Whoever need not wait has no frame to set up: all else is behind one jump.
  if (detail::in_forked_child.load(std::memory_order_relaxed) || !impl_->gate.try_enter()) {
    [[unlikely]] return impl_->enter_slowly(deadline, stop);
  }
  return lease(*this);
}

sleeper::lease sleeper::impl::enter_slowly(time_point deadline, const stop_view& give_up) {
  detail::expect_same_process();
  leave();
  detail::awake_wait wait({.deadline = deadline, .stop = give_up}, clock.now());
  wait_awake(wait);
  return lease(*owner);
}

namespace {

void expect_sensible(const acquire_options& how) {
  if (how.check_every > duration::zero()) return;
  throw error(status::invalid_argument, "acquire: check_every must be above 0");
}

}  // namespace

sleeper::lease sleeper::acquire(const acquire_options& how) {
  detail::expect_same_process();
  expect_sensible(how);
  if (impl_->gate.try_enter()) return lease(*this);
  impl_->leave();
  detail::awake_wait wait(how, impl_->clock.now());
  impl_->wait_awake(wait);
  return lease(*this);
}

void sleeper::acquire_async(acquire_options how, std::function<void(acquire_result)> done) {
  detail::expect_same_process();
  if (!done) throw error(status::invalid_argument, "acquire_async: an empty callback");
  expect_sensible(how);
  std::list<detail::async_wait> one;
  detail::async_wait& wait = one.emplace_back(std::move(how), impl_->clock.now());
  wait.done = std::move(done);
  if (impl_->gate.try_enter()) {
    wait.result.emplace(lease(*this));
    return impl_->finish_async(wait);
  }
  impl_->leave();
  impl_->add_async(std::move(one));
}

void sleeper::wake(time_point deadline, const stop_view& stop) {
  detail::expect_same_process();
  detail::awake_wait wait({.deadline = deadline, .stop = stop}, impl_->clock.now());
  wait.take_lease = false;
  impl_->wait_awake(wait);
}

}  // namespace lull
