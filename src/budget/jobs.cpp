#include <functional>
#include <thread>
#include <utility>

#include "budget/state.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

// What runs under no lock: callbacks, and what they were for.

namespace lull::detail {
void budget_state::warn_of(std::string_view model, std::string_view what,
                           std::string_view why) noexcept {
  try {
    log_warning(options_.log, "budget", text("model '{}' {}{}", model, what, why));
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for the words
  }
}

void budget_state::carry_out(guard& lock) {
  while (!core_.orders.empty() || !core_.finished.empty()) {
    std::vector<std::pair<budget_wait_ptr, budget::admission>> told;
    told.reserve(core_.finished.size());
    // From here on nothing that is to be done can get lost.
    auto orders = std::exchange(core_.orders, {});
    const auto finished = std::exchange(core_.finished, {});
    if (closed_) {
      for (const auto& order : orders) core_.left(order.model, false, now());
      orders.clear();
    }
    for (const budget_wait_ptr& wait : finished) {
      if (wait->done) told.emplace_back(wait, admission_of(*wait));
    }
    jobs_ += orders.size();
    changed_.notify_all();
    lock.unlock();
    for (const budget_core::order& order : orders) start_leaving(order);
    for (auto& [wait, result] : told) {
      wait->give_up.reset();
      wait->done(std::move(result));
    }
    lock.lock();
  }
}

budget::admission budget_state::admission_of(const budget_wait& wait) noexcept {
  budget::admission result;
  result.failure = wait.failure;
  if (wait.failure) return result;
  try {
    result.ticket = ticket_for(wait);
  } catch (...) {
    result.failure = current_error(status::internal);
    wait.must_load ? core_.give_up(wait.model, now()) : core_.end_use(wait.model, now());
    again_at_ = now();
  }
  return result;
}

void budget_state::start_leaving(const budget_core::order& order) noexcept {
  try {
    run([this, order] { let_leave(order); });
  } catch (...) {
    log_warning(options_.log, "budget", current_error(status::callback).what());
    guard lock(mutex_);
    core_.left(order.model, false, now());
    proceed(lock);
    end_job();
  }
}

void budget_state::end_job() noexcept {
  --jobs_;
  changed_.notify_all();
}

/// Runs a job that was counted and that throws nothing; throws where it cannot be run. That it is
/// handed over counts as well: close() waits for the callback to return.
void budget_state::run(std::function<void()> job) {
  const auto whole = [self = shared_from_this(), job = std::move(job)] {
    job();
    const guard lock(self->mutex_);
    self->end_job();
  };
  if (!options_.run_on) return std::thread(whole).detach();
  {
    const guard lock(mutex_);
    ++jobs_;
  }
  const auto over = [this] {
    const guard lock(mutex_);
    end_job();
  };
  try {
    options_.run_on(whole);
  } catch (...) {
    over();
    throw;
  }
  over();
}

void budget_state::let_leave(const budget_core::order& order) noexcept {
  const std::vector<settle_expectation> expected = expectations(order.what);
  bool succeeded = true;
  try {
    options_.evict(order.what);
  } catch (...) {
    succeeded = false;
    warn_of(order.what.model, "does not leave: ", current_error(status::callback).what());
  }
  if (succeeded) call_back(options_.log, "budget: settle", options_.settle, expected);
  const auto then = [&] { core_.left(order.model, succeeded, now()); };
  look(std::ref(then));
}

std::vector<settle_expectation> budget_state::expectations(const budget_eviction& what) noexcept
    try {
  std::vector<settle_expectation> expected;
  if (!options_.settle) return expected;
  const auto readings = ask();
  for (const auto& [device, bytes] : what.gain) {
    settle_expectation entry{device, bytes};
    for (const budget_reading& reading : readings.value_or(std::vector<budget_reading>{})) {
      for (const budget_device& known : options_.devices) {
        if (reading.device != device || known.name != device) continue;
        if (known.capacity_bytes < reading.used_bytes) continue;
        entry.baseline_free_bytes = known.capacity_bytes - reading.used_bytes;
      }
    }
    expected.push_back(std::move(entry));
  }
  return expected;
} catch (...) {
  return {};  // without memory for it: it is waited for without knowing how much
}

std::optional<std::vector<budget_reading>> budget_state::ask() noexcept {
  if (!options_.probe) return {};
  try {
    return options_.probe();
  } catch (...) {
    log_warning(options_.log, "budget: probe", current_error(status::callback).what());
    return {};
  }
}

void budget_state::look(const std::function<void()>& then) noexcept {
  constexpr int attempts = 3;
  for (int attempt = 1;; ++attempt) {
    guard lock(mutex_);
    const std::uint64_t version = core_.version();
    lock.unlock();
    const auto readings = ask();
    lock.lock();
    const bool stands = version == core_.version();
    if (!stands && attempt < attempts) continue;
    if (then) then();
    if (readings && stands) core_.read(*readings);
    looked_at_ = now();
    proceed(lock);
    return;
  }
}

/// At most one look at a time, and not under the caller's deadline: a probe may hang.
bool budget_state::look_soon(guard& lock) noexcept {
  if (!options_.probe || looking_ || now() - looked_at_ < options_.look_every) return false;
  looking_ = true;
  ++jobs_;
  lock.unlock();
  const auto done = [this] {
    const guard again(mutex_);
    looking_ = false;
    looked_at_ = now();
  };
  try {
    run([this, done] {
      look();
      done();
    });
    lock.lock();
  } catch (...) {
    log_warning(options_.log, "budget", current_error(status::callback).what());
    done();
    lock.lock();
    end_job();
  }
  return true;
}

/// A disk may be slow, and who confirms a load may be a thread that everything waits for. However
/// many loads change them while they are written, they are written once more after that.
void budget_state::keep_estimates() noexcept {
  bool alone = false;
  {
    const guard lock(mutex_);
    estimates_changed_ = true;
    if (std::exchange(keeping_estimates_, true)) return;
    ++jobs_;
    alone = closed_;  // nobody waits for jobs any more
  }
  try {
    if (!alone) return run([this] { write_changed_estimates(); });
  } catch (...) {
    log_warning(options_.log, "budget", current_error(status::callback).what());
  }
  write_changed_estimates();
  const guard lock(mutex_);
  end_job();
}

void budget_state::write_changed_estimates() noexcept {
  guard lock(mutex_);
  while (std::exchange(estimates_changed_, false)) {
    try {
      const load_estimates copy = estimates_;
      lock.unlock();
      write_estimates(options_.estimates_file, copy);
    } catch (...) {
      log_warning(options_.log, "budget", current_error(status::io).what());
    }
    if (!lock.owns_lock()) lock.lock();
  }
  keeping_estimates_ = false;
}

}  // namespace lull::detail
