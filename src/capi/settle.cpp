#include "capi/settle.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "capi/device.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

using lull::capi::checked_duration;
using lull::capi::figure_from;
using lull::capi::guard;
using lull::capi::or_unknown;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;
using lull::detail::fail;

struct lull_settlement {
  lull::settle_result value;
};

namespace {

lull_settle_options default_settle_options() {
  const lull::settle_options from;
  lull_settle_options options{};
  options.struct_size = sizeof options;
  options.max_wait_ns = from.max_wait.count();
  options.stale_after_ns = from.stale_after.count();
  options.first_interval_ns = from.first_interval.count();
  options.longest_interval_ns = from.longest_interval.count();
  options.released_ago_ns = LULL_UNKNOWN_NS;
  return options;
}

/// A moment in the past, also from before the machine's clock began; not so long ago that the time
/// since then could not be told any more.
lull::time_point moment_ago(std::int64_t ago_ns, const char* name) {
  const lull::duration ago = checked_duration(ago_ns, 0, name);
  return lull::steady_clock().now() - std::min(ago, lull::duration::max() / 2);
}

std::vector<lull::settle_expectation> expectations(const lull_settle_options& given) {
  std::vector<lull::settle_expectation> all;
  if (given.expected_count != 0) required(given.expected, "options->expected");
  for (std::size_t i = 0; i < given.expected_count; ++i) {
    const lull_settle_expectation& from = given.expected[i];
    lull::settle_expectation& to = all.emplace_back();
    to.device = &required(from.device, "an expectation's device");
    to.gain_bytes = figure_from(from.gain_bytes).value_or(0);
    to.baseline_free_bytes = figure_from(from.baseline_free_bytes);
  }
  return all;
}

lull::settle_options convert(const lull_settle_options& given) {
  lull::settle_options options;
  options.max_wait = checked_duration(given.max_wait_ns, 0, "options->max_wait_ns");
  options.stale_after = checked_duration(given.stale_after_ns, 0, "options->stale_after_ns");
  options.first_interval =
      checked_duration(given.first_interval_ns, 1, "options->first_interval_ns");
  options.longest_interval =
      checked_duration(given.longest_interval_ns, 1, "options->longest_interval_ns");
  if (given.releases != nullptr) options.releases = given.releases->value.get();
  if (given.released_ago_ns != LULL_UNKNOWN_NS) {
    options.released_at = moment_ago(given.released_ago_ns, "options->released_ago_ns");
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
            "on_sample");
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
                                    int64_t ago_ns, const lull_release_gain* gain) {
  return guard([&] {
    lull::release_clock& clock = *required(releases, "releases").value;
    if (device == nullptr) {
      if (ago_ns != 0 || gain != nullptr) {
        throw lull::error(lull::status::invalid_argument,
                          "device is null: a mark for all devices is one for now, and its gain is "
                          "not known; ago_ns must be 0 and gain null");
      }
      return clock.mark_all();
    }
    lull::release_gain known;
    if (gain != nullptr) {
      known.bytes = figure_from(gain->bytes).value_or(0);
      known.free_before_bytes = figure_from(gain->free_before_bytes);
    }
    clock.mark_at(device, moment_ago(ago_ns, "ago_ns"), known);
  });
}

lull_status lull_release_clock_last(const lull_release_clock* releases, const char* device,
                                    int64_t* ago_ns) {
  return guard([&] {
    const lull::release_clock& clock = *required(releases, "releases").value;
    auto& result = required(ago_ns, "ago_ns");
    const auto last = device != nullptr ? clock.last(device) : clock.latest();
    result = last ? std::max(lull::duration::zero(), clock.time().now() - *last).count()
                  : LULL_UNKNOWN_NS;
  });
}

void lull_settle_options_init(lull_settle_options* options) {
  if (options != nullptr) *options = default_settle_options();
}

lull_status lull_devices_settle(lull_device* const* devices, size_t device_count,
                                const lull_settle_options* options, lull_settlement** settlement) {
  return guard([&] {
    const auto all = lull::capi::devices_of(devices, device_count);
    const auto given = read_versioned(options, default_settle_options(), "options");
    auto& result = required(settlement, "settlement");
    result = new lull_settlement{lull::settle(all, convert(given))};
  });
}

lull_status lull_settlement_describe(const lull_settlement* settlement,
                                     lull_settlement_info* info) {
  return guard([&] {
    const lull::settle_result& from = required(settlement, "settlement").value;
    lull_settlement_info value{};
    value.status = static_cast<lull_settle_status>(from.status);
    value.skip = static_cast<lull_settle_skip>(from.skip);
    value.elapsed_ns = from.elapsed.count();
    value.device_count = from.devices.size();
    set_text(value.reason, from.reason);
    write_versioned(info, value, "info");
  });
}

lull_status lull_settlement_device(const lull_settlement* settlement, size_t index,
                                   lull_device_settlement* device) {
  return guard([&] {
    const auto& all = required(settlement, "settlement").value.devices;
    lull::capi::expect_versioned(device, "device");
    if (index >= all.size()) {
      fail(lull::status::not_found, "there are {} devices, and none with index {}", all.size(),
           index);
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
