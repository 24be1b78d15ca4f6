#include "budget/state.hpp"

#include <algorithm>
#include <stop_token>
#include <thread>
#include <utility>

#include "vocabulary/call_back.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

const budget_options& checked(const budget_options& options) {
  if (!options.evict) fail(status::invalid_argument, "a budget without an evict callback");
  for (const duration span :
       {options.max_wait, options.patience, options.retry_after, options.look_every}) {
    if (span <= duration::zero()) {
      fail(status::invalid_argument, "a budget whose spans are not all positive");
    }
  }
  return options;
}

budget_core::limits limits_of(const budget_options& options) {
  return {options.max_wait, options.max_overtakes, options.patience, options.retry_after};
}

}  // namespace

budget_state::budget_state(budget_options options)
    : options_(std::move(options)),
      time_(options_.time != nullptr ? options_.time : &steady_clock()),
      core_(checked(options_).devices, limits_of(options_)) {
  if (!options_.estimates_file.empty()) {
    try {
      estimates_ = read_estimates(options_.estimates_file);
    } catch (...) {
      log_warning(options_.log, "budget", current_error(status::io).what());
    }
  }
  look([] {});
}

void budget_state::add(budget_model model) {
  guard lock(mutex_);
  std::optional<bytes_by_device> measured;
  if (const auto known = estimates_.find(model.name); known != estimates_.end()) {
    measured.emplace();
    // Of a device that is no longer there, nothing is known.
    for (const auto& [device, bytes] : known->second) {
      const auto& devices = options_.devices;
      const bool is_there = std::any_of(devices.begin(), devices.end(),
                                        [&name = device](const auto& d) { return d.name == name; });
      if (is_there) (*measured)[device] = bytes;
    }
    if (measured->size() != known->second.size() && !model.need.empty()) measured.reset();
  }
  core_.add(std::move(model), measured);
}

budget_ticket budget_state::ticket_for(const budget_wait& wait) {
  budget_ticket ticket;
  ticket.state_ = shared_from_this();
  ticket.index_ = wait.model;
  ticket.must_load_ = wait.must_load;
  const budget_core::slot& slot = core_.slots()[wait.model];
  ticket.model_ = slot.given.name;
  if (wait.must_load) {
    budget_core::amounts extra = slot.real;
    for (std::size_t device = 0; device < extra.size(); ++device) {
      extra[device] -= slot.before[device];
    }
    ticket.granted_ = core_.to_named(extra);
  }
  return ticket;
}

budget_ticket budget_state::admit(std::string_view model, time_point deadline,
                                  const stop_view& stop) {
  const auto wait = std::make_shared<budget_wait>();
  const std::stop_token token = stop;
  const std::stop_callback wake_up(token, [this] {
    const guard lock(mutex_);
    changed_.notify_all();
  });
  guard lock(mutex_);
  wait->model = core_.find(model);
  wait->deadline = deadline;
  core_.submit(wait, now());
  carry_out(lock);
  while (!wait->over) {
    if (token.stop_requested() || closed_) {
      core_.abandon(wait, cancelled(*wait), now());
      carry_out(lock);
      break;
    }
    const time_point due = core_.next_due(now());
    if (due <= now()) {
      core_.pump(now());
      carry_out(lock);
      continue;
    }
    if (look_soon(lock)) continue;
    const time_point look_at =
        options_.probe ? time_->deadline_in(options_.look_every) : no_deadline;
    time_->wait_until(changed_, lock, std::min(due, look_at));
  }
  if (wait->failure) throw error(*wait->failure);
  return ticket_for(*wait);
}

void budget_state::admit_async(std::string_view model, time_point deadline,
                               std::function<void(budget::admission)> done, const stop_view& stop) {
  const auto wait = std::make_shared<budget_wait>();
  wait->done = std::move(done);
  wait->deadline = deadline;
  {
    const guard lock(mutex_);
    wait->model = core_.find(model);
  }
  // Made and taken away (carry_out) without the lock, which it takes.
  if (stop.stop_possible()) {
    wait->give_up.emplace(stop, [this, weak = std::weak_ptr(wait)] {
      if (const auto held = weak.lock()) give_up(held);
    });
  }
  guard lock(mutex_);
  if (wait->stopped) {
    core_.finish(wait, cancelled(*wait));
  } else {
    wait->submitted = true;
    core_.submit(wait, now());
  }
  carry_out(lock);
}

