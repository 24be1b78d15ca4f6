// What happens to the models of a budget without a request for them.

#include <utility>

#include "budget/core.hpp"
#include "budget/state.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

bool budget_core::put_away(std::size_t index, std::size_t level, bool lost, time_point now) {
  const plan_model& model = books_.models[index];
  const slot& each = slots_[index];
  if (level >= model.levels.size()) {
    fail(status::invalid_argument, "model '{}' has no level {}", model.name, level);
  }
  const bool rests = model.state == model_state::ready || model.state == model_state::asleep;
  if (!rests || each.granted || each.promised || model.depth > level) return false;
  if (!lost && (model.leases > 0 || !each.waits.empty())) return false;
  start_leaving({index, level}, lost ? "it has ended" : "it was told to", now);
  return true;
}

void budget_core::withdraw(std::size_t index) {
  while (!slots_[index].waits.empty()) {
    const budget_wait_ptr first = slots_[index].waits.front();
    abandon(first, error(status::cancelled,
                         text("nobody waits for model '{}'", books_.models[index].name)));
  }
}

void budget_core::correct(std::size_t index, const amounts& holds) {
  slot& each = slots_[index];
  plan_model& model = model_of(index);
  const bool rests = model.state == model_state::ready || model.state == model_state::asleep;
  if (!rests || each.granted || each.promised) return;
  if (model.depth == 0) {
    each.need = holds;
    each.measured = true;
  } else {
    std::vector<device_bytes> left;
    for (std::uint32_t device = 0; device < holds.size(); ++device) {
      if (holds[device] > 0) left.push_back({device, holds[device]});
    }
    model.levels[model.depth - 1].left = std::move(left);
  }
  set_real(index, holds);
  set_planned(index, holds);
}

void budget_core::pin(std::size_t index, bool pinned) noexcept {
  slots_[index].given.pinned = pinned;
  model_of(index).pinned = pinned;
}

bool budget_state::put_away(std::string_view model, std::optional<std::size_t> depth) {
  guard lock(mutex_);
  const std::size_t index = core_.find(model);
  const std::size_t deepest = core_.slots()[index].given.levels.size() - 1;
  const bool begun = core_.put_away(index, depth.value_or(deepest), !depth.has_value(), now());
  proceed(lock);
  return begun;
}

void budget_state::withdraw(std::string_view model) {
  guard lock(mutex_);
  core_.withdraw(core_.find(model));
  proceed(lock);
}

void budget_state::correct(std::string_view model, const bytes_by_device& holds) {
  guard lock(mutex_);
  const std::size_t index = core_.find(model);
  core_.correct(index, core_.to_amounts(holds, model));
  proceed(lock);
}

void budget_state::pin(std::string_view model, bool pinned) {
  guard lock(mutex_);
  core_.pin(core_.find(model), pinned);
  proceed(lock);
}

}  // namespace lull::detail
