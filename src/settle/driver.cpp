#include "settle/driver.hpp"

#include <algorithm>
#include <utility>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

std::optional<time_point> later(std::optional<time_point> a, std::optional<time_point> b) noexcept {
  // An absent one compares below any that is there.
  return std::max(a, b);
}

bool is_recent(const settle_options& options, time_point released_at, time_point now) noexcept {
  return released_at >= now || now - released_at <= options.stale_after;
}

}  // namespace

void check(const settle_options& options) {
  const auto require = [](bool good, std::string_view what) {
    if (!good) fail(status::invalid_argument, "settle: {}", what);
  };
  require(options.max_wait >= duration::zero(), "max_wait must not be negative");
  require(options.stale_after >= duration::zero(), "stale_after must not be negative");
  require(options.first_interval > duration::zero(), "first_interval must be above 0");
  require(options.longest_interval >= options.first_interval,
          "longest_interval must be at least first_interval");
}

settle_skip reason_to_skip(const settle_options& options, time_point now) noexcept {
  const auto latest =
      later(options.released_at, options.releases ? options.releases->latest() : std::nullopt);
  if (!latest) return settle_skip::nothing_released;
  return is_recent(options, *latest, now) ? settle_skip::none : settle_skip::released_long_ago;
}

std::optional<time_point> recent_release(const settle_options& options, std::string_view device,
                                         time_point now) {
  const auto released_at =
      later(options.released_at, options.releases ? options.releases->last(device) : std::nullopt);
  if (!released_at || !is_recent(options, *released_at, now)) return std::nullopt;
  return std::min(*released_at, now);
}

settle_result run_settle(const settle_options& options, settle_judge::released_lookup released,
                         settle_world& world) {
  settle_judge judge(options, std::move(released), world.now());
  std::optional<time_point> next = world.now();
  while (next) {
    if (!world.wait_until(*next)) {
      judge.end(settle_status::cancelled, "told to stop");
      break;
    }
    const time_point asked_at = world.now();
    auto answer = world.sample(judge.deadline());
    if (auto* const failure = std::get_if<sample_failure>(&answer)) {
      // A device that was never there has not vanished.
      const bool vanished = failure->status == settle_status::devices_changed;
      judge.end(vanished && !judge.has_devices() ? settle_status::probe_failed : failure->status,
                std::move(failure->reason));
      break;
    }
    const auto& readings = std::get<std::vector<memory_reading>>(answer);
    const time_point answered_at = world.now();
    next = judge.add(readings, asked_at, answered_at);
    if (options.on_sample) options.on_sample({answered_at - judge.started_at(), readings});
  }
  return judge.result(world.now());
}

}  // namespace lull::detail