error budget_state::cancelled(const budget_wait& wait) const {
  return {status::cancelled, text("waiting for model '{}'", core_.slots()[wait.model].given.name)};
}

void budget_state::give_up(const budget_wait_ptr& wait) {
  guard lock(mutex_);
  wait->stopped = true;
  if (!wait->submitted || wait->over) return;
  core_.abandon(wait, cancelled(*wait), now());
  carry_out(lock);
}

void budget_state::confirm(budget_ticket& ticket, const std::optional<bytes_by_device>& holds) {
  if (!ticket.must_load_) return;
  guard lock(mutex_);
  std::optional<budget_core::amounts> measured;
  if (holds) measured = core_.to_amounts(*holds, ticket.model_);
  const bytes_by_device before = core_.to_named(core_.slots()[ticket.index_].need);
  ticket.must_load_ = false;
  const bool wrong = core_.confirm(ticket.index_, measured, now());
  const bool learned = holds && before != *holds;
  if (learned) estimates_[ticket.model_] = *holds;
  core_.pump(now());
  carry_out(lock);
  lock.unlock();
  if (wrong) {
    log_warning(options_.log, "budget",
                text("model '{}' holds other than estimated, which is corrected", ticket.model_));
  }
  if (learned && !options_.estimates_file.empty()) keep_estimates();
}

void budget_state::keep_estimates() noexcept {
  try {
    const guard alone(file_mutex_);
    load_estimates copy;
    {
      const guard lock(mutex_);
      copy = estimates_;
    }
    write_estimates(options_.estimates_file, copy);
  } catch (...) {
    log_warning(options_.log, "budget", current_error(status::io).what());
  }
}

void budget_state::release(const budget_ticket& ticket) noexcept {
  guard lock(mutex_);
  if (ticket.must_load_) {
    core_.give_up(ticket.index_, now());
  } else {
    core_.end_use(ticket.index_, now());
  }
  if (!core_.anybody_waits() && !core_.lacks_room()) return;
  core_.pump(now());
  carry_out(lock);
}

void budget_state::carry_out(guard& lock) {
  while (!core_.orders.empty() || !core_.finished.empty()) {
    auto orders = std::exchange(core_.orders, {});
    if (closed_) {
      for (const budget_core::order& order : orders) core_.left(order.model, false, now());
      orders.clear();
    }
    const auto finished = std::exchange(core_.finished, {});
    std::vector<std::pair<budget_wait_ptr, budget::admission>> told;
    for (const budget_wait_ptr& wait : finished) {
      if (!wait->done) continue;
      budget::admission result;
      if (wait->failure) {
        result.failure = wait->failure;
      } else {
        result.ticket = ticket_for(*wait);
      }
      told.emplace_back(wait, std::move(result));
    }
    jobs_ += orders.size();
    changed_.notify_all();
    lock.unlock();
    for (const budget_core::order& order : orders) {
      start([this, order] { put_away(order); },
            [this, order] {
              guard again(mutex_);
              core_.left(order.model, false, now());
              core_.pump(now());
              carry_out(again);
            });
    }
    for (auto& [wait, result] : told) {
      wait->give_up.reset();
      wait->done(std::move(result));
    }
    lock.lock();
  }
}

/// Runs a job that was counted. @param otherwise what to do where it cannot be run
void budget_state::start(std::function<void()> job, std::function<void()> otherwise) noexcept {
  const auto whole = [self = shared_from_this(), job = std::move(job)] {
    job();
    const guard lock(self->mutex_);
    --self->jobs_;
    self->changed_.notify_all();
  };
  try {
    if (options_.run_on) {
      options_.run_on(whole);
    } else {
      std::thread(whole).detach();
    }
  } catch (...) {
    log_warning(options_.log, "budget", current_error(status::callback).what());
    otherwise();
    const guard lock(mutex_);
    --jobs_;
    changed_.notify_all();
  }
}

