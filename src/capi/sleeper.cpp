#include <lull/sleeper.hpp>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

static_assert(LULL_LEVEL_REBIRTH == static_cast<int>(lull::sleep_level::rebirth));
static_assert(LULL_CONTEXT_REBIRTH == static_cast<int>(lull::context_action::rebirth));
static_assert(LULL_WAKING == static_cast<int>(lull::sleep_state::waking));

namespace lull::detail {

/// A lease that C holds is a C++ lease taken apart and put together again.
struct lease_access {
  static void let_go(sleeper::lease&& from) noexcept { from.owner_ = nullptr; }
  static sleeper::lease adopt(sleeper& owner) noexcept { return sleeper::lease(owner); }
};

}  // namespace lull::detail

using lull::capi::deadline_after;
using lull::capi::guard;
using lull::capi::nothing;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::token_of;
using lull::capi::write_versioned;
using lull::detail::fail;
using lull::detail::lease_access;

namespace {

lull::duration checked_ms(std::int64_t ms, const char* name) {
  return lull::capi::checked_milliseconds(ms, 1, name);
}

std::optional<lull::duration> idle_time(std::int64_t ms) {
  if (ms == nothing) return std::nullopt;
  return checked_ms(ms, "idle_time_ms");
}

lull::sleep_plan make_plan(const lull_sleep_plan& from) {
  const auto given = read_versioned(&from, lull_sleep_plan{}, "plan");
  const std::int32_t context = lull::detail::raw(given.context);
  if (context < LULL_CONTEXT_KEEP || context > LULL_CONTEXT_REBIRTH) {
    fail(lull::status::invalid_argument, "there is no context action {}", context);
  }
  lull::sleep_plan plan;
  plan.name = lull::capi::text_or_empty(given.name);
  plan.contents = lull::capi::make_eviction_plan(given.contents);
  plan.context = static_cast<lull::context_action>(context);
  plan.backing = lull::capi::make_backing(given.backing, given.backing_path);
  return plan;
}

class c_participant final : public lull::participant {
 public:
  explicit c_participant(const lull_participant& from)
      : name_(&required(from.name, "who->name")),
        sleep_(&required(from.sleep, "who->sleep")),
        wake_(&required(from.wake, "who->wake")),
        user_(from.user) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  void sleep(const lull::sleep_plan&, lull::transition&) override {
    lull::capi::expect_callback_ok(sleep_(user_), "sleep");
  }
  void wake(const lull::sleep_plan&, lull::transition&) override { lull::capi::expect_callback_ok(wake_(user_), "wake"); }

 private:
  std::string name_;
  lull_status (*sleep_)(void*);
  lull_status (*wake_)(void*);
  void* user_;
};

lull::sleeper_options convert(const lull_sleeper_options& given) {
  lull::sleeper_options options;
  options.idle_time = idle_time(given.idle_time_ms);
  if (given.plan != nullptr) options.plan = make_plan(*given.plan);
  options.drain_timeout = checked_ms(given.drain_timeout_ms, "drain_timeout_ms");
  options.watch_idle = given.watch_idle != 0;
  options.log = lull::capi::make_log_sink(given.log, given.log_user, given.log_threshold);
  if (given.releases != nullptr) options.releases = given.releases->value.get();
  if (given.on_transition != nullptr) {
    options.on_transition = [callback = given.on_transition, user = given.on_transition_user](
                                const lull::transition_report& report) {
      const lull_report handle = lull::capi::make_report(report);
      callback(user, &handle);
    };
  }
  return options;
}

}  // namespace

lull_status lull_sleep_plan_init(lull_sleep_plan* plan, lull_sleep_level level) {
  return guard([&] {
    auto& result = required(plan, "plan");
    const std::int32_t number = lull::detail::raw(level);
    if (number < LULL_LEVEL_TRIM || number > LULL_LEVEL_REBIRTH) {
      fail(lull::status::invalid_argument, "there is no sleep level {}", number);
    }
    const auto which = static_cast<lull::sleep_level>(number);
    const lull::sleep_plan from = lull::plan_for(which);
    result = {};
    result.struct_size = sizeof result;
    result.name = to_string(which).data();
    result.contents.struct_size = sizeof result.contents;
    result.contents.otherwise = static_cast<lull_contents_action>(from.contents.otherwise);
    result.context = static_cast<lull_context_action>(from.context);
  });
}

