#include "capi/sleeper.hpp"

#include <lull/c/swap.h>

#include <map>
#include <string>
#include <utility>

#include "capi/memory.hpp"
#include "capi/rebirth.hpp"
#include "capi/report.hpp"
#include "capi/reset.hpp"
#include "capi/settle.hpp"
#include "capi/sleep_plan.hpp"

struct lull_free_bytes {
  std::map<std::string, std::uint64_t> value;
};

struct lull_transition_work {
  lull::transition_work value;
};

using lull::capi::checked_duration;
using lull::capi::deadline_in;
using lull::capi::fill_in;
using lull::capi::guard;
using lull::capi::make_plan;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::token_of;
using lull::capi::write_versioned;

namespace {

std::optional<lull::duration> idle_time(std::int64_t ns, const char* name) {
  if (ns == LULL_FOREVER) return std::nullopt;
  return checked_duration(ns, 0, name);
}

lull_sleeper_reset_options default_sleeper_reset_options() noexcept {
  const lull::sleeper_reset_options from;
  lull_sleeper_reset_options options{};
  options.struct_size = sizeof options;
  options.drop = from.drop ? 1 : 0;
  options.drain_timeout_ns = from.drain_timeout ? from.drain_timeout->count() : LULL_UNKNOWN_NS;
  options.settle_timeout_ns = from.settle_timeout.count();
  return options;
}

lull::sleeper_reset_options convert(const lull_sleeper_reset_options* options) {
  const auto given = read_versioned(options, default_sleeper_reset_options(), "options->reset");
  lull::sleeper_reset_options result;
  result.drop = given.drop != 0;
  if (given.drain_timeout_ns != LULL_UNKNOWN_NS) {
    result.drain_timeout =
        checked_duration(given.drain_timeout_ns, 1, "options->reset->drain_timeout_ns");
  }
  result.settle_timeout =
      checked_duration(given.settle_timeout_ns, 0, "options->reset->settle_timeout_ns");
  result.reset = lull::capi::own_reset(given.reset, given.reset_user);
  return result;
}

lull_sleeper_suspend_options read_default_sleeper_suspend_options() {
  const lull::sleeper_suspend_options from;
  lull_sleeper_suspend_options options{};
  options.struct_size = sizeof options;
  options.lock_timeout_ns = from.lock_timeout ? from.lock_timeout->count() : LULL_UNKNOWN_NS;
  options.host_margin_bytes = from.host_margin_bytes;
  options.device_margin_bytes = from.device_margin_bytes;
  options.driver_timeout_ns = from.driver_timeout.count();
  return options;
}

// Read when the library is loaded, as those of sleepers below.
const lull_sleeper_suspend_options& default_sleeper_suspend_options() {
  static const lull_sleeper_suspend_options options = read_default_sleeper_suspend_options();
  return options;
}
[[maybe_unused]] const lull_sleeper_suspend_options& suspension_read_at_load =
    default_sleeper_suspend_options();

lull::sleeper_suspend_options convert(const lull_sleeper_suspend_options* options) {
  const auto given = read_versioned(options, default_sleeper_suspend_options(), "options->suspend");
  lull::sleeper_suspend_options result;
  if (given.free_bytes != nullptr) {
    result.free_bytes = [ask = given.free_bytes, user = given.free_bytes_user] {
      lull_free_bytes said;
      lull::capi::expect_callback_ok(ask(user, &said), "free_bytes");
      return std::move(said.value);
    };
  }
  if (given.observer_count != 0) {
    result.observer =
        lull::capi::texts_of(given.observer, given.observer_count, "options->suspend->observer");
  }
  if (given.lock_timeout_ns != LULL_UNKNOWN_NS) {
    result.lock_timeout =
        checked_duration(given.lock_timeout_ns, 1, "options->suspend->lock_timeout_ns");
  }
  result.host_margin_bytes = given.host_margin_bytes;
  result.device_margin_bytes = given.device_margin_bytes;
  result.driver_timeout =
      checked_duration(given.driver_timeout_ns, 1, "options->suspend->driver_timeout_ns");
  return result;
}

lull_sleeper_rebirth_options default_sleeper_rebirth_options() noexcept {
  lull_sleeper_rebirth_options options{};
  options.struct_size = sizeof options;
  return options;
}

lull_sleep_counters counters_for_c(const lull::sleep_counters& from) noexcept {
  return {sizeof(lull_sleep_counters), from.sleeps,       from.wakes,
          from.failed_sleeps,          from.failed_wakes, from.deepenings,
          from.failed_deepenings};
}

lull::sleeper_rebirth_options convert(const lull_sleeper_rebirth_options* options) {
  const auto given = read_versioned(options, default_sleeper_rebirth_options(), "options->rebirth");
  lull::sleeper_rebirth_options result;
  result.how = lull::capi::make_rebirth_options(given.how, "options->rebirth->how");
  if (given.hand_over != nullptr) {
    result.hand_over = [hand_over = given.hand_over,
                        user = given.user](const lull::sleep_counters& then) {
      const lull_sleep_counters counters = counters_for_c(then);
      lull_handover into;
      lull::capi::expect_callback_ok(hand_over(user, &counters, &into), "hand_over");
      return lull::rebirth_handover(std::move(into.value));
    };
  }
  if (given.called_off != nullptr) {
    result.called_off = [called_off = given.called_off, user = given.user] { called_off(user); };
  }
  return result;
}

lull_sleeper_options read_default_sleeper_options() {
  const lull::sleeper_options from;
  lull_sleeper_options options{};
  options.struct_size = sizeof options;
  options.idle_time_ns = from.idle_time ? from.idle_time->count() : LULL_FOREVER;
  options.drain_timeout_ns = from.drain_timeout.count();
  options.watch_idle = from.watch_idle ? 1 : 0;
  lull::capi::set_default_log(options);
  return options;
}

// Read when the library is loaded: a plan takes memory, and an _init function cannot say that there
// is none.
const lull_sleeper_options& default_sleeper_options() {
  static const lull_sleeper_options options = read_default_sleeper_options();
  return options;
}
[[maybe_unused]] const lull_sleeper_options& read_at_load = default_sleeper_options();

std::vector<lull::sleep_rung> convert_ladder(const lull_sleeper_options& given) {
  std::vector<lull::sleep_rung> rungs;
  if (given.ladder_count != 0) required(given.ladder, "options->ladder");
  if (given.ladder_count != 0 && given.plan != nullptr) {
    throw lull::error(
        lull::status::invalid_argument,
        "options->plan and options->ladder are both set; the ladder has its own plans");
  }
  for (std::size_t i = 0; i < given.ladder_count; ++i) {
    const lull_sleep_rung& from = given.ladder[i];
    rungs.push_back({checked_duration(from.after_ns, 0, "options->ladder[].after_ns"),
                     make_plan(required(from.plan, "options->ladder[].plan"))});
  }
  return rungs;
}

lull::sleeper_options convert(const lull_sleeper_options& given) {
  lull::sleeper_options options;
  options.ladder = convert_ladder(given);
  options.idle_time = idle_time(given.idle_time_ns, "options->idle_time_ns");
  if (given.plan != nullptr) options.plan = make_plan(*given.plan);
  options.drain_timeout = checked_duration(given.drain_timeout_ns, 1, "options->drain_timeout_ns");
  options.reset = convert(given.reset);
  options.suspend = convert(given.suspend);
  options.rebirth = convert(given.rebirth);
  options.watch_idle = given.watch_idle != 0;
  if (given.run_on != nullptr) {
    options.run_on = [run_on = given.run_on, user = given.run_on_user](lull::transition_work work) {
      run_on(user, new lull_transition_work{std::move(work)});
    };
  }
  options.log = lull::capi::log_of(given);
  if (given.releases != nullptr) options.releases = given.releases->value.get();
  if (given.on_transition != nullptr) {
    options.on_transition = [callback = given.on_transition, user = given.on_transition_user](
                                const lull::transition_report& report) {
      const auto handle = lull::capi::make_transition_report();
      fill_in(*handle, report);
      callback(user, handle.get());
    };
  }
  return options;
}

}  // namespace

