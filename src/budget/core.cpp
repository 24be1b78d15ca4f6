#include "budget/core.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

std::uint64_t margin_of(const budget_device& device) {
  if (device.name.empty()) fail(status::invalid_argument, "a device of a budget without a name");
  if (!(device.margin_share >= 0 && device.margin_share <= 1)) {
    fail(status::invalid_argument, "device '{}': a margin of {} of it is not within 0 and 1",
         device.name, fixed(device.margin_share, 2));
  }
  const double share = device.margin_share * static_cast<double>(device.capacity_bytes);
  return std::max(device.margin_bytes, static_cast<std::uint64_t>(share));
}

/// Off by more than an eighth and 64 MiB.
bool differs(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t apart = a > b ? a - b : b - a;
  return apart > std::max(std::max(a, b) / 8, std::uint64_t{64} << 20);
}

}  // namespace

budget_core::budget_core(const std::vector<budget_device>& devices, limits bounds)
    : bounds_(bounds) {
  for (const budget_device& device : devices) {
    for (const plan_device& known : books_.devices) {
      if (known.name == device.name) {
        fail(status::invalid_argument, "device '{}' is there twice", device.name);
      }
    }
    books_.devices.push_back({device.name, device.capacity_bytes, margin_of(device)});
  }
  real_held_.assign(devices.size(), 0);
}

budget_core::amounts budget_core::to_amounts(const bytes_by_device& named,
                                             std::string_view model) const {
  amounts list(books_.devices.size(), 0);
  for (const auto& [name, bytes] : named) {
    const auto device =
        std::find_if(books_.devices.begin(), books_.devices.end(),
                     [&name = name](const plan_device& known) { return known.name == name; });
    if (device == books_.devices.end()) {
      fail(status::invalid_argument, "model '{}': the budget has no device '{}'", model, name);
    }
    list[static_cast<std::size_t>(device - books_.devices.begin())] = bytes;
  }
  return list;
}

bytes_by_device budget_core::to_named(const amounts& list) const {
  bytes_by_device named;
  for (std::size_t device = 0; device < list.size(); ++device) {
    if (list[device] > 0) named[books_.devices[device].name] = list[device];
  }
  return named;
}

std::size_t budget_core::find(std::string_view model) const {
  const auto found = by_name_.find(model);
  if (found == by_name_.end()) fail(status::not_found, "the budget has no model '{}'", model);
  return found->second;
}

void budget_core::set_real(std::size_t index, const amounts& list) noexcept {
  slot& changed = slots_[index];
  for (std::size_t device = 0; device < list.size(); ++device) {
    real_held_[device] += list[device] - changed.real[device];
  }
  changed.real = list;
  ++version_;
}

/// Its list has room for all devices since it was added.
void budget_core::set_planned(std::size_t index, const amounts& list) noexcept {
  std::vector<device_bytes>& holds = model_of(index).holds;
  for (const device_bytes& held : holds) books_.devices[held.device].held_bytes -= held.bytes;
  holds.clear();
  for (std::uint32_t device = 0; device < list.size(); ++device) {
    if (list[device] == 0) continue;
    holds.push_back({device, list[device]});
    books_.devices[device].held_bytes += list[device];
  }
}

std::uint64_t budget_core::limit(std::size_t device) const noexcept {
  const plan_device& where = books_.devices[device];
  const std::uint64_t taken = where.margin_bytes + where.foreign_bytes;
  return where.capacity_bytes > taken ? where.capacity_bytes - taken : 0;
}

/// While it loads, a model may hold what is left of it from its sleep and what it needs, whichever
/// is more.
budget_core::amounts budget_core::ready_amounts(std::size_t index) const {
  amounts list = slots_[index].need;
  for (std::size_t device = 0; device < list.size(); ++device) {
    list[device] = std::max(list[device], slots_[index].real[device]);
  }
  return list;
}

bool budget_core::fits_really(std::size_t index) const {
  const amounts then = ready_amounts(index);
  for (std::size_t device = 0; device < then.size(); ++device) {
    const std::uint64_t extra = then[device] - slots_[index].real[device];
    if (extra > 0 && real_held_[device] + extra > limit(device)) return false;
  }
  return true;
}

/// The state of a model that nothing is done with.
void budget_core::rest(std::size_t index) noexcept {
  plan_model& model = model_of(index);
  const bool nothing_left = model.depth == model.levels.size();
  model.state = model.depth == 0 ? model_state::ready
                : nothing_left   ? model_state::unloaded
                                 : model_state::asleep;
}

