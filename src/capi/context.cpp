#include <lull/reset.hpp>

#include <chrono>
#include <memory>
#include <vector>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/text.hpp"

using lull::capi::checked_milliseconds;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;

namespace {

static_assert(LULL_CANNOT_TELL == static_cast<int>(lull::tristate::cannot_tell));

constexpr lull_reset_options default_reset_options{
    sizeof(lull_reset_options), 0, 10000, 2000, nullptr, nullptr, nullptr};

lull_reset_event convert(const lull::reset_event& event) noexcept {
  return {sizeof(lull_reset_event), event.dropping ? 1 : 0, event.was_reset ? 1 : 0};
}

lull::reset_options convert(const lull_reset_options& given) {
  lull::reset_options options;
  options.drop = given.drop != 0;
  options.drain_timeout =
      checked_milliseconds(given.drain_timeout_ms, 0, "options->drain_timeout_ms");
  options.settle_timeout =
      checked_milliseconds(given.settle_timeout_ms, 0, "options->settle_timeout_ms");
  if (given.releases != nullptr) options.releases = given.releases->value.get();
  if (given.reset != nullptr) {
    options.reset = [reset = given.reset, user = given.user](const lull::device&) {
      lull::capi::expect_callback_ok(reset(user), "options->reset");
    };
  }
  return options;
}

}  // namespace

lull_status lull_device_context_alive(const lull_device* device, lull_tristate* alive) {
  return guard([&] {
    auto& result = required(alive, "alive");
    result = static_cast<lull_tristate>(required(device, "device").value.context_alive());
  });
}

lull_status lull_device_context_create(const lull_device* device) {
  return guard([&] { required(device, "device").value.context_create(); });
}

lull_status lull_device_generation(const lull_device* device, uint64_t* generation) {
  return guard([&] {
    auto& result = required(generation, "generation");
    result = required(device, "device").value.generation();
  });
}

lull_status lull_reset_hook_create(const lull_device* device, const char* name,
                                   lull_before_reset_fn before, lull_after_reset_fn after,
                                   void* user, lull_reset_hook** hook) {
  return guard([&] {
    auto& result = required(hook, "hook");
    lull::reset_hook::callback call_before;
    lull::reset_hook::callback call_after;
    if (before != nullptr) {
      call_before = [before, user](const lull::reset_event& event) {
        const lull_reset_event converted = convert(event);
        lull::capi::expect_callback_ok(before(user, &converted), "the hook");
      };
    }
    if (after != nullptr) {
      call_after = [after, user](const lull::reset_event& event) {
        const lull_reset_event converted = convert(event);
        after(user, &converted);
      };
    }
    result = new lull_reset_hook{lull::reset_hook(required(device, "device").value,
                                                  &required(name, "name"), std::move(call_before),
                                                  std::move(call_after))};
  });
}

void lull_reset_hook_destroy(lull_reset_hook* hook) {
  delete hook;
}

void lull_reset_options_init(lull_reset_options* options) {
  if (options != nullptr) *options = default_reset_options;
}

lull_status lull_device_reset(const lull_device* device, const lull_reset_options* options,
                              lull_report** report) {
  return guard([&] {
    const auto given = read_versioned(options, default_reset_options, "options");
    lull::reset_report done = lull::dev_reset(required(device, "device").value, convert(given));
    if (report == nullptr) return;
    auto result = std::make_unique<lull_report>();
    result->what = "reset";
    result->failure = lull::detail::text("{}", lull::detail::join(done.problems, "; "));
    result->elapsed = done.elapsed;
    result->steps = std::move(done.steps);
    lull::device_report& seen = result->devices.emplace_back();
    seen.device = std::move(done.device);
    seen.before = done.before;
    seen.after = done.after;
    *report = result.release();
  });
}

lull_status lull_device_reset_all(const lull_device* const* devices, size_t count,
                                  const lull_reset_options* options, lull_status* results) {
  return guard([&] {
    const auto given = read_versioned(options, default_reset_options, "options");
    if (count != 0) required(devices, "devices");
    std::vector<lull::device> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(required(devices[i], "a device").value);
    const auto done = lull::dev_reset_all(all, convert(given));
    for (std::size_t i = 0; i < count && results != nullptr; ++i) {
      results[i] = done[i].failure ? static_cast<lull_status>(done[i].failure->code()) : LULL_OK;
    }
    for (const lull::reset_result& each : done) {
      if (each.failure) throw lull::error(*each.failure);
    }
  });
}