void lull_sleeper_reset_options_init(lull_sleeper_reset_options* options) {
  if (options != nullptr) *options = default_sleeper_reset_options();
}

void lull_sleeper_suspend_options_init(lull_sleeper_suspend_options* options) {
  if (options != nullptr) *options = default_sleeper_suspend_options();
}

void lull_sleeper_rebirth_options_init(lull_sleeper_rebirth_options* options) {
  if (options != nullptr) *options = default_sleeper_rebirth_options();
}

lull_status lull_free_bytes_add(lull_free_bytes* into, const char* device, uint64_t bytes) {
  return guard([&] {
    auto& to = required(into, "into").value;
    to[&required(device, "device")] = bytes;
  });
}

lull_status lull_sleeper_begin_asleep(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                                      const lull_sleep_counters* counters) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    const auto asleep_by = make_plan(required(plan, "plan"));
    const auto from = read_versioned(counters, counters_for_c({}), "counters");
    of.begin_asleep(asleep_by, {from.sleeps, from.wakes, from.failed_sleeps, from.failed_wakes,
                                from.deepenings, from.failed_deepenings});
  });
}

void lull_sleeper_options_init(lull_sleeper_options* options) {
  if (options != nullptr) *options = default_sleeper_options();
}

lull_status lull_sleeper_create(const lull_sleeper_options* options, lull_sleeper** sleeper) {
  return guard([&] {
    const auto given = read_versioned(options, default_sleeper_options(), "options");
    auto& result = required(sleeper, "sleeper");
    result = new lull_sleeper{given.releases != nullptr ? given.releases->value : nullptr,
                              lull::sleeper(convert(given))};
  });
}