/// Adds so many uses to what is left of those before.
void budget_core::count_uses(std::size_t index, double count, time_point now) noexcept {
  slot& used = slots_[index];
  plan_model& model = model_of(index);
  const double half_life = seconds_of(use_half_life);
  const double idle = seconds_of(std::max(now - model.last_used, duration::zero()));
  used.uses = used.uses * std::exp2(-idle / half_life) + count;
  model.uses_per_second = used.uses * std::log(2) / half_life;
  model.last_used = now;
}

bool budget_core::confirm(std::size_t index, const std::optional<amounts>& holds,
                          time_point now) noexcept {
  slot& loaded = slots_[index];
  plan_model& model = model_of(index);
  bool wrong = false;
  if (holds) {
    for (std::size_t device = 0; device < holds->size(); ++device) {
      wrong |= differs((*holds)[device], loaded.need[device]);
    }
    loaded.need = *holds;
    loaded.measured = true;
  }
  counters.corrected += wrong ? 1 : 0;
  ++counters.loads;
  if (model.depth > 0) note_wake(index, seconds_of(now - loaded.since));
  loaded.granted = false;
  set_real(index, loaded.need);
  set_planned(index, loaded.need);
  model.depth = 0;
  ++model.leases;
  model.keep_until = now + loaded.given.min_residence;
  rest(index);
  count_uses(index, 1, now);
  return wrong;
}

void budget_core::note_wake(std::size_t index, double took_seconds) noexcept {
  const std::size_t level = books_.models[index].depth - 1;
  double& known = model_of(index).levels[level].wake_seconds;
  std::vector<bool>& measured = slots_[index].wake_measured;
  known = measured[level] ? (known + took_seconds) / 2 : took_seconds;
  measured[level] = true;
}

void budget_core::give_up(std::size_t index, time_point) noexcept {
  slot& loaded = slots_[index];
  loaded.granted = false;
  ++counters.given_up;
  set_real(index, loaded.before);
  set_planned(index, loaded.before);
  rest(index);
}

void budget_core::end_use(std::size_t index, time_point now) noexcept {
  plan_model& model = model_of(index);
  --model.leases;
  count_uses(index, 0, now);
}

/// Puts the victims of a plan on their way. @param whom the plan was made for
void budget_core::let_leave(const plan_result& plan, const std::string& whom, time_point now) {
  if (plan.victims.empty()) return;
  const std::string why = text("{}: {}", whom, describe(plan, books_));
  for (const plan_victim& victim : plan.victims) start_leaving(victim, why, now);
}

void budget_core::start_leaving(const plan_victim& victim, std::string why,
                                time_point now) noexcept {
  slot& leaver = slots_[victim.model];
  leaver.before = leaver.real;
  leaver.since = now;
  leaver.stuck = false;
  leaver.deferred = victim;
  leaver.leaves_because = std::move(why);
  model_of(victim.model).state = model_state::leaving;
  leave_to(victim.model, victim.level);
}

/// Sets what will be left of it.
void budget_core::leave_to(std::size_t index, std::size_t level) noexcept {
  slot& leaver = slots_[index];
  const plan_model& model = books_.models[index];
  amounts& left = leaver.leaves_to;
  std::fill(left.begin(), left.end(), 0);
  for (const device_bytes& rest : model.levels[level].left) left[rest.device] = rest.bytes;
  const bool deepest = level + 1 == model.levels.size();
  for (std::size_t device = 0; deepest && device < left.size(); ++device) {
    left[device] = std::min(left[device], leaver.real[device]);
  }
  set_planned(index, left);
  leaver.leaving_level = level;
}

/// Contents that go to another device are there at once, and what they leave is free when it is all
/// over: so whoever needs room there that another is still leaving has to wait for it.
void budget_core::start_deferred() {
  // Whoever needs no room comes first: the others may be waiting for just what that one leaves.
  bool some = true;
  while (std::exchange(some, false)) {
    for (std::size_t index = 0; index < slots_.size(); ++index) {
      if (!slots_[index].deferred || !has_room_to_leave(index)) continue;
      start(index);
      some = true;
    }
  }
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    const slot& leaver = slots_[index];
    if (!leaver.deferred || (somebody_leaves() && !leaver.stuck)) continue;
    // Nobody leaves room for it any more.
    leave_to(index, leaver.given.levels.size() - 1);
    start(index);
  }
}

/// What it holds on its way out.
budget_core::amounts budget_core::leaving_amounts(std::size_t index) const {
  amounts list = slots_[index].real;
  for (std::size_t device = 0; device < list.size(); ++device) {
    list[device] = std::max(list[device], slots_[index].leaves_to[device]);
  }
  return list;
}

