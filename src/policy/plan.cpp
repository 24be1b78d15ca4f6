#include <lull/error.hpp>
#include <lull/sleeper.hpp>

#include <algorithm>
#include <array>

#include "vocabulary/text.hpp"

namespace lull {
namespace {

constexpr std::array all_levels{sleep_level::trim,    sleep_level::offload, sleep_level::discard,
                                sleep_level::suspend, sleep_level::reset,   sleep_level::rebirth};

std::vector<std::string_view> names(const auto& levels) {
  std::vector<std::string_view> result;
  result.reserve(levels.size());
  for (const sleep_level level : levels) result.push_back(to_string(level));
  return result;
}

}  // namespace

std::string_view to_string(sleep_level level) noexcept {
  switch (level) {
    case sleep_level::trim: return "trim";
    case sleep_level::offload: return "offload";
    case sleep_level::discard: return "discard";
    case sleep_level::suspend: return "suspend";
    case sleep_level::reset: return "reset";
    case sleep_level::rebirth: return "rebirth";
  }
  return "?";
}

std::string_view to_string(context_action action) noexcept {
  switch (action) {
    case context_action::keep: return "keep";
    case context_action::suspend: return "suspend";
    case context_action::reset: return "reset";
    case context_action::rebirth: return "rebirth";
  }
  return "?";
}

std::string_view to_string(sleep_state state) noexcept {
  switch (state) {
    case sleep_state::awake: return "awake";
    case sleep_state::draining: return "draining";
    case sleep_state::sleeping: return "sleeping";
    case sleep_state::asleep: return "asleep";
    case sleep_state::waking: return "waking";
  }
  return "?";
}

std::string_view to_string(transition_report::direction way) noexcept {
  switch (way) {
    case transition_report::direction::sleep: return "sleep";
    case transition_report::direction::wake: return "wake";
    case transition_report::direction::deepen: return "deepen";
  }
  return "?";
}

sleep_level parse_sleep_level(std::string_view text) {
  for (const sleep_level level : all_levels) {
    if (text == to_string(level)) return level;
  }
  detail::fail(status::invalid_argument, "unknown sleep level '{}'; available: {}", text,
               detail::join(names(all_levels), ", "));
}

std::vector<sleep_level> supported_levels() {
  return {all_levels.begin(), all_levels.end()};
}

std::vector<sleep_level> supported_levels(const std::vector<device>& devices) {
  std::vector<sleep_level> levels{sleep_level::trim, sleep_level::offload, sleep_level::discard};
  const bool have_context = std::any_of(devices.begin(), devices.end(), [](const device& each) {
    return each.supports(capability::reset);
  });
  const auto stays = [](const device& each) {
    return each.type() != device_type::host && !each.supports(capability::suspend);
  };
  const bool can_suspend = std::any_of(devices.begin(), devices.end(), [](const device& each) {
    return each.supports(capability::suspend);
  });
  if (can_suspend && std::none_of(devices.begin(), devices.end(), stays)) {
    levels.push_back(sleep_level::suspend);
  }
  if (have_context) levels.push_back(sleep_level::reset);
  levels.push_back(sleep_level::rebirth);
  return levels;
}

sleep_plan plan_for(sleep_level level) {
  sleep_plan plan;
  plan.name = to_string(level);
  const bool keeps_contents = level == sleep_level::offload || level == sleep_level::suspend;
  plan.contents.otherwise = level == sleep_level::trim ? contents_action::keep
                            : keeps_contents           ? contents_action::offload
                                                       : contents_action::discard;
  if (level == sleep_level::suspend) plan.context = context_action::suspend;
  if (level == sleep_level::reset) plan.context = context_action::reset;
  if (level == sleep_level::rebirth) plan.context = context_action::rebirth;
  return plan;
}

}  // namespace lull