void lull_sleeper_destroy(lull_sleeper* sleeper) {
  delete sleeper;
}

lull_status lull_sleeper_manage_memory(lull_sleeper* sleeper, lull_memory* memory) {
  return guard([&] {
    lull::sleeper& by = required(sleeper, "sleeper").value;
    by.manage(required(memory, "memory").value);
  });
}

void lull_transition_work_run(lull_transition_work* work) {
  if (work != nullptr) work->value();
}

void lull_transition_work_destroy(lull_transition_work* work) {
  delete work;
}

lull_status lull_sleeper_observe(const lull_sleeper* sleeper, lull_sleeper_snapshot* snapshot) {
  return guard([&] {
    const lull::sleeper& of = required(sleeper, "sleeper").value;
    lull::capi::expect_versioned(snapshot, "snapshot");
    const lull::sleeper_snapshot seen = of.observe();
    lull_sleeper_snapshot value{};
    value.state = static_cast<lull_sleep_state>(seen.state);
    value.leases = seen.leases;
    value.waiting = seen.waiting;
    value.in_state_ns = seen.in_state.count();
    value.idle_ns = seen.idle.count();
    value.done_bytes = seen.done_bytes;
    value.total_bytes = seen.total_bytes;
    value.sleeps = seen.counters.sleeps;
    value.wakes = seen.counters.wakes;
    value.failed_sleeps = seen.counters.failed_sleeps;
    value.failed_wakes = seen.counters.failed_wakes;
    value.deepening = seen.deepening ? 1 : 0;
    value.deepenings = seen.counters.deepenings;
    value.failed_deepenings = seen.counters.failed_deepenings;
    lull::capi::set_text(value.plan, seen.plan);
    write_versioned(snapshot, value, "snapshot");
  });
}

lull_status lull_sleeper_sleep(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                               lull_report** report) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    std::optional<lull::sleep_plan> given;
    if (plan != nullptr) given = make_plan(*plan);
    auto result = lull::capi::make_transition_report();
    fill_in(*result, of.sleep(given));
    if (report != nullptr) *report = result.release();
  });
}

lull_status lull_sleeper_deepen(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                                lull_report** report) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    std::optional<lull::sleep_plan> given;
    if (plan != nullptr) given = make_plan(*plan);
    auto result = lull::capi::make_transition_report();
    fill_in(*result, of.deepen(given));
    if (report != nullptr) *report = result.release();
  });
}

lull_status lull_sleeper_wake(lull_sleeper* sleeper, int64_t timeout_ns,
                              const lull_cancel* cancel) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    of.wake(deadline_in(timeout_ns), token_of(cancel));
  });
}

lull_status lull_sleeper_swap(lull_sleeper* leaving, lull_sleeper* coming,
                              const lull_sleep_plan* plan, int64_t timeout_ns,
                              const lull_cancel* cancel, lull_report** slept_report,
                              lull_report** woke_report) {
  return guard([&] {
    lull::sleeper& out = required(leaving, "leaving").value;
    lull::sleeper& in = required(coming, "coming").value;
    std::optional<lull::sleep_plan> given;
    if (plan != nullptr) given = make_plan(*plan);
    const auto deadline = deadline_in(timeout_ns);
    auto slept = lull::capi::make_transition_report();
    auto woke = lull::capi::make_transition_report();
    lull::swap_report done = lull::swap(out, in, given, deadline, token_of(cancel));
    fill_in(*slept, std::move(done.slept));
    fill_in(*woke, std::move(done.woke));
    if (slept_report != nullptr) *slept_report = slept.release();
    if (woke_report != nullptr) *woke_report = woke.release();
  });
}

lull_status lull_sleeper_poll(lull_sleeper* sleeper, int32_t* started) {
  return guard([&] {
    const bool due = required(sleeper, "sleeper").value.poll(lull::steady_clock().now());
    if (started != nullptr) *started = due ? 1 : 0;
  });
}

lull_status lull_sleeper_next_deadline(const lull_sleeper* sleeper, int64_t* in_ns) {
  return guard([&] {
    const lull::sleeper& of = required(sleeper, "sleeper").value;
    auto& result = required(in_ns, "in_ns");
    result = lull::capi::nanoseconds_until(of.next_deadline());
  });
}

lull_status lull_sleeper_set_idle_time(lull_sleeper* sleeper, int64_t idle_time_ns) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    of.set_idle_time(idle_time(idle_time_ns, "idle_time_ns"));
  });
}

lull_status lull_sleeper_last_report(const lull_sleeper* sleeper, lull_report** report) {
  return guard([&] {
    const lull::sleeper& of = required(sleeper, "sleeper").value;
    auto& result = required(report, "report");
    auto last = of.observe().last;
    if (!last) throw lull::error(lull::status::not_found, "there was no transition yet");
    auto made = lull::capi::make_transition_report();
    fill_in(*made, std::move(*last));
    result = made.release();
  });
}
