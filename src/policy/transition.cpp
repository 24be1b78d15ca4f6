#include <lull/sleeper.hpp>

#include <algorithm>
#include <iterator>

#include "report/step_timer.hpp"

namespace lull {
namespace {

/// What a later transfer of the same transition did on a device, added to the earlier ones.
void merge(device_report& into, device_report& later) {
  into.copied_bytes += later.copied_bytes;
  into.discarded_bytes += later.discarded_bytes;
  into.refilled_bytes += later.refilled_bytes;
  into.after = later.after;
  std::move(later.moved.begin(), later.moved.end(), std::back_inserter(into.moved));
}

/// Reports what has happened, which is no different where there is no memory to say so.
template <class Work>
void report(const log_sink& log, Work&& work) noexcept {
  try {
    work();
  } catch (...) {
    log.write(log_level::warning, "no memory to report all of a transition");
  }
}

}  // namespace

transition::transition(const lull::clock& time, stop_view stop, progress_callback progress,
                       log_sink log)
    : clock_(&time), stop_(std::move(stop)), progress_(std::move(progress)), log_(std::move(log)) {}

void transition::step(std::string_view name, const std::function<void()>& work) {
  const detail::step_timer timer(steps_, *clock_, name);
  work();
}

void transition::add(std::vector<step_report> steps, std::vector<device_report> devices) {
  report(log_, [&] {
    std::move(steps.begin(), steps.end(), std::back_inserter(steps_));
    for (device_report& device : devices) {
      const auto same = std::find_if(devices_.begin(), devices_.end(), [&](const auto& other) {
        return other.device == device.device;
      });
      if (same == devices_.end()) {
        devices_.push_back(std::move(device));
      } else {
        merge(*same, device);
      }
    }
  });
}

void transition::add_moves(transition& undone) {
  report(log_, [&] {
    for (device_report& each : undone.devices_) {
      if (each.moved.empty()) continue;
      auto same = std::find_if(devices_.begin(), devices_.end(),
                               [&](const auto& other) { return other.device == each.device; });
      if (same == devices_.end()) {
        same = devices_.insert(devices_.end(), device_report{});
        same->device = each.device;
        same->before = each.before;
      }
      same->after = each.after;
      std::move(each.moved.begin(), each.moved.end(), std::back_inserter(same->moved));
    }
  });
}

void transition::released(const device& from, std::optional<std::uint64_t> bytes) {
  report(log_, [&] {
    const std::string& name = from.name();
    auto same = std::find_if(devices_.begin(), devices_.end(),
                             [&](const auto& other) { return other.device == name; });
    if (same == devices_.end()) {
      same = devices_.insert(devices_.end(), device_report{});
      same->device = name;
    }
    same->discarded_bytes += bytes.value_or(0);
    released_.push_back(name);
  });
}

void transition::add_problem(std::string words) {
  log_.write(log_level::warning, words);
  report(log_, [&] { problems_.push_back(std::move(words)); });
}

/// Moves what was recorded into a report.
void transition::write_to(transition_report& report, const std::optional<error>& failure,
                          bool rolled_back) {
  report.succeeded = !failure;
  report.rolled_back = rolled_back;
  report.failure = failure ? failure->what() : "";
  report.steps = std::move(steps_);
  report.devices = std::move(devices_);
  report.problems = std::move(problems_);
}

}  // namespace lull
