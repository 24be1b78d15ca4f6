#include "budget/state.hpp"

#include <algorithm>
#include <functional>
#include <stop_token>
#include <tuple>
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
  look();
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

void budget_state::change(budget_model model) {
  const std::string name = model.name;
  guard lock(mutex_);
  const bool forgets = core_.change(std::move(model)) && estimates_.erase(name) > 0;
  proceed(lock);
  lock.unlock();
  if (forgets && !options_.estimates_file.empty()) keep_estimates();
}

void budget_state::remove(std::string_view model) {
  const guard lock(mutex_);
  core_.remove(core_.find(model));
}

budget_ticket budget_state::ticket_for(const budget_wait& wait) {
  budget_ticket ticket;
  const budget_core::slot& slot = core_.slots()[wait.model];
  ticket.model_ = slot.given.name;
  if (wait.must_load) {
    budget_core::amounts extra = slot.real;
    for (std::size_t device = 0; device < extra.size(); ++device) {
      extra[device] -= slot.before[device];
    }
    ticket.granted_ = core_.to_named(extra);
  }
  // From here on it is given back.
  ticket.state_ = shared_from_this();
  ticket.index_ = wait.model;
  ticket.must_load_ = wait.must_load;
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
  try {
    core_.submit(wait, now());
    carry_out(lock);
    while (!wait->over) {
      if (token.stop_requested() || closed_) throw cancelled(*wait);
      this->wait(lock);
    }
    if (wait->failure) throw error(*wait->failure);
    return ticket_for(*wait);
  } catch (...) {
    core_.forget(wait, now());
    proceed(lock);
    throw;
  }
}

void budget_state::wait(guard& lock) {
  const time_point due = std::min(core_.next_due(now()), again_at_);
  if (due <= now()) return proceed(lock);
  if (look_soon(lock)) return;
  const time_point look_at = options_.probe ? time_->deadline_in(options_.look_every) : no_deadline;
  time_->wait_until(changed_, lock, std::min(due, look_at));
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
  try {
    if (wait->stopped) {
      core_.finish(wait, cancelled(*wait));
    } else {
      wait->submitted = true;
      core_.submit(wait, now());
    }
  } catch (...) {
    wait->submitted = false;
    core_.forget(wait, now());
    throw;
  }
  proceed(lock);
}

error budget_state::cancelled(const budget_wait& wait) const {
  return {status::cancelled, text("waiting for model '{}'", core_.slots()[wait.model].given.name)};
}

void budget_state::give_up(const budget_wait_ptr& wait) {
  guard lock(mutex_);
  wait->stopped = true;
  if (!wait->submitted || wait->over) return;
  try {
    core_.abandon(wait, cancelled(*wait));
  } catch (...) {
    wait->deadline = now();  // without memory to say so: it is over as soon as there is some
  }
  proceed(lock);
}

/// Decides what can be decided now. What there is no memory for is tried again a little later.
void budget_state::proceed(guard& lock) noexcept {
  again_at_ = no_deadline;
  try {
    core_.pump(now());
    carry_out(lock);
  } catch (...) {
    again_at_ = time_->deadline_in(options_.look_every);
    log_warning(options_.log, "budget", current_error(status::internal).what());
  }
  changed_.notify_all();
}

void budget_state::confirm(budget_ticket& ticket, const std::optional<bytes_by_device>& holds) {
  if (!ticket.must_load_) return;
  guard lock(mutex_);
  std::optional<budget_core::amounts> measured;
  if (holds) measured = core_.to_amounts(*holds, ticket.model_);
  const bool learned = holds && core_.to_named(core_.slots()[ticket.index_].need) != *holds;
  if (learned) estimates_[ticket.model_] = *holds;
  ticket.must_load_ = false;
  const bool wrong = core_.confirm(ticket.index_, measured, now());
  proceed(lock);
  lock.unlock();
  if (wrong) {
    warn_of(ticket.model_, "holds other than estimated, which is corrected");
  }
  if (learned && !options_.estimates_file.empty()) keep_estimates();
}

void budget_state::release(const budget_ticket& ticket) noexcept {
  guard lock(mutex_);
  if (ticket.must_load_) {
    core_.give_up(ticket.index_, now());
  } else {
    core_.end_use(ticket.index_, now());
  }
  if (core_.anybody_waits() || core_.lacks_room()) proceed(lock);
}

void budget_state::refresh() {
  look();
}

void budget_state::tick() {
  guard lock(mutex_);
  proceed(lock);
  if (core_.anybody_waits()) look_soon(lock);
}

time_point budget_state::next_tick() {
  const guard lock(mutex_);
  time_point next = std::min(core_.next_due(now()), again_at_);
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
    if (slot.removed) continue;
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
    for (const plan_level& level : model.levels) {
      const std::chrono::duration<double> takes(level.wake_seconds);
      each.wake_times.push_back(std::chrono::duration_cast<duration>(takes));
    }
    each.wake_time = each.wake_times[std::max<std::size_t>(model.depth, 1) - 1];
    each.priority = slot.given.priority;
    each.pinned = model.pinned;
    each.kept_for = std::max(model.keep_until - now(), duration::zero());
    if (slot.uses > 0) each.idle = model.leases > 0 ? duration::zero() : now() - model.last_used;
    each.uses_per_second = model.uses_per_second;
    result.models.push_back(std::move(each));
  }
  return result;
}

void budget_state::close() noexcept {
  guard lock(mutex_);
  closed_ = true;
  for (std::size_t index = 0; index < core_.slots().size(); ++index) {
    while (!core_.slots()[index].waits.empty()) {
      const budget_wait_ptr first = core_.slots()[index].waits.front();
      core_.abandon(first, error(status::cancelled, "the budget ends"));
      proceed(lock);
    }
  }
  changed_.wait(lock, [this] { return jobs_ == 0; });
  // Nothing calls them any more, also not where tickets are still out.
  const auto callbacks =
      std::make_tuple(std::exchange(options_.evict, {}), std::exchange(options_.settle, {}),
                      std::exchange(options_.probe, {}), std::exchange(options_.run_on, {}));
  lock.unlock();
}

}  // namespace lull::detail
