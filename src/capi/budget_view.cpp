#include <memory>
#include <vector>

#include "capi/budget.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

using lull::capi::expect_versioned;
using lull::capi::guard;
using lull::capi::list_of;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;

struct lull_budget_plan {
  lull::budget_preview value;
  std::vector<std::vector<lull_device_bytes>> gains;
};
struct lull_budget_view {
  lull::budget_snapshot value;
  std::vector<std::vector<lull_device_bytes>> holds;
  std::vector<std::vector<lull_device_bytes>> estimates;
};

namespace {

template <class Element>
const Element& at(const std::vector<Element>& all, std::size_t index, const char* name) {
  if (index >= all.size()) {
    lull::detail::fail(lull::status::not_found, "there are {} {}, and none with index {}",
                       all.size(), name, index);
  }
  return all[index];
}

}  // namespace

lull_status lull_budget_preview(const lull_budget* budget, const char* model,
                                lull_budget_plan** plan) {
  return guard([&] {
    const lull::budget& of = required(budget, "budget").value;
    required(model, "model");
    auto& result = required(plan, "plan");
    auto made = std::make_unique<lull_budget_plan>(lull_budget_plan{of.preview(model), {}});
    for (const auto& each : made->value.evictions) made->gains.push_back(list_of(each.gain));
    result = made.release();
  });
}

lull_status lull_budget_plan_describe(const lull_budget_plan* plan, lull_budget_plan_info* info) {
  return guard([&] {
    const lull::budget_preview& from = required(plan, "plan").value;
    lull_budget_plan_info value{};
    value.outcome = static_cast<lull_plan_outcome>(from.outcome);
    value.eviction_count = from.evictions.size();
    set_text(value.words, from.words);
    write_versioned(info, value, "info");
  });
}

lull_status lull_budget_plan_eviction(const lull_budget_plan* plan, size_t index,
                                      lull_budget_eviction* eviction) {
  return guard([&] {
    const lull_budget_plan& of = required(plan, "plan");
    expect_versioned(eviction, "eviction");
    const lull::budget_eviction& from = at(of.value.evictions, index, "evictions");
    write_versioned(eviction, lull::capi::eviction_for_c(from, of.gains[index]), "eviction");
  });
}

void lull_budget_plan_destroy(lull_budget_plan* plan) {
  delete plan;
}

lull_status lull_budget_observe(const lull_budget* budget, lull_budget_view** view) {
  return guard([&] {
    const lull::budget& of = required(budget, "budget").value;
    auto& result = required(view, "view");
    auto made = std::make_unique<lull_budget_view>(lull_budget_view{of.snapshot(), {}, {}});
    for (const lull::budget_model_snapshot& each : made->value.models) {
      made->holds.push_back(list_of(each.holds));
      made->estimates.push_back(list_of(each.estimate));
    }
    result = made.release();
  });
}

lull_status lull_budget_view_describe(const lull_budget_view* view, lull_budget_view_info* info) {
  return guard([&] {
    const lull::budget_snapshot& from = required(view, "view").value;
    lull_budget_view_info value{};
    value.device_count = from.devices.size();
    value.model_count = from.models.size();
    value.loads = from.counters.loads;
    value.given_up = from.counters.given_up;
    value.evictions = from.counters.evictions;
    value.failed_evictions = from.counters.failed_evictions;
    value.refused = from.counters.refused;
    value.timed_out = from.counters.timed_out;
    value.corrected = from.counters.corrected;
    write_versioned(info, value, "info");
  });
}

lull_status lull_budget_view_device(const lull_budget_view* view, size_t index,
                                    lull_budget_device_info* device) {
  return guard([&] {
    const lull_budget_view& of = required(view, "view");
    expect_versioned(device, "device");
    const lull::budget_device_snapshot& from = at(of.value.devices, index, "devices");
    lull_budget_device_info value{};
    value.name = from.name.c_str();
    value.capacity_bytes = from.capacity_bytes;
    value.margin_bytes = from.margin_bytes;
    value.foreign_bytes = from.foreign_bytes;
    value.held_bytes = from.held_bytes;
    write_versioned(device, value, "device");
  });
}

lull_status lull_budget_view_model(const lull_budget_view* view, size_t index,
                                   lull_budget_model_info* model) {
  return guard([&] {
    const lull_budget_view& of = required(view, "view");
    expect_versioned(model, "model");
    const lull::budget_model_snapshot& from = at(of.value.models, index, "models");
    lull_budget_model_info value{};
    value.name = from.name.c_str();
    value.state = static_cast<lull_model_state>(from.state);
    value.level = from.level.c_str();
    value.holds = of.holds[index].data();
    value.hold_count = of.holds[index].size();
    value.estimate = of.estimates[index].data();
    value.estimate_count = of.estimates[index].size();
    value.measured = from.measured ? 1 : 0;
    value.leases = from.leases;
    value.waiting = from.waiting;
    value.wake_time_ns = from.wake_time.count();
    value.priority = from.priority;
    value.pinned = from.pinned ? 1 : 0;
    value.kept_for_ns = from.kept_for.count();
    value.idle_ns = from.idle ? from.idle->count() : LULL_UNKNOWN_NS;
    write_versioned(model, value, "model");
  });
}

void lull_budget_view_destroy(lull_budget_view* view) {
  delete view;
}
