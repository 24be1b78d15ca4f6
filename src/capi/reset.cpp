#include "capi/reset.hpp"

#include <lull/reset.hpp>

#include <memory>
#include <vector>

#include "capi/device.hpp"
#include "capi/report.hpp"
#include "capi/settle.hpp"
#include "capi/values.hpp"

using lull::capi::checked_duration;
using lull::capi::expect_callback_ok;
using lull::capi::fill_in;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;

namespace lull::capi {

std::function<void(const device&)> own_reset(lull_reset_fn reset, void* user) {
  if (reset == nullptr) return {};
  return [reset, user](const device& which) {
    const lull_device handle{which};
    expect_callback_ok(reset(user, &handle), "reset");
  };
}

}  // namespace lull::capi

struct lull_reset_hook {
  lull::reset_hook value;
};

namespace {

lull_reset_hook_options default_hook_options() {
  lull_reset_hook_options options{};
  options.struct_size = sizeof options;
  options.name = "";
  return options;
}

lull_reset_event convert(const lull::reset_event& event) noexcept {
  return {sizeof(lull_reset_event), event.device.name().c_str(), event.dropping ? 1 : 0,
          event.was_reset ? 1 : 0};
}

/// A callback that may refuse the reset; empty for null.
lull::reset_hook::callback refusing(lull_before_reset_fn function, void* user) {
  if (function == nullptr) return {};
  return [function, user](const lull::reset_event& event) {
    const lull_reset_event converted = convert(event);
    expect_callback_ok(function(user, &converted), "reset hook's");
  };
}

lull::reset_hook::callback following(lull_after_reset_fn function, void* user) {
  if (function == nullptr) return {};
  return [function, user](const lull::reset_event& event) {
    const lull_reset_event converted = convert(event);
    function(user, &converted);
  };
}

lull_reset_options default_reset_options() {
  const lull::reset_options from;
  lull_reset_options options{};
  options.struct_size = sizeof options;
  options.drop = from.drop ? 1 : 0;
  options.drain_timeout_ns = from.drain_timeout.count();
  options.settle_timeout_ns = from.settle_timeout.count();
  lull::capi::set_default_log(options);
  return options;
}

lull::reset_options convert(const lull_reset_options& given) {
  lull::reset_options options;
  options.drop = given.drop != 0;
  options.drain_timeout = checked_duration(given.drain_timeout_ns, 1, "options->drain_timeout_ns");
  options.settle_timeout =
      checked_duration(given.settle_timeout_ns, 0, "options->settle_timeout_ns");
  if (given.releases != nullptr) options.releases = given.releases->value.get();
  options.reset = lull::capi::own_reset(given.reset, given.reset_user);
  options.log = lull::capi::log_of(given);
  return options;
}

}  // namespace

void lull_reset_hook_options_init(lull_reset_hook_options* options) {
  if (options != nullptr) *options = default_hook_options();
}

lull_status lull_reset_hook_create(const lull_device* device,
                                   const lull_reset_hook_options* options, lull_reset_hook** hook) {
  return guard([&] {
    const lull::device& on = required(device, "device").value;
    const auto given =
        read_versioned(&required(options, "options"), default_hook_options(), "options");
    auto& result = required(hook, "hook");
    result = new lull_reset_hook{lull::reset_hook(
        on, std::string(lull::capi::text_or_empty(given.name)), refusing(given.before, given.user),
        following(given.after, given.user), refusing(given.check, given.user))};
  });
}

void lull_reset_hook_destroy(lull_reset_hook* hook) {
  delete hook;
}

void lull_reset_options_init(lull_reset_options* options) {
  if (options != nullptr) *options = default_reset_options();
}

lull_status lull_device_reset(const lull_device* device, const lull_reset_options* options,
                              lull_report** report) {
  if (report != nullptr) *report = nullptr;
  return guard([&] {
    const lull::device& which = required(device, "device").value;
    auto given = convert(read_versioned(options, default_reset_options(), "options"));
    lull::reset_report failed;
    given.failed_report = &failed;
    const auto has_begun = [](const lull::reset_report& of) { return !of.device.empty(); };
    lull::capi::deliver(report, lull::capi::make_reset_report(), failed, has_begun,
                        [&] { return lull::dev_reset(which, given); });
  });
}

lull_status lull_devices_reset(lull_device* const* devices, size_t device_count,
                               const lull_reset_options* options, lull_status* results,
                               lull_report** reports) {
  return guard([&] {
    const auto all = lull::capi::devices_of(devices, device_count);
    const auto given = convert(read_versioned(options, default_reset_options(), "options"));
    std::vector<std::unique_ptr<lull_report>> made;
    for (std::size_t i = 0; i < device_count && reports != nullptr; ++i) {
      made.push_back(lull::capi::make_reset_report());
    }
    auto done = lull::dev_reset_all(all, given);
    for (std::size_t i = 0; i < device_count; ++i) {
      const auto& failure = done[i].failure;
      if (results != nullptr) {
        results[i] = failure ? static_cast<lull_status>(failure->code()) : LULL_OK;
      }
      if (reports == nullptr) continue;
      fill_in(*made[i], std::move(done[i].report));
      if (failure) lull::capi::mark_failed(*made[i], *failure);
      reports[i] = made[i].release();
    }
    for (const lull::reset_result& each : done) {
      if (each.failure) throw lull::error(*each.failure);
    }
  });
}
