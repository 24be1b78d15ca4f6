#include <algorithm>
#include <tuple>
#include <utility>

#include "budget/core.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

time_point later(time_point from, duration span) noexcept {
  return span > no_deadline - from ? no_deadline : from + span;
}

}  // namespace

void budget_core::submit(const budget_wait_ptr& wait, time_point now) {
  const plan_model& model = books_.models[wait->model];
  slot& wanted = slots_[wait->model];
  if (model.state == model_state::ready && !wanted.draining) return serve(wait, now);
  wanted.waits.push_back(wait);
  enqueue(wait->model, now);
  if (fits_alone(wait->model, now)) {
    promise(wait->model, now);
    return grant(wait->model, now);
  }
  pump(now);
}

/// Whether there is nothing to decide: nobody else waits, and nobody has to leave.
bool budget_core::fits_alone(std::size_t index, time_point now) const {
  const model_state state = books_.models[index].state;
  if (queue_length_ > 1 || lacks_room()) return false;
  if (state != model_state::unloaded && state != model_state::asleep) return false;
  const plan_result plan = plan_for(index, now, false);
  return plan.outcome == plan_outcome::planned && plan.victims.empty() && fits_really(index);
}

bool budget_core::lacks_room() const noexcept {
  for (std::size_t device = 0; device < books_.devices.size(); ++device) {
    if (books_.devices[device].held_bytes > limit(device)) return true;
  }
  return false;
}

void budget_core::abandon(const budget_wait_ptr& wait, error why) {
  if (wait->over) return;
  finish(wait, std::move(why));
  drop(wait);
}

void budget_core::forget(const budget_wait_ptr& wait, time_point now) noexcept {
  drop(wait);
  finished.erase(std::remove(finished.begin(), finished.end(), wait), finished.end());
  if (!wait->over) return;
  if (!wait->failure) wait->must_load ? give_up(wait->model, now) : end_use(wait->model, now);
}

/// Takes it out of those who wait.
void budget_core::drop(const budget_wait_ptr& wait) noexcept {
  auto& waits = slots_[wait->model].waits;
  waits.erase(std::remove(waits.begin(), waits.end(), wait), waits.end());
  if (waits.empty()) leave_queue(wait->model);
}

/// Takes memory before anything is changed, as whatever comes before it in a decision.
void budget_core::finish(const budget_wait_ptr& wait, std::optional<error> failure) {
  finished.push_back(wait);
  wait->failure = std::move(failure);
  wait->over = true;
}

void budget_core::serve(const budget_wait_ptr& wait, time_point now) {
  finish(wait, {});
  ++model_of(wait->model).leases;
  count_uses(wait->model, 1, now);
}

void budget_core::enqueue(std::size_t index, time_point now) {
  slot& wanted = slots_[index];
  if (wanted.queued) return;
  wanted.queued = true;
  wanted.number = next_number_++;
  wanted.queued_at = now;
  wanted.overtaken = 0;
  ++queue_length_;
}

void budget_core::leave_queue(std::size_t index) noexcept {
  slot& gone = slots_[index];
  if (!gone.queued) return;
  gone.queued = false;
  --queue_length_;
  if (!gone.promised) return;
  gone.promised = false;
  set_planned(index, gone.real);
  rest(index);
}

void budget_core::pump(time_point now) {
  expire(now);
  lose_patience(now);
  take_back_promises(now);
  for (slot& each : slots_) each.draining = false;
  const std::vector<std::size_t> queue = ordered_queue(now);
  std::vector<bool> blocked(books_.devices.size(), false);
  for (const std::size_t index : queue) decide(index, now, queue, blocked);
  make_room(now);
  start_deferred();
  serve_ready(now);
}

void budget_core::expire(time_point now) {
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    slot& each = slots_[index];
    std::vector<budget_wait_ptr> late;
    for (const budget_wait_ptr& wait : each.waits) {
      if (wait->deadline <= now) late.push_back(wait);
    }
    for (const budget_wait_ptr& wait : late) {
      const std::string words = words_for(index, now);
      finish(wait, error(status::timed_out,
                         text("no room for model '{}' in time: {}", each.given.name, words)));
      drop(wait);
      ++counters.timed_out;
    }
    if (each.queued && each.waits.empty()) leave_queue(index);
  }
}

void budget_core::lose_patience(time_point now) {
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    slot& each = slots_[index];
    if (books_.models[index].state != model_state::leaving || each.stuck) continue;
    if (now < later(each.since, bounds_.patience)) continue;
    each.stuck = true;
    set_planned(index, each.real);
  }
}

/// Where room does not come as it was planned, those who came last go back to the queue.
void budget_core::take_back_promises(time_point now) {
  const std::vector<std::size_t> queue = ordered_queue(now);
  for (auto place = queue.rbegin(); place != queue.rend(); ++place) {
    slot& each = slots_[*place];
    if (!each.promised) continue;
    const amounts then = ready_amounts(*place);
    bool over = false;
    for (std::size_t device = 0; device < then.size(); ++device) {
      over |= then[device] > each.real[device] && books_.devices[device].held_bytes > limit(device);
    }
    if (!over) continue;
    each.promised = false;
    set_planned(*place, each.real);
    rest(*place);
  }
}

