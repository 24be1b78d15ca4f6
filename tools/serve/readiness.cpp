#include "readiness.hpp"

#include <chrono>

#include <fmt/format.h>

namespace lull::serve {
namespace {

double seconds_of(duration span) {
  return std::chrono::duration<double>(span).count();
}

}  // namespace

readiness readiness_of(fleet& all, const model& which, std::optional<duration> within) {
  if (all.is_draining()) return {false, "the router is ending"};
  const model::view seen = which.look();
  const duration pause = seen.not_before - steady_clock().now();
  if (seen.is == model::phase::failed && pause > duration::zero()) {
    return {false, fmt::format("'{}' is not started again for {:.1f} s: {}", which.name(),
                               seconds_of(pause), seen.last_error)};
  }
  const bool is_in = seen.is == model::phase::ready || seen.is == model::phase::starting ||
                     seen.is == model::phase::waking;
  if (!is_in) {
    const budget_preview plan = all.books().preview(which.name());
    if (plan.outcome == plan_outcome::impossible) {
      return {false, fmt::format("'{}' does not fit: {}", which.name(), plan.words)};
    }
  }
  if (!within) return {};
  const std::optional<duration> expected = which.time_to_come();
  if (!expected) {
    return {false, fmt::format("'{}' was not seen to come from where it is, so that it is not "
                               "known how long that takes",
                               which.name())};
  }
  if (*expected <= *within) return {};
  return {false, fmt::format("'{}' takes {:.1f} s to come", which.name(), seconds_of(*expected))};
}

readiness readiness_of(fleet& all) {
  if (all.is_draining()) return {false, "the router is ending"};
  if (!all.is_started()) return {false, "the models of the start are being loaded"};
  std::string why;
  for (const auto& each : all.models()) {
    const readiness one = readiness_of(all, *each);
    if (one.ready) return {};
    why += (why.empty() ? "" : "; ") + one.why;
  }
  if (all.models().empty()) return {};
  return {false, why};
}

}  // namespace lull::serve
