#include <algorithm>
#include <utility>

#include "budget/core.hpp"
#include "vocabulary/text.hpp"

// Which models there are, and what is done with one by itself.

namespace lull::detail {

void budget_core::check(const budget_model& model) const {
  if (model.name.empty()) fail(status::invalid_argument, "a model of a budget without a name");
  if (model.levels.empty()) {
    fail(status::invalid_argument, "model '{}' has no level to be put away to", model.name);
  }
  static_cast<void>(to_amounts(model.need, model.name));
}

std::vector<plan_level> budget_core::levels_of(const budget_model& model) const {
  std::vector<plan_level> levels;
  for (const budget_level& level : model.levels) {
    plan_level entry{level.name, {}, seconds_of(model.wake_time)};
    const amounts left = to_amounts(level.left, model.name);
    for (std::uint32_t device = 0; device < left.size(); ++device) {
      if (left[device] > 0) entry.left.push_back({device, left[device]});
    }
    levels.push_back(std::move(entry));
  }
  return levels;
}

std::size_t budget_core::add(budget_model model, const std::optional<bytes_by_device>& measured) {
  check(model);
  if (by_name_.find(model.name) != by_name_.end()) {
    fail(status::invalid_argument, "model '{}' is in the budget already", model.name);
  }
  if (model.need.empty() && !measured) {
    fail(status::invalid_argument,
         "model '{}': what it needs is not given, and it was never measured", model.name);
  }
  slot made;
  made.need = to_amounts(measured ? *measured : model.need, model.name);
  made.measured = measured.has_value();
  made.real = made.before = made.leaves_to = amounts(books_.devices.size(), 0);
  plan_model planned;
  planned.name = model.name;
  planned.pinned = model.pinned;
  planned.levels = levels_of(model);
  made.wake_measured.assign(model.levels.size(), false);
  planned.depth = model.levels.size();
  planned.holds.reserve(books_.devices.size());
  made.given = std::move(model);
  if (free_places_.empty()) {
    books_.models.push_back(std::move(planned));
    slots_.push_back(std::move(made));
    by_name_.emplace(slots_.back().given.name, slots_.size() - 1);
    return slots_.size() - 1;
  }
  const std::size_t index = free_places_.back();
  by_name_.emplace(made.given.name, index);
  free_places_.pop_back();
  books_.models[index] = std::move(planned);
  slots_[index] = std::move(made);
  return index;
}

bool budget_core::change(budget_model model) {
  const std::size_t index = find(model.name);
  check(model);
  slot& known = slots_[index];
  plan_model& planned = model_of(index);
  const auto same = [](const budget_level& a, const budget_level& b) {
    return a.name == b.name && a.left == b.left;
  };
  const bool other_levels = !std::equal(model.levels.begin(), model.levels.end(),
                                        known.given.levels.begin(), known.given.levels.end(), same);
  const bool is_down = planned.depth > 0 && planned.depth < planned.levels.size();
  if (other_levels && (is_down || planned.state == model_state::leaving)) {
    refuse_busy(index, "get other levels");
  }
  const bool other_need = !model.need.empty() && model.need != known.given.need;
  if (other_need && (known.promised || known.granted)) refuse_busy(index, "get another need");
  std::vector<plan_level> levels = other_levels ? levels_of(model) : planned.levels;
  std::vector<bool> wake_measured(levels.size(), false);
  for (std::size_t level = 0; level < levels.size(); ++level) {
    for (std::size_t old = 0; old < planned.levels.size(); ++old) {
      if (levels[level].name != planned.levels[old].name) continue;
      levels[level].wake_seconds = planned.levels[old].wake_seconds;
      wake_measured[level] = known.wake_measured[old];
    }
  }
  amounts need = other_need ? to_amounts(model.need, model.name) : known.need;
  if (model.need.empty()) model.need = known.given.need;
  // From here on nothing takes memory.
  if (planned.depth > 0 && !is_down) planned.depth = levels.size();
  planned.levels = std::move(levels);
  known.wake_measured = std::move(wake_measured);
  const bool forgets = other_need && known.measured;
  if (other_need) known.measured = false;
  known.need = std::move(need);
  if (model.wake_time != known.given.wake_time) {
    for (plan_level& level : planned.levels) level.wake_seconds = seconds_of(model.wake_time);
    std::fill(known.wake_measured.begin(), known.wake_measured.end(), false);
  }
  planned.pinned = model.pinned;
  known.given = std::move(model);
  return forgets;
}

void budget_core::refuse_busy(std::size_t index, const char* verb) const {
  const plan_model& model = books_.models[index];
  fail(status::busy, "model '{}' cannot {}: it is {}, {} use it and {} wait for it", model.name,
       verb, to_string(model.state), model.leases, slots_[index].waits.size());
}

void budget_core::remove(std::size_t index) {
  slot& gone = slots_[index];
  plan_model& model = model_of(index);
  if (model.state != model_state::unloaded || model.leases > 0 || gone.queued) {
    refuse_busy(index, "be removed");
  }
  const amounts nothing(books_.devices.size(), 0);
  free_places_.push_back(index);
  set_real(index, nothing);
  set_planned(index, nothing);
  by_name_.erase(model.name);
  model = {};
  gone = {};
  gone.real = gone.before = gone.leaves_to = gone.need = nothing;
  gone.removed = true;
}

}  // namespace lull::detail