/// Who has waited for too long, then by priority, then as they came.
std::vector<std::size_t> budget_core::ordered_queue(time_point now) const {
  std::vector<std::tuple<bool, std::int64_t, std::uint64_t, std::size_t>> keys;
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    const slot& each = slots_[index];
    if (!each.queued) continue;
    const bool overdue = now >= later(each.queued_at, bounds_.max_wait);
    const std::int64_t rank = overdue ? 0 : -std::int64_t{each.given.priority};
    keys.emplace_back(!overdue, rank, each.number, index);
  }
  std::sort(keys.begin(), keys.end());
  std::vector<std::size_t> queue;
  for (const auto& key : keys) queue.push_back(std::get<3>(key));
  return queue;
}

void budget_core::decide(std::size_t index, time_point now, const std::vector<std::size_t>& queue,
                         std::vector<bool>& blocked) {
  slot& each = slots_[index];
  const model_state state = books_.models[index].state;
  if (state == model_state::ready || state == model_state::leaving || each.granted) return;
  if (each.promised) {
    if (fits_really(index)) grant(index, now);
    return;
  }
  plan_result plan = plan_for(index, now, false);
  if (plan.outcome == plan_outcome::impossible) return refuse(index, now);
  for (const plan_sum& sum : plan.sums) {
    if (blocked[sum.device]) return;
  }
  if (plan.outcome == plan_outcome::planned) {
    let_leave(plan, text("model '{}' comes in", each.given.name), now);
    promise(index, now);
    count_overtaking(index, queue);
    if (fits_really(index)) grant(index, now);
    return;
  }
  const bool overdue = now >= later(each.queued_at, bounds_.max_wait);
  if (!overdue && each.overtaken < bounds_.max_overtakes) return;
  for (const plan_sum& sum : plan.sums) blocked[sum.device] = true;
  if (!overdue) return;
  plan = plan_for(index, now, true);
  for (const plan_victim& victim : plan.victims) {
    if (books_.models[victim.model].leases > 0) slots_[victim.model].draining = true;
  }
}

void budget_core::promise(std::size_t index, time_point) {
  set_planned(index, ready_amounts(index));
  slots_[index].promised = true;
  model_of(index).state = model_state::loading;
}

void budget_core::grant(std::size_t index, time_point now) {
  slot& each = slots_[index];
  const amounts then = ready_amounts(index);
  const budget_wait_ptr first = each.waits.front();
  finish(first, {});
  each.waits.pop_front();
  first->must_load = true;
  each.promised = false;
  each.granted = true;
  each.since = now;
  each.before = each.real;
  set_real(index, then);
  if (each.waits.empty()) leave_queue(index);
}

void budget_core::refuse(std::size_t index, time_point now) {
  slot& each = slots_[index];
  const plan_result plan = plan_for(index, now, false);
  const bool fits_alone =
      std::all_of(plan.sums.begin(), plan.sums.end(), [this](const plan_sum& sum) {
        return sum.missing_bytes <=
               sum.idle_bytes + sum.busy_bytes + books_.devices[sum.device].foreign_bytes;
      });
  const error why(status::out_of_device_memory,
                  text("model '{}' {}: {}", each.given.name,
                       fits_alone ? "does not fit beside other programs" : "can never fit",
                       describe(plan, books_)));
  while (!each.waits.empty()) {
    finish(each.waits.front(), why);
    each.waits.pop_front();
    ++counters.refused;
  }
  leave_queue(index);
}

bool budget_core::uses_same_device(std::size_t a, std::size_t b) const {
  for (std::size_t device = 0; device < real_held_.size(); ++device) {
    if (slots_[a].need[device] > 0 && slots_[b].need[device] > 0) return true;
  }
  return false;
}

void budget_core::count_overtaking(std::size_t index, const std::vector<std::size_t>& queue) {
  for (const std::size_t other : queue) {
    slot& before = slots_[other];
    const model_state state = books_.models[other].state;
    const bool waits_for_room = before.queued && !before.promised && !before.granted &&
                                state != model_state::ready && state != model_state::leaving;
    if (waits_for_room && before.number < slots_[index].number && uses_same_device(index, other)) {
      ++before.overtaken;
    }
  }
}

void budget_core::serve_ready(time_point now) {
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    slot& each = slots_[index];
    if (each.waits.empty() || each.draining || books_.models[index].state != model_state::ready) {
      continue;
    }
    while (!each.waits.empty()) {
      serve(each.waits.front(), now);
      each.waits.pop_front();
    }
    leave_queue(index);
  }
}

/// Where other programs, or models that hold more than they should, have taken what was free.
void budget_core::make_room(time_point now) {
  for (std::uint32_t device = 0; device < books_.devices.size(); ++device) {
    if (books_.devices[device].held_bytes <= limit(device)) continue;
    const plan_result plan = plan_admission(books_, {{}, {{device, 0}}, now});
    let_leave(plan, "more is used than should be", now);
  }
}

time_point budget_core::next_due(time_point now) const {
  time_point next = no_deadline;
  const auto consider = [&](time_point due) {
    if (due > now) next = std::min(next, due);
  };
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    const slot& each = slots_[index];
    const plan_model& model = books_.models[index];
    for (const budget_wait_ptr& wait : each.waits) next = std::min(next, wait->deadline);
    if (each.queued) consider(later(each.queued_at, bounds_.max_wait));
    if (model.state == model_state::leaving && !each.stuck) {
      consider(later(each.since, bounds_.patience));
    }
    if (anybody_waits()) consider(model.keep_until);
  }
  return next;
}

}  // namespace lull::detail
