#include "capi/sleep_plan.hpp"

#include <algorithm>

#include "capi/device.hpp"
#include "capi/memory.hpp"

using lull::capi::enum_from;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;

namespace lull::capi {
namespace {

/// All but the texts and tags.
lull_sleep_plan plain_values(const sleep_plan& from) {
  lull_sleep_plan plan{};
  plan.struct_size = sizeof plan;
  plan.contents.otherwise = static_cast<lull_contents_action>(from.contents.otherwise);
  plan.context = static_cast<lull_context_action>(from.context);
  plan.backing = static_cast<lull_backing_kind>(from.backing.type());
  plan.fallback = from.fallback ? 1 : 0;
  plan.max_residue_bytes = from.max_residue_bytes.value_or(LULL_NO_LIMIT);
  return plan;
}

}  // namespace

sleep_plan make_plan(const lull_sleep_plan& from) {
  sleep_plan plan;
  const auto given = read_versioned(&from, plain_values(plan), "plan");
  plan.name = text_or_empty(given.name);
  plan.contents = make_eviction_plan(given.contents, "plan->contents.");
  plan.context = enum_from<context_action>(given.context, "plan->context");
  plan.backing = make_backing(given.backing, given.backing_path, "plan->");
  plan.fallback = given.fallback != 0;
  if (given.max_residue_bytes != LULL_NO_LIMIT) plan.max_residue_bytes = given.max_residue_bytes;
  return plan;
}

lull_sleep_plan plan_for_c(const sleep_plan& from, std::vector<lull_tag_action>& tags) {
  tags.clear();
  for (const auto& [tag, action] : from.contents.by_tag) {
    tags.push_back({tag.c_str(), static_cast<lull_contents_action>(action)});
  }
  lull_sleep_plan plan = plain_values(from);
  plan.name = from.name.c_str();
  plan.contents.tags = tags.data();
  plan.contents.tag_count = tags.size();
  plan.backing_path = from.backing.path().c_str();
  return plan;
}

}  // namespace lull::capi

lull_status lull_sleep_plan_init(lull_sleep_plan* plan, lull_sleep_level level) {
  return guard([&] {
    auto& result = required(plan, "plan");
    const auto which = enum_from<lull::sleep_level>(level, "level");
    result = lull::capi::plain_values(lull::plan_for(which));
    result.name = to_string(which).data();
  });
}

lull_status lull_sleep_level_supported(lull_sleep_level level, lull_device* const* devices,
                                       size_t device_count, int32_t* supported) {
  return guard([&] {
    const auto which = enum_from<lull::sleep_level>(level, "level");
    const auto all = lull::capi::devices_of(devices, device_count);
    auto& result = required(supported, "supported");
    const auto levels = all.empty() ? lull::supported_levels() : lull::supported_levels(all);
    result = std::find(levels.begin(), levels.end(), which) != levels.end() ? 1 : 0;
  });
}
