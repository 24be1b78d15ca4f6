#include "settle/driver.hpp"

#include <algorithm>
#include <utility>

#include "vocabulary/text.hpp"

namespace lull::detail {
settle_run::settle_run(const settle_options& options) : options_(options) {
  const auto require = [](bool good, std::string_view what) {
    if (!good) fail(status::invalid_argument, "settle: {}", what);
  };
  require(options.max_wait >= duration::zero(), "max_wait must not be negative");
  require(options.stale_after >= duration::zero(), "stale_after must not be negative");
  require(options.first_interval > duration::zero(), "first_interval must be above 0");
  require(options.longest_interval >= options.first_interval,
          "longest_interval must be at least first_interval");
}

const clock& settle_run::time() const noexcept {
  if (options_.time != nullptr) return *options_.time;
  return options_.releases != nullptr ? options_.releases->time() : steady_clock();
}

bool settle_run::is_recent(time_point released_at, time_point now) const noexcept {
  return released_at >= now || now - released_at <= options_.stale_after;
}

settle_skip settle_run::reason_to_skip(time_point now) const noexcept {
  const auto marked = options_.releases ? options_.releases->latest() : std::nullopt;
  // An absent one compares below any that is there.
  const auto latest = std::max(options_.released_at, marked);
  if (!latest) return settle_skip::nothing_released;
  return is_recent(*latest, now) ? settle_skip::none : settle_skip::released_long_ago;
}

std::optional<release_mark> settle_run::recent_release(std::string_view device,
                                                       time_point now) const {
  auto released = options_.releases ? options_.releases->last_release(device) : std::nullopt;
  const auto& told = options_.released_at;
  // Of a release that no mark is about nobody has said how much it gives back.
  if (told && (!released || released->at < *told)) released = release_mark{*told};
  if (!released || !is_recent(released->at, now)) return std::nullopt;
  released->at = std::min(released->at, now);
  return released;
}

settle_result settle_run::wait(settle_world& world) const {
  return run_settle(
      options_,
      [this, now = world.now()](std::string_view device) { return recent_release(device, now); },
      world);
}

settle_result run_settle(const settle_options& options, settle_judge::released_lookup released,
                         settle_world& world, const settle_tolerance& tolerance) {
  settle_judge judge(options, std::move(released), world.now(), tolerance);
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
