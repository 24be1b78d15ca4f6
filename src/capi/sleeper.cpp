#include "capi/sleeper.hpp"

#include <lull/c/swap.h>

#include <algorithm>
#include <utility>

#include "capi/device.hpp"
#include "capi/memory.hpp"
#include "capi/report.hpp"
#include "capi/settle.hpp"

namespace lull::detail {

/// A lease that C holds is a C++ lease taken apart and put together again.
struct lease_access {
  static void let_go(sleeper::lease&& from) noexcept { from.owner_ = nullptr; }
  static sleeper::lease adopt(sleeper& owner) noexcept { return sleeper::lease(owner); }
};

}  // namespace lull::detail

using lull::capi::checked_duration;
using lull::capi::deadline_in;
using lull::capi::enum_from;
using lull::capi::expect_callback_ok;
using lull::capi::fill_in;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::token_of;
using lull::capi::write_versioned;
using lull::detail::lease_access;

namespace {

std::optional<lull::duration> idle_time(std::int64_t ns, const char* name) {
  if (ns == LULL_FOREVER) return std::nullopt;
  return checked_duration(ns, 1, name);
}

lull_sleep_plan default_sleep_plan() {
  const lull::sleep_plan from;
  lull_sleep_plan plan{};
  plan.struct_size = sizeof plan;
  plan.contents.otherwise = static_cast<lull_contents_action>(from.contents.otherwise);
  plan.context = static_cast<lull_context_action>(from.context);
  plan.backing = static_cast<lull_backing_kind>(from.backing.type());
  return plan;
}

lull::sleep_plan make_plan(const lull_sleep_plan& from) {
  const auto given = read_versioned(&from, default_sleep_plan(), "plan");
  lull::sleep_plan plan;
  plan.name = lull::capi::text_or_empty(given.name);
  plan.contents = lull::capi::make_eviction_plan(given.contents, "plan->contents.");
  plan.context = enum_from<lull::context_action>(given.context, "plan->context");
  plan.backing = lull::capi::make_backing(given.backing, given.backing_path, "plan->");
  return plan;
}

class c_participant final : public lull::participant {
 public:
  explicit c_participant(const lull_participant& from)
      : name_(&required(from.name, "participant->name")),
        sleep_(&required(from.sleep, "participant->sleep")),
        wake_(&required(from.wake, "participant->wake")),
        user_(from.user) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  void sleep(const lull::sleep_plan&, lull::transition&) override {
    expect_callback_ok(sleep_(user_), "sleep");
  }
  void wake(const lull::sleep_plan&, lull::transition&) override {
    expect_callback_ok(wake_(user_), "wake");
  }

 private:
  std::string name_;
  lull_status (*sleep_)(void*);
  lull_status (*wake_)(void*);
  void* user_;
};

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

lull::sleeper_options convert(const lull_sleeper_options& given) {
  lull::sleeper_options options;
  options.idle_time = idle_time(given.idle_time_ns, "options->idle_time_ns");
  if (given.plan != nullptr) options.plan = make_plan(*given.plan);
  options.drain_timeout = checked_duration(given.drain_timeout_ns, 1, "options->drain_timeout_ns");
  options.watch_idle = given.watch_idle != 0;
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

lull_status lull_sleep_plan_init(lull_sleep_plan* plan, lull_sleep_level level) {
  return guard([&] {
    auto& result = required(plan, "plan");
    const auto which = enum_from<lull::sleep_level>(level, "level");
    const lull::sleep_plan from = lull::plan_for(which);
    result = default_sleep_plan();
    result.name = to_string(which).data();
    result.contents.otherwise = static_cast<lull_contents_action>(from.contents.otherwise);
    result.context = static_cast<lull_context_action>(from.context);
  });
}

lull_status lull_sleep_level_supported(lull_sleep_level level, lull_device* const* devices,
                                       size_t device_count, int32_t* supported) {
  return guard([&] {
    const auto which = enum_from<lull::sleep_level>(level, "level");
    const auto all = lull::capi::devices_of(devices, device_count);
    auto& result = required(supported, "supported");
    const auto levels = all.empty() ? lull::supported_levels() : lull::supported_levels(all);
    result = std::find(levels.begin(), levels.end(), which) != levels.end() ? 1 : 0;
  });
}

void lull_sleeper_options_init(lull_sleeper_options* options) {
  if (options != nullptr) *options = default_sleeper_options();
}

void lull_participant_init(lull_participant* participant) {
  if (participant != nullptr) *participant = {sizeof *participant, "", nullptr, nullptr, nullptr};
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

lull_status lull_sleeper_add(lull_sleeper* sleeper, const lull_participant* participant) {
  return guard([&] {
    lull::sleeper& to = required(sleeper, "sleeper").value;
    lull_participant defaults{};
    lull_participant_init(&defaults);
    const auto given =
        read_versioned(&required(participant, "participant"), defaults, "participant");
    to.add(std::make_shared<c_participant>(given));
  });
}

lull_status lull_sleeper_manage_memory(lull_sleeper* sleeper, lull_memory* memory) {
  return guard([&] {
    lull::sleeper& by = required(sleeper, "sleeper").value;
    by.manage(required(memory, "memory").value);
  });
}

lull_status lull_sleeper_acquire(lull_sleeper* sleeper, int64_t timeout_ns,
                                 const lull_cancel* cancel, lull_lease* lease) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    auto& result = required(lease, "lease");
    lease_access::let_go(of.acquire(deadline_in(timeout_ns), token_of(cancel)));
    result.sleeper = sleeper;
  });
}

lull_status lull_sleeper_try_acquire(lull_sleeper* sleeper, lull_lease* lease) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    auto& result = required(lease, "lease");
    auto taken = of.try_acquire();
    if (!taken) throw lull::error(lull::status::busy, "not awake");
    lease_access::let_go(std::move(*taken));
    result.sleeper = sleeper;
  });
}

void lull_lease_release(lull_lease* lease) {
  if (lease == nullptr || lease->sleeper == nullptr) return;
  lease_access::adopt(std::exchange(lease->sleeper, nullptr)->value).release();
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