bool budget_core::has_room_to_leave(std::size_t index) const {
  const amounts then = leaving_amounts(index);
  for (std::size_t device = 0; device < then.size(); ++device) {
    const std::uint64_t grows = then[device] - slots_[index].real[device];
    if (grows > 0 && real_held_[device] + grows > limit(device)) return false;
  }
  return true;
}

bool budget_core::somebody_leaves() const noexcept {
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    const bool leaves = books_.models[index].state == model_state::leaving;
    if (leaves && !slots_[index].deferred) return true;
  }
  return false;
}

void budget_core::start(std::size_t index) {
  const amounts then = leaving_amounts(index);
  orders.push_back({index, order_of(index)});
  slots_[index].deferred.reset();
  set_real(index, then);
}

budget_eviction budget_core::order_of(std::size_t index) const {
  const slot& leaver = slots_[index];
  budget_eviction what{leaver.given.name,
                       leaver.given.levels[leaver.leaving_level].name,
                       leaver.leaving_level,
                       {},
                       leaver.leaves_because};
  for (std::size_t device = 0; device < leaver.before.size(); ++device) {
    const std::uint64_t before = leaver.before[device];
    const std::uint64_t left = leaver.leaves_to[device];
    if (before > left) what.gain[books_.devices[device].name] = before - left;
  }
  return what;
}

void budget_core::left(std::size_t index, bool succeeded, time_point now) noexcept {
  slot& leaver = slots_[index];
  plan_model& model = model_of(index);
  const amounts& then = succeeded ? leaver.leaves_to : leaver.before;
  set_real(index, then);
  set_planned(index, then);
  leaver.stuck = false;
  if (succeeded) {
    ++counters.evictions;
    model.depth = leaver.leaving_level + 1;
  } else {
    ++counters.failed_evictions;
    model.keep_until = now + bounds_.retry_after;
  }
  rest(index);
}

/// What models hold is known but for those that load or leave, which hold something in between.
std::uint64_t budget_core::uncertain_on(std::size_t device) const noexcept {
  std::uint64_t uncertain = 0;
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    const slot& each = slots_[index];
    const bool leaves = books_.models[index].state == model_state::leaving;
    if (!leaves && !each.granted) continue;
    const std::uint64_t from =
        leaves ? std::min(each.leaves_to[device], each.before[device]) : each.before[device];
    uncertain += each.real[device] - std::min(each.real[device], from);
  }
  return uncertain;
}

void budget_core::read(const std::vector<budget_reading>& readings) noexcept {
  for (const budget_reading& reading : readings) {
    for (std::size_t device = 0; device < books_.devices.size(); ++device) {
      plan_device& where = books_.devices[device];
      if (where.name != reading.device) continue;
      const std::uint64_t held = real_held_[device];
      const std::uint64_t sure = held - uncertain_on(device);
      const std::uint64_t least = reading.used_bytes > held ? reading.used_bytes - held : 0;
      const std::uint64_t most = reading.used_bytes > sure ? reading.used_bytes - sure : 0;
      where.foreign_bytes = std::clamp(where.foreign_bytes, least, most);
    }
  }
}

plan_result budget_core::plan_for(std::size_t index, time_point now, bool take_busy) const {
  plan_request request{index, {}, now, take_busy};
  const amounts then = ready_amounts(index);
  for (std::uint32_t device = 0; device < then.size(); ++device) {
    const std::uint64_t extra = then[device] - slots_[index].real[device];
    if (extra > 0) request.extra.push_back({device, extra});
  }
  return plan_admission(books_, request);
}

budget_eviction budget_core::eviction_of(const plan_victim& victim) const {
  const plan_model& model = books_.models[victim.model];
  budget_eviction what{model.name, model.levels[victim.level].name, victim.level, {}};
  for (const device_bytes& held : model.holds) {
    std::uint64_t left = 0;
    for (const device_bytes& rest : model.levels[victim.level].left) {
      if (rest.device == held.device) left = rest.bytes;
    }
    if (held.bytes > left) what.gain[books_.devices[held.device].name] = held.bytes - left;
  }
  return what;
}

std::string budget_core::words_for(std::size_t index, time_point now) const {
  const plan_model& model = books_.models[index];
  const slot& each = slots_[index];
  if (model.state == model_state::leaving) return "it is being put away";
  if (each.granted) return "somebody loads it";
  if (each.draining) return "it gets no new work, because another model waited for too long";
  if (each.promised) return "others are leaving for it";
  const std::string words = describe(plan_for(index, now, false), books_);
  return words.empty() ? "others come before it" : words;
}

}  // namespace lull::detail
