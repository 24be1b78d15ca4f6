#include "policy/released.hpp"

#include <algorithm>

namespace lull::detail {
namespace {

/// Whether a sleep gave up memory of a device. Measured where the platform can tell.
bool released_memory(const device_report& on, context_action context) noexcept {
  if (on.copied_bytes != 0 || on.discarded_bytes != 0) return true;
  const auto freed = on.freed_bytes();
  return freed ? *freed > 0 : context == context_action::reset;
}

/// What a device will have free again: what was free before, and the more of what was given up and
/// of what this process no longer holds (a context, what a driver rounds up).
release_gain gain_of(const device_report& on) noexcept {
  const std::uint64_t given_up = on.copied_bytes + on.discarded_bytes;
  const std::int64_t freed = std::max<std::int64_t>(on.freed_bytes().value_or(0), 0);
  return {std::max(given_up, static_cast<std::uint64_t>(freed)), on.before.free_bytes};
}

}  // namespace

void mark_released(release_clock& releases, const std::vector<device_report>& devices,
                   const std::vector<std::string>& told, context_action context) noexcept {
  for (const device_report& each : devices) {
    const bool said = std::find(told.begin(), told.end(), each.device) != told.end();
    if (!said && !released_memory(each, context)) continue;
    try {
      releases.mark(each.device, gain_of(each));
    } catch (...) {
      return releases.mark_all();  // needs no memory
    }
  }
}

}  // namespace lull::detail
