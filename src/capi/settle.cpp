#include <lull/settle.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/text.hpp"

using lull::capi::checked_milliseconds;
using lull::capi::guard;
using lull::capi::nothing;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;

namespace lull::capi {

std::shared_ptr<release_clock> shared_clock(const lull_release_clock* releases) {
  return releases != nullptr ? releases->value : nullptr;
}

}  // namespace lull::capi

namespace {

static_assert(LULL_SETTLE_CANCELLED == static_cast<int>(lull::settle_status::cancelled));
static_assert(LULL_SKIP_FREE_UNKNOWN == static_cast<int>(lull::settle_skip::free_unknown));
static_assert(LULL_SETTLE_UNKNOWN == static_cast<int>(lull::settle_verdict::unknown));
static_assert(LULL_GAIN_IMPOSSIBLE == static_cast<int>(lull::settle_gain::impossible));

constexpr lull_settle_options default_settle_options{sizeof(lull_settle_options),
                                                     2000,
                                                     15000,
                                                     10,
                                                     25,
                                                     nullptr,
                                                     nothing,
                                                     nullptr,
                                                     0,
                                                     nullptr,
                                                     nullptr,
                                                     nullptr};

/// A moment in the past. Clocks may count from when the machine was started, which is as far back as
/// it goes.
lull::time_point moment_ago(std::int64_t ago_ms, const char* name) {
  const lull::duration ago = checked_milliseconds(ago_ms, 0, name);
  const lull::time_point now = lull::steady_clock().now();
  return now < lull::time_point::min() + ago ? lull::time_point::min() : now - ago;
}

std::uint64_t or_unknown(const std::optional<std::uint64_t>& figure) noexcept {
  return figure.value_or(LULL_UNKNOWN);
}

std::vector<lull::settle_expectation> expectations(const lull_settle_options& given) {
  std::vector<lull::settle_expectation> all;
  if (given.expected_count != 0) required(given.expected, "options->expected");
  for (std::size_t i = 0; i < given.expected_count; ++i) {
    const lull_settle_expectation& from = given.expected[i];
    lull::settle_expectation& to = all.emplace_back();
    to.device = &required(from.device, "an expectation's device");
    to.gain_bytes = from.gain_bytes;
    if (from.baseline_free_bytes != LULL_UNKNOWN) to.baseline_free_bytes = from.baseline_free_bytes;
  }
  return all;
}

lull::settle_options convert(const lull_settle_options& given) {
  lull::settle_options options;
  options.max_wait = checked_milliseconds(given.max_wait_ms, 0, "options->max_wait_ms");
  options.stale_after = checked_milliseconds(given.stale_after_ms, 0, "options->stale_after_ms");
  options.first_interval =
      checked_milliseconds(given.first_interval_ms, 1, "options->first_interval_ms");
  options.longest_interval =
      checked_milliseconds(given.longest_interval_ms, 1, "options->longest_interval_ms");
  if (given.releases != nullptr) options.releases = given.releases->value.get();
  if (given.released_ago_ms != nothing) {
    options.released_at = moment_ago(given.released_ago_ms, "options->released_ago_ms");
  }
  options.expected = expectations(given);
  options.stop = lull::capi::token_of(given.cancel);
  if (given.on_sample != nullptr) {
    options.on_sample = [callback = given.on_sample,
                         user = given.on_sample_user](const lull::settle_sample& sample) {
      for (const lull::memory_reading& each : sample.readings) {
        lull::capi::expect_callback_ok(
            callback(user, sample.since_start.count(), each.device.c_str(),
                     or_unknown(each.memory.free_bytes)),
            "options->on_sample");
      }
    };
  }
  return options;
}

}  // namespace

lull_status lull_release_clock_create(lull_release_clock** releases) {
  return guard([&] {
    auto& result = required(releases, "releases");
    result = new lull_release_clock{std::make_shared<lull::release_clock>()};
  });
}

void lull_release_clock_destroy(lull_release_clock* releases) {
  delete releases;
}

lull_status lull_release_clock_mark(lull_release_clock* releases, const char* device,
                                    int64_t ago_ms) {
  return guard([&] {
    lull::release_clock& clock = *required(releases, "releases").value;
    if (device != nullptr) return clock.mark_at(device, moment_ago(ago_ms, "ago_ms"));
    if (ago_ms != 0) {
      lull::detail::fail(lull::status::invalid_argument,
                         "ago_ms is {}; a mark for all devices is always one for now", ago_ms);
    }
    clock.mark_all();
  });
}

lull_status lull_release_clock_last(const lull_release_clock* releases, const char* device,
                                    int64_t* ago_ns) {
  return guard([&] {
    auto& result = required(ago_ns, "ago_ns");
    const lull::release_clock& clock = *required(releases, "releases").value;
    const auto last = device != nullptr ? clock.last(device) : clock.latest();
    result = last ? std::max(lull::duration::zero(), clock.time().now() - *last).count() : nothing;
  });
}

void lull_settle_options_init(lull_settle_options* options) {
  if (options != nullptr) *options = default_settle_options;
}

lull_status lull_settle(const lull_device* const* devices, size_t count,
                        const lull_settle_options* options, lull_settlement** settlement) {
  return guard([&] {
    auto& result = required(settlement, "settlement");
    const auto given = read_versioned(options, default_settle_options, "options");
    if (count != 0) required(devices, "devices");
    std::vector<lull::device> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(required(devices[i], "a device").value);
    result = new lull_settlement{lull::settle(all, convert(given))};
  });
}

lull_status lull_settlement_get_summary(const lull_settlement* settlement,
                                        lull_settle_summary* summary) {
  return guard([&] {
    const lull::settle_result& from = required(settlement, "settlement").value;
    lull_settle_summary value{};
    value.status = static_cast<lull_settle_status>(from.status);
    value.skip = static_cast<lull_settle_skip>(from.skip);
    value.elapsed_ns = from.elapsed.count();
    value.device_count = from.devices.size();
    set_text(value.reason, from.reason);
    write_versioned(summary, value, "summary");
  });
}

lull_status lull_settlement_get_device(const lull_settlement* settlement, size_t index,
                                       lull_device_settlement* device) {
  return guard([&] {
    const auto& all = required(settlement, "settlement").value.devices;
    if (index >= all.size()) {
      lull::detail::fail(lull::status::not_found, "there are {} devices, and none with index {}",
                         all.size(), index);
    }
    const lull::device_settlement& from = all[index];
    lull_device_settlement value{};
    value.verdict = static_cast<lull_settle_verdict>(from.verdict);
    value.gain = static_cast<lull_settle_gain>(from.gain);
    value.before_bytes = or_unknown(from.before_bytes);
    value.after_bytes = or_unknown(from.after_bytes);
    value.samples = from.samples;
    value.elapsed_ns = from.elapsed.count();
    set_text(value.device, from.device);
    write_versioned(device, value, "device");
  });
}

void lull_settlement_destroy(lull_settlement* settlement) {
  delete settlement;
}