int32_t lull_sleep_level_supported(lull_sleep_level level) {
  int32_t supported = 0;
  guard([&] {
    for (const lull::sleep_level each : lull::supported_levels()) {
      if (static_cast<std::int32_t>(each) == lull::detail::raw(level)) supported = 1;
    }
  });
  return supported;
}

void lull_sleeper_options_init(lull_sleeper_options* options) {
  if (options == nullptr) return;
  *options = {sizeof *options, nothing,       nullptr, 10000,   0,      nullptr,
              nullptr,         LULL_LOG_INFO, nullptr, nullptr, nullptr};
}

lull_status lull_sleeper_create(const lull_sleeper_options* options, lull_sleeper** sleeper) {
  return guard([&] {
    auto& result = required(sleeper, "sleeper");
    lull_sleeper_options defaults{};
    lull_sleeper_options_init(&defaults);
    const auto given = read_versioned(options, defaults, "options");
    result =
        new lull_sleeper{lull::capi::shared_clock(given.releases), lull::sleeper(convert(given))};
  });
}

void lull_sleeper_destroy(lull_sleeper* sleeper) {
  delete sleeper;
}

lull_status lull_sleeper_add(lull_sleeper* sleeper, const lull_participant* who) {
  return guard([&] {
    auto& to = required(sleeper, "sleeper").value;
    const auto given = read_versioned(&required(who, "who"), lull_participant{}, "who");
    to.add(std::make_shared<c_participant>(given));
  });
}

lull_status lull_sleeper_manage(lull_sleeper* sleeper, lull_memory* memory) {
  return guard(
      [&] { required(sleeper, "sleeper").value.manage(required(memory, "memory").value); });
}

lull_status lull_sleeper_acquire(lull_sleeper* sleeper, int64_t timeout_ms,
                                 const lull_cancel* cancel, lull_lease* lease) {
  return guard([&] {
    auto& result = required(lease, "lease");
    lease_access::let_go(
        required(sleeper, "sleeper").value.acquire(deadline_after(timeout_ms), token_of(cancel)));
    result.sleeper = sleeper;
  });
}

lull_status lull_sleeper_try_acquire(lull_sleeper* sleeper, lull_lease* lease) {
  return guard([&] {
    auto& result = required(lease, "lease");
    auto taken = required(sleeper, "sleeper").value.try_acquire();
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
    required(snapshot, "snapshot");
    const lull::sleeper_snapshot seen = required(sleeper, "sleeper").value.observe();
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
    auto& from = required(sleeper, "sleeper").value;
    std::optional<lull::sleep_plan> given;
    if (plan != nullptr) given = make_plan(*plan);
    auto result = std::make_unique<lull_report>(lull::capi::make_report(from.sleep(given)));
    if (report != nullptr) *report = result.release();
  });
}

lull_status lull_sleeper_wake(lull_sleeper* sleeper, int64_t timeout_ms,
                              const lull_cancel* cancel) {
  return guard([&] {
    required(sleeper, "sleeper").value.wake(deadline_after(timeout_ms), token_of(cancel));
  });
}

lull_status lull_sleeper_poll(lull_sleeper* sleeper, int32_t* started) {
  return guard([&] {
    const bool due = required(sleeper, "sleeper").value.poll(lull::steady_clock().now());
    if (started != nullptr) *started = due ? 1 : 0;
  });
}

lull_status lull_sleeper_next_deadline(const lull_sleeper* sleeper, int64_t* in_ms) {
  return guard([&] {
    auto& result = required(in_ms, "in_ms");
    result = lull::capi::milliseconds_until(required(sleeper, "sleeper").value.next_deadline());
  });
}

lull_status lull_sleeper_set_idle_time(lull_sleeper* sleeper, int64_t idle_time_ms) {
  return guard([&] { required(sleeper, "sleeper").value.set_idle_time(idle_time(idle_time_ms)); });
}

lull_status lull_sleeper_last_report(const lull_sleeper* sleeper, lull_report** report) {
  return guard([&] {
    auto& result = required(report, "report");
    const auto last = required(sleeper, "sleeper").value.observe().last;
    if (!last) throw lull::error(lull::status::not_found, "there was no transition yet");
    result = new lull_report(lull::capi::make_report(*last));
  });
}
