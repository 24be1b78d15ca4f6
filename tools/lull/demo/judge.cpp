#include <lull/bytes.hpp>

#include <utility>

#include <fmt/format.h>

#include "level_run.hpp"

namespace lull::demo {
namespace {

/// By which part of the weights memory has to fall.
double least_fall_of(sleep_level level) {
  return level == sleep_level::trim ? 0 : 0.95;
}

std::vector<std::string> judge_cycle(const sleep_cycle& cycle, std::uint64_t weights_bytes) {
  std::vector<std::string> wrong;
  const auto complain = [&](const std::string& what) {
    wrong.push_back(
        fmt::format("{}, asleep by {}: {}", to_string(cycle.level), to_string(cycle.cause), what));
  };
  const double fall = cycle.fell_by(weights_bytes);
  const double least_fall = least_fall_of(cycle.level);
  if (fall < least_fall) {
    complain(
        fmt::format("memory fell by {:.1f} % of the weights ({} to {}), expected {:.0f} % of {}",
                    fall * 100, format_bytes(cycle.awake_bytes), format_bytes(cycle.asleep_bytes),
                    least_fall * 100, format_bytes(weights_bytes)));
  }
  if (!cycle.answers_equal) complain("the answers after the wake differ from those before");
  if (cycle.wakes != 1) {
    complain(fmt::format("all clients at once caused {} wakes, expected 1", cycle.wakes));
  }
  if (cycle.wakes_by_observing != 0) {
    complain(fmt::format("it woke {} times by being observed", cycle.wakes_by_observing));
  }
  return wrong;
}

}  // namespace

std::vector<std::string> judge(const level_result& result, std::uint64_t weights_bytes) {
  std::vector<std::string> wrong;
  for (const sleep_cycle& cycle : result.cycles) {
    for (std::string& what : judge_cycle(cycle, weights_bytes)) wrong.push_back(std::move(what));
  }
  if (result.cycles.empty()) {
    wrong.push_back(fmt::format("{}: it never slept", to_string(result.level)));
  }
  if (result.observed.failures > 0) {
    wrong.push_back(fmt::format("{}: {} of {} observer requests failed, the first with: {}",
                                to_string(result.level), result.observed.failures,
                                result.observed.requests, result.observed.first_failure));
  }
  return wrong;
}

}  // namespace lull::demo