void budget_state::put_away(const budget_core::order& order) {
  const std::vector<settle_expectation> expected = expectations(order.what);
  bool succeeded = true;
  try {
    options_.evict(order.what);
  } catch (...) {
    succeeded = false;
    log_warning(options_.log, "budget",
                text("model '{}' does not leave: {}", order.what.model,
                     current_error(status::callback).what()));
  }
  if (succeeded) call_back(options_.log, "budget: settle", options_.settle, expected);
  look([&] { core_.left(order.model, succeeded, now()); });
}

std::vector<settle_expectation> budget_state::expectations(const budget_eviction& what) {
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

void budget_state::look(const std::function<void()>& then) {
  constexpr int attempts = 3;
  for (int attempt = 1;; ++attempt) {
    guard lock(mutex_);
    const std::uint64_t version = core_.version();
    lock.unlock();
    const auto readings = ask();
    lock.lock();
    const bool stands = version == core_.version();
    if (!stands && attempt < attempts) continue;
    then();
    if (readings && stands) core_.read(*readings);
    looked_at_ = now();
    core_.pump(now());
    carry_out(lock);
    return;
  }
}

/// At most one look at a time, and not under the caller's deadline: a probe may hang.
bool budget_state::look_soon(guard& lock) {
  if (!options_.probe || looking_ || now() - looked_at_ < options_.look_every) return false;
  looking_ = true;
  ++jobs_;
  lock.unlock();
  const auto done = [this] {
    const guard again(mutex_);
    looking_ = false;
    looked_at_ = now();
  };
  start(
      [this, done] {
        look([] {});
        done();
      },
      done);
  lock.lock();
  return true;
}

void budget_state::refresh() {
  look([] {});
}

void budget_state::tick() {
  guard lock(mutex_);
  core_.pump(now());
  carry_out(lock);
  if (core_.anybody_waits()) look_soon(lock);
}

time_point budget_state::next_tick() {
  const guard lock(mutex_);
  time_point next = core_.next_due(now());
  if (options_.probe && core_.anybody_waits() && !looking_) {
    next = std::min(next, looked_at_ + options_.look_every);
  }
  return next;
}

budget_preview budget_state::preview(std::string_view model) {
  const guard lock(mutex_);
  const std::size_t index = core_.find(model);
  budget_preview result;
  if (core_.books().models[index].state == model_state::ready) return result;
  const plan_result plan = core_.plan_for(index, now(), false);
  result.outcome = plan.outcome;
  for (const plan_victim& victim : plan.victims) {
    result.evictions.push_back(core_.eviction_of(victim));
  }
  result.words = describe(plan, core_.books());
  return result;
}

budget_snapshot budget_state::snapshot() {
  const guard lock(mutex_);
  budget_snapshot result;
  result.counters = core_.counters;
  for (std::size_t device = 0; device < core_.books().devices.size(); ++device) {
    const plan_device& each = core_.books().devices[device];
    result.devices.push_back({each.name, each.capacity_bytes, each.margin_bytes, each.foreign_bytes,
                              core_.real_held()[device]});
  }
  for (std::size_t index = 0; index < core_.slots().size(); ++index) {
    const budget_core::slot& slot = core_.slots()[index];
    const plan_model& model = core_.books().models[index];
    budget_model_snapshot each;
    each.name = model.name;
    const bool gone = model.depth == model.levels.size();
    each.state = !slot.promised ? model.state : gone ? model_state::unloaded : model_state::asleep;
    if (each.state == model_state::asleep) each.level = model.levels[model.depth - 1].name;
    each.holds = core_.to_named(slot.real);
    each.estimate = core_.to_named(slot.need);
    each.measured = slot.measured;
    each.leases = model.leases;
    each.waiting = static_cast<std::uint32_t>(slot.waits.size());
    each.wake_time =
        std::chrono::duration_cast<duration>(std::chrono::duration<double>(model.wake_seconds));
    result.models.push_back(std::move(each));
  }
  return result;
}

void budget_state::close() noexcept {
  guard lock(mutex_);
  closed_ = true;
  for (std::size_t index = 0; index < core_.slots().size(); ++index) {
    while (!core_.slots()[index].waits.empty()) {
      core_.abandon(core_.slots()[index].waits.front(), error(status::cancelled, "the budget ends"),
                    now());
      carry_out(lock);
    }
  }
  changed_.wait(lock, [this] { return jobs_ == 0; });
}

}  // namespace lull::detail
