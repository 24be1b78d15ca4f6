// All devices together: which there are, when to look again, and what came out.

#include "settle/judge.hpp"

#include <algorithm>
#include <utility>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// The last look is taken this long before the deadline at least, so that it ends within it.
constexpr duration least_reserve = std::chrono::milliseconds{2};

/// What the options expect of a device, or else what the release has promised.
std::optional<settle_expectation> expectation(const settle_options& options,
                                              std::string_view device,
                                              const std::optional<release_mark>& released) {
  const auto given = std::find_if(options.expected.begin(), options.expected.end(),
                                  [&](const auto& each) { return each.device == device; });
  if (given != options.expected.end()) return *given;
  if (!released || !released->gain.known()) return std::nullopt;
  return settle_expectation{std::string(device), released->gain.bytes,
                            released->gain.free_before_bytes};
}

const memory_reading* find(const std::vector<memory_reading>& sample, std::string_view device) {
  const auto found = std::find_if(sample.begin(), sample.end(),
                                  [&](const auto& each) { return each.device == device; });
  return found == sample.end() ? nullptr : &*found;
}

}  // namespace

settle_judge::settle_judge(const settle_options& options, released_lookup released,
                           time_point started_at, const settle_tolerance& tolerance)
    : options_(options),
      released_(std::move(released)),
      started_at_(started_at),
      deadline_(started_at > time_point::max() - options.max_wait ? time_point::max()
                                                                  : started_at + options.max_wait),
      interval_(options.first_interval),
      tolerance_(tolerance) {}

std::optional<time_point> settle_judge::add(const std::vector<memory_reading>& sample,
                                            time_point asked_at, time_point answered_at) {
  if (!status_) {
    devices_.empty() ? start(sample) : compare(sample);
  }
  if (status_) return std::nullopt;
  for (device_judge& device : devices_) device.add(find(sample, device.name())->memory, asked_at);
  if (std::all_of(devices_.begin(), devices_.end(),
                  [](const auto& each) { return each.decided(); })) {
    end(settle_status::settled, {});
    return std::nullopt;
  }
  return next_look(asked_at, answered_at);
}

/// The first sample says which devices there are, and whether any of them is worth a wait.
void settle_judge::start(const std::vector<memory_reading>& sample) {
  if (sample.empty()) return skip(settle_skip::no_device);
  bool released = false;
  bool known = false;
  for (const memory_reading& reading : sample) {
    if (find(sample, reading.device) != &reading) {
      return end(settle_status::probe_failed,
                 text("the probes gave two readings named '{}'", reading.device));
    }
    const auto mark = released_(reading.device);
    released = released || mark.has_value();
    known = known || (mark && reading.memory.free_bytes);
    const auto expected = expectation(options_, reading.device, mark);
    devices_.emplace_back(reading, expected ? &*expected : nullptr,
                          mark ? std::optional(mark->at) : std::nullopt, tolerance_);
  }
  if (!released) return skip(settle_skip::nothing_released);
  if (!known) return skip(settle_skip::free_unknown);
}

/// Later samples must be of the same devices: figures of others cannot be compared.
void settle_judge::compare(const std::vector<memory_reading>& sample) {
  const auto changed = [this](std::string_view device, std::string_view what) {
    end(settle_status::devices_changed, text("{} {} between two samples", device, what));
  };
  for (const device_judge& device : devices_) {
    const memory_reading* const reading = find(sample, device.name());
    if (reading == nullptr) return changed(device.name(), "vanished");
    if (!device.same_size(*reading)) return changed(device.name(), "changed its size");
    if (!device.decided() && !reading->memory.free_bytes) {
      return end(settle_status::probe_failed,
                 text("{} no longer says what is free", device.name()));
    }
  }
  for (const memory_reading& reading : sample) {
    const bool known = std::any_of(devices_.begin(), devices_.end(),
                                   [&](const auto& each) { return each.name() == reading.device; });
    if (!known) return changed(reading.device, "appeared");
  }
}

std::optional<time_point> settle_judge::next_look(time_point asked_at, time_point answered_at) {
  const duration took = std::max(answered_at - asked_at, duration::zero());
  const duration pause = std::max(interval_, took);
  time_point next = pause > deadline_ - answered_at ? deadline_ : answered_at + pause;
  // Half as much again; written so that it cannot overflow.
  interval_ += std::min(interval_ / 2, options_.longest_interval - interval_);

  // All must have decided, so a look before the slowest of them can decide nothing; one at that
  // very moment may decide everything.
  time_point decisive = answered_at;
  for (const device_judge& device : devices_) {
    if (!device.decided()) decisive = std::max(decisive, device.earliest_decision());
  }
  if (decisive > answered_at) next = std::min(next, decisive);

  const time_point last_chance = deadline_ - std::max(took, least_reserve);
  next = std::min(next, last_chance);
  if (next > answered_at) return next;
  time_out();
  return std::nullopt;
}

void settle_judge::time_out() {
  std::string waiting;
  for (const device_judge& device : devices_) {
    if (device.decided()) continue;
    waiting += text("{}{}", waiting.empty() ? "" : ", ", device.name());
  }
  end(settle_status::timed_out,
      text("not settled within {} ms: {}",
           std::chrono::duration_cast<std::chrono::milliseconds>(options_.max_wait).count(),
           waiting));
}

void settle_judge::skip(settle_skip why) {
  skip_ = why;
  end(settle_status::skipped, {});
}

void settle_judge::end(settle_status status, std::string reason) noexcept {
  status_ = status;
  reason_ = std::move(reason);
}

settle_result settle_judge::result(time_point ended_at) const {
  settle_result result;
  result.status = status_.value_or(settle_status::timed_out);
  result.skip = skip_;
  result.reason = reason_;
  for (const device_judge& device : devices_) {
    result.devices.push_back(device.report(started_at_, ended_at));
  }
  result.elapsed = ended_at - started_at_;
  return result;
}

}  // namespace lull::detail
