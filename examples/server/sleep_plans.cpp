#include "server/sleep_plans.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace example {
namespace {

/// Nothing for a plan that is not that of a level.
std::optional<lull::sleep_level> level_of(const std::string& plan) {
  try {
    return lull::parse_sleep_level(plan);
  } catch (const lull::error&) {
    return std::nullopt;
  }
}

}  // namespace

lull::sleep_plan plan_for(lull::sleep_level level, const lull::device& device,
                          const std::optional<std::filesystem::path>& offload_directory) {
  lull::sleep_plan plan = lull::plan_for(level);
  if (level != lull::sleep_level::trim) {
    plan.contents.by_tag["kv"] = lull::contents_action::discard;
  }
  if (offload_directory) {
    plan.backing = lull::backing_store::file(*offload_directory);
  } else if (device.type() == lull::device_type::host) {
    plan.backing = lull::backing_store::file(std::filesystem::temp_directory_path());
  }
  return plan;
}

lull::sleep_plan plan_for_tags(const std::vector<std::string>& tags) {
  lull::sleep_plan plan;
  for (const std::string& tag : tags) plan.contents.by_tag[tag] = lull::contents_action::discard;
  std::vector<std::string> names;
  for (const auto& [tag, action] : plan.contents.by_tag) names.push_back(tag);
  plan.name = fmt::format("discard {}", fmt::join(names, " and "));
  return plan;
}

bool is_covered(const lull::sleep_plan& asked, const std::string& found) {
  if (asked.name == found) return true;
  const auto wanted = level_of(asked.name);
  const auto depth = level_of(found);
  // Levels are named from the shallowest to the deepest.
  return wanted && depth && *wanted <= *depth;
}

}  // namespace example
