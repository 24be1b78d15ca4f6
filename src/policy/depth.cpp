#include "policy/depth.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <string_view>

#include "reset/addresses.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// Whether contents are given up at least as far as asked, whatever the tag.
bool covers(const eviction_plan& found, const eviction_plan& asked) {
  const auto as_far = [&](std::string_view tag) {
    return found.action_for(tag) >= asked.action_for(tag);
  };
  const auto all_of = [&](const eviction_plan& with_tags) {
    return std::all_of(with_tags.by_tag.begin(), with_tags.by_tag.end(),
                       [&](const auto& each) { return as_far(each.first); });
  };
  return found.otherwise >= asked.otherwise && all_of(found) && all_of(asked);
}

eviction_plan joined(const eviction_plan& from, const eviction_plan& to) {
  eviction_plan both;
  both.otherwise = std::max(from.otherwise, to.otherwise);
  for (const eviction_plan* each : {&from, &to}) {
    for (const auto& [tag, action] : each->by_tag) {
      both.by_tag[tag] = std::max(from.action_for(tag), to.action_for(tag));
    }
  }
  return both;
}

/// The level that a plan is, or is nearest to.
sleep_level level_of(const sleep_plan& plan) {
  switch (plan.context) {
    case context_action::suspend: return sleep_level::suspend;
    case context_action::reset: return sleep_level::reset;
    case context_action::rebirth: return sleep_level::rebirth;
    case context_action::keep: break;
  }
  switch (plan.contents.otherwise) {
    case contents_action::offload: return sleep_level::offload;
    case contents_action::discard: return sleep_level::discard;
    case contents_action::keep: break;
  }
  return sleep_level::trim;
}

bool can_do(const std::vector<sleep_level>& levels, context_action action) {
  sleep_plan with_action;
  with_action.context = action;
  return action == context_action::keep ||
         std::find(levels.begin(), levels.end(), level_of(with_action)) != levels.end();
}

std::string_view needed_for(context_action action) noexcept {
  switch (action) {
    case context_action::keep: return "nothing";
    case context_action::suspend: return "a process whose devices can be suspended";
    case context_action::reset: return "a device with a context to reset";
    case context_action::rebirth: return "sleeper_rebirth_options::hand_over";
  }
  return "?";
}

std::string names_of(const std::vector<device>& devices) {
  std::vector<std::string> names;
  names.reserve(devices.size());
  for (const device& each : devices) names.push_back(each.name());
  return join(names, ", ");
}

/// What of addresses keeps devices from being reset; empty: nothing.
std::string addresses_in(const std::vector<device>& devices) {
  std::string problem;
  for (const device& each : devices) {
    if (problem.empty() && each.supports(capability::reset)) problem = addresses_in_the_way(each);
  }
  return problem;
}

}  // namespace

bool covers(const sleep_plan& found, const sleep_plan& asked) {
  return found.context >= asked.context && covers(found.contents, asked.contents);
}

sleep_plan joined(const sleep_plan& from, const sleep_plan& to) {
  sleep_plan both = to;
  both.context = std::max(from.context, to.context);
  both.contents = joined(from.contents, to.contents);
  return both;
}

void check_ladder(const std::vector<sleep_rung>& rungs) {
  for (std::size_t i = 0; i < rungs.size(); ++i) {
    const sleep_rung& here = rungs[i];
    if (here.after < duration::zero()) {
      fail(status::invalid_argument, "ladder: the time of rung {} ('{}') must not be negative",
           i + 1, here.plan.name);
    }
    if (i == 0) continue;
    const sleep_rung& before = rungs[i - 1];
    if (here.after <= before.after) {
      fail(status::invalid_argument, "ladder: rung {} ('{}') must come later than rung {} ('{}')",
           i + 1, here.plan.name, i, before.plan.name);
    }
    const bool deeper = here.plan.context >= before.plan.context && !covers(before.plan, here.plan);
    if (deeper) continue;
    fail(status::invalid_argument, "ladder: rung {} ('{}') is not deeper than rung {} ('{}')",
         i + 1, here.plan.name, i, before.plan.name);
  }
}

sleep_plan possible_on(const std::vector<device>& devices, const sleep_plan& asked,
                       bool can_be_reborn) {
  auto levels = supported_levels(devices);
  if (!can_be_reborn) {
    levels.erase(std::find(levels.begin(), levels.end(), sleep_level::rebirth));
  }
  const std::string fixed = asked.context == context_action::reset ? addresses_in(devices) : "";
  if (!fixed.empty()) std::erase(levels, sleep_level::reset);
  sleep_plan nearest = asked;
  while (!can_do(levels, nearest.context)) {
    nearest.context = static_cast<context_action>(static_cast<int>(nearest.context) - 1);
  }
  if (nearest.context == asked.context) return nearest;
  nearest.name = to_string(level_of(nearest));
  if (asked.fallback) return nearest;
  if (!fixed.empty()) {
    fail(status::unsupported, "sleep plan '{}': {}; the nearest that would do is '{}'", asked.name,
         fixed, nearest.name);
  }
  const std::string here = asked.context == context_action::rebirth ? "there is none"
                           : devices.empty()                        ? "nothing here uses a device"
                                             : text("there is only {}", names_of(devices));
  fail(status::unsupported, "sleep plan '{}' needs {}, and {}; the nearest that would do is '{}'",
       asked.name, needed_for(asked.context), here, nearest.name);
}

bool exceeds_residue(const sleep_plan& plan, const std::vector<device_report>& measured,
                     transition& current) {
  if (!plan.max_residue_bytes || plan.context == context_action::suspend) return false;
  bool more = false;
  for (const device_report& each : measured) {
    const auto left = each.after.used_by_process_bytes;
    if (!left) {
      current.add_problem(text("{}: what is left on it is not known; '{}' allows {}", each.device,
                               plan.name, format_bytes(*plan.max_residue_bytes)));
    } else if (*left > *plan.max_residue_bytes) {
      current.add_problem(text("{}: {} are left on it; '{}' allows {}", each.device,
                               format_bytes(*left), plan.name,
                               format_bytes(*plan.max_residue_bytes)));
      more = true;
    }
  }
  return more;
}

}  // namespace lull::detail
