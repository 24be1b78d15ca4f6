#include "server/sleep_plans.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace example {
namespace {

struct unit {
  std::string_view name;
  std::chrono::milliseconds length;
};
// "ms" before "s", which it ends with.
constexpr std::array units{unit{"ms", std::chrono::milliseconds{1}},
                           unit{"s", std::chrono::seconds{1}}, unit{"m", std::chrono::minutes{1}},
                           unit{"h", std::chrono::hours{1}}};

/// Nothing for what is no such time.
std::optional<std::chrono::milliseconds> time_from(std::string_view text) {
  constexpr double longest = 1e12;  // 30 years
  for (const unit& each : units) {
    if (!text.ends_with(each.name)) continue;
    const std::string_view number = text.substr(0, text.size() - each.name.size());
    double value = 0;
    const char* const end = number.data() + number.size();
    const auto [stopped, failed] = std::from_chars(number.data(), end, value);
    const double length = value * static_cast<double>(each.length.count());
    if (failed != std::errc{} || stopped != end || !(length >= 0 && length <= longest)) break;
    return std::chrono::milliseconds{static_cast<std::int64_t>(length)};
  }
  return std::nullopt;
}

std::vector<std::string> names(const std::vector<lull::sleep_level>& levels) {
  std::vector<std::string> result;
  for (const lull::sleep_level level : levels) result.emplace_back(to_string(level));
  return result;
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

std::vector<ladder_step> parse_ladder(std::string_view text) {
  std::vector<ladder_step> steps;
  while (true) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view step = text.substr(0, end);
    const std::size_t colon = step.find(':');
    const auto after = colon == step.npos ? std::nullopt : time_from(step.substr(colon + 1));
    if (!after) {
      throw lull::error(lull::status::invalid_argument,
                        fmt::format("'{}' is no step of a ladder; one is like offload:30s, with "
                                    "ms, s, m or h",
                                    step));
    }
    steps.push_back({lull::parse_sleep_level(step.substr(0, colon)), *after});
    if (end == text.size()) return steps;
    text.remove_prefix(end + 1);
  }
}

std::string to_string(const std::vector<ladder_step>& ladder) {
  std::vector<std::string> steps;
  for (const ladder_step& each : ladder) {
    steps.push_back(fmt::format("{}:{}ms", to_string(each.level), each.after.count()));
  }
  return fmt::format("{}", fmt::join(steps, ","));
}

void expect_levels(const lull::device& device, const std::vector<lull::sleep_level>& levels) {
  const auto there = lull::supported_levels({device});
  for (const lull::sleep_level level : levels) {
    if (std::find(there.begin(), there.end(), level) != there.end()) continue;
    throw lull::error(lull::status::unsupported,
                      fmt::format("{} cannot sleep by level '{}'; it can by {}", device.name(),
                                  to_string(level), fmt::join(names(there), ", ")));
  }
}

}  // namespace example
