#include "capi/budget.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "capi/owned_user.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

using lull::bytes_by_device;
using lull::capi::checked_duration;
using lull::capi::deadline_in;
using lull::capi::expect_callback_ok;
using lull::capi::figure_from;
using lull::capi::guard;
using lull::capi::list_of;
using lull::capi::or_unknown;
using lull::capi::owned_user;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::text_or_empty;
using lull::detail::fail;

struct lull_budget_ticket {
  lull::budget_ticket value;
};
struct lull_budget_call {
  std::vector<lull::budget_reading>* readings = nullptr;
  std::optional<lull::error> failure = std::nullopt;
};
struct lull_budget_work {
  std::function<void()> job;  ///< empty when it was run
};

namespace {

/// The functions of a C program.
class c_callbacks {
 public:
  c_callbacks(const lull_budget_options& from, owned_user&& user)
      : user_(std::move(user)),
        evict_(&required(from.evict, "options->evict")),
        settle_(from.settle),
        probe_(from.probe),
        run_on_(from.run_on) {}

  void evict(const lull::budget_eviction& what) const {
    const std::vector<lull_device_bytes> gain = list_of(what.gain);
    const lull_budget_eviction given = lull::capi::eviction_for_c(what, gain);
    lull_budget_call call;
    expect_ok(evict_(user_.get(), &given, &call), call, "evict");
  }
  void settle(const std::vector<lull::settle_expectation>& expected) const {
    std::vector<lull_settle_expectation> given;
    for (const lull::settle_expectation& each : expected) {
      given.push_back({each.device.c_str(), each.gain_bytes != 0 ? each.gain_bytes : LULL_UNKNOWN,
                       or_unknown(each.baseline_free_bytes)});
    }
    lull_budget_call call;
    expect_ok(settle_(user_.get(), given.data(), given.size(), &call), call, "settle");
  }
  [[nodiscard]] std::vector<lull::budget_reading> probe() const {
    std::vector<lull::budget_reading> readings;
    lull_budget_call call{&readings};
    expect_ok(probe_(user_.get(), &call), call, "probe");
    return readings;
  }
  void run_on(std::function<void()> job) const {
    run_on_(user_.get(), new lull_budget_work{std::move(job)});
  }

 private:
  static void expect_ok(lull_status code, const lull_budget_call& call, const char* name) {
    if (code != LULL_OK && call.failure) throw lull::error(*call.failure);
    expect_callback_ok(code, name);
  }

  const owned_user user_;
  const lull_budget_evict_fn evict_;
  const lull_budget_settle_fn settle_;
  const lull_budget_probe_fn probe_;
  const lull_budget_run_fn run_on_;
};

bytes_by_device bytes_of(const lull_device_bytes* list, std::size_t count, const char* name) {
  bytes_by_device all;
  if (count != 0) required(list, name);
  for (std::size_t i = 0; i < count; ++i) {
    if (list[i].device == nullptr)
      fail(lull::status::invalid_argument, "{}[{}].device is null", name, i);
    all[list[i].device] = list[i].bytes;
  }
  return all;
}

lull_budget_model default_model() {
  // Without the list of levels, which would take memory.
  const lull::budget_model from{.name = {}, .need = {}, .levels = {}};
  lull_budget_model model{};
  model.struct_size = sizeof model;
  model.name = "";
  model.priority = from.priority;
  model.pinned = from.pinned ? 1 : 0;
  model.min_residence_ns = from.min_residence.count();
  model.wake_time_ns = from.wake_time.count();
  return model;
}

lull::budget_model convert(const lull_budget_model* given_model) {
  const auto given = read_versioned(&required(given_model, "model"), default_model(), "model");
  lull::budget_model model;
  model.name = &required(given.name, "model->name");
  model.need = bytes_of(given.need, given.need_count, "model->need");
  if (given.level_count != 0) {
    required(given.levels, "model->levels");
    model.levels.clear();
  }
  for (std::size_t i = 0; i < given.level_count; ++i) {
    const lull_budget_level& level = given.levels[i];
    if (level.name == nullptr) {
      fail(lull::status::invalid_argument, "model->levels[{}].name is null", i);
    }
    model.levels.push_back({level.name, bytes_of(level.left, level.left_count, "a level's left")});
  }
  model.priority = given.priority;
  model.pinned = given.pinned != 0;
  model.min_residence = checked_duration(given.min_residence_ns, 0, "model->min_residence_ns");
  model.wake_time = checked_duration(given.wake_time_ns, 0, "model->wake_time_ns");
  return model;
}

lull_budget_options default_options() {
  const lull::budget_options from;
  lull_budget_options options{};
  options.struct_size = sizeof options;
  options.max_wait_ns = from.max_wait.count();
  options.max_overtakes = from.max_overtakes;
  options.patience_ns = from.patience.count();
  options.retry_after_ns = from.retry_after.count();
  options.look_every_ns = from.look_every.count();
  lull::capi::set_default_log(options);
  return options;
}

std::vector<lull::budget_device> devices_of(const lull_budget_options& given) {
  std::vector<lull::budget_device> devices;
  if (given.device_count != 0) required(given.devices, "options->devices");
  for (std::size_t i = 0; i < given.device_count; ++i) {
    const lull_budget_device& from = given.devices[i];
    lull::budget_device device;
    if (from.name == nullptr) {
      fail(lull::status::invalid_argument, "options->devices[{}].name is null", i);
    }
    device.name = from.name;
    device.capacity_bytes = from.capacity_bytes;
    device.margin_bytes = figure_from(from.margin_bytes).value_or(device.margin_bytes);
    device.margin_share = from.margin_share;
    devices.push_back(std::move(device));
  }
  return devices;
}

lull::budget_options convert(const lull_budget_options& given, owned_user&& user) {
  const auto functions = std::make_shared<const c_callbacks>(given, std::move(user));
  lull::budget_options options;
  options.devices = devices_of(given);
  options.evict = [functions](const auto& what) { functions->evict(what); };
  if (given.settle != nullptr) {
    options.settle = [functions](const auto& expected) { functions->settle(expected); };
  }
  if (given.probe != nullptr) options.probe = [functions] { return functions->probe(); };
  if (given.run_on != nullptr) {
    options.run_on = [functions](std::function<void()> job) { functions->run_on(std::move(job)); };
  }
  options.max_wait = checked_duration(given.max_wait_ns, 1, "options->max_wait_ns");
  options.max_overtakes = given.max_overtakes;
  options.patience = checked_duration(given.patience_ns, 1, "options->patience_ns");
  options.retry_after = checked_duration(given.retry_after_ns, 1, "options->retry_after_ns");
  options.look_every = checked_duration(given.look_every_ns, 1, "options->look_every_ns");
  options.estimates_file = text_or_empty(given.estimates_file);
  options.log = lull::capi::log_of(given);
  return options;
}

/// Runs `work` with the budget.
template <class Work>
lull_status with(lull_budget* budget, const Work& work) {
  return guard([&] { work(required(budget, "budget").value); });
}

}  // namespace

std::vector<lull_device_bytes> lull::capi::list_of(const bytes_by_device& from) {
  std::vector<lull_device_bytes> list;
  list.reserve(from.size());
  for (const auto& [device, bytes] : from) list.push_back({device.c_str(), bytes});
  return list;
}

lull_budget_eviction lull::capi::eviction_for_c(const budget_eviction& from,
                                                const std::vector<lull_device_bytes>& gain) {
  return {sizeof(lull_budget_eviction),
          from.model.c_str(),
          from.level.c_str(),
          from.depth,
          gain.data(),
          gain.size(),
          from.why.c_str()};
}

void lull_budget_model_init(lull_budget_model* model) {
  if (model != nullptr) *model = default_model();
}

void lull_budget_options_init(lull_budget_options* options) {
  if (options != nullptr) *options = default_options();
}

lull_status lull_budget_call_fail(lull_budget_call* call, lull_status status, const char* why) {
  const lull_status result = lull::capi::failure_or_callback(status);
  const lull_status code = guard([&] {
    auto& failure = required(call, "call").failure;
    failure = lull::capi::callback_failure(result, why);
  });
  return code == LULL_ERROR_INVALID_ARGUMENT ? code : result;
}

lull_status lull_budget_call_add_reading(lull_budget_call* call, const char* device,
                                         uint64_t used_bytes) {
  return guard([&] {
    lull_budget_call& of = required(call, "call");
    required(device, "device");
    if (of.readings == nullptr) {
      throw lull::error(lull::status::invalid_argument, "only a probe says what devices answer");
    }
    of.readings->push_back({device, used_bytes});
  });
}

void lull_budget_work_run(lull_budget_work* work) {
  if (work == nullptr) return;
  if (const auto job = std::exchange(work->job, {})) job();
}

void lull_budget_work_destroy(lull_budget_work* work) {
  lull_budget_work_run(work);
  delete work;
}

lull_status lull_budget_create(const lull_budget_options* options, lull_budget** budget) {
  return guard([&] {
    const auto given = read_versioned(&required(options, "options"), default_options(), "options");
    owned_user user(given.user, given.release);
    auto& result = required(budget, "budget");
    result = new lull_budget{lull::budget(convert(given, std::move(user)))};
  });
}

void lull_budget_destroy(lull_budget* budget) {
  delete budget;
}

lull_status lull_budget_add(lull_budget* budget, const lull_budget_model* model) {
  return with(budget, [&](lull::budget& of) { of.add(convert(model)); });
}

lull_status lull_budget_change(lull_budget* budget, const lull_budget_model* model) {
  return with(budget, [&](lull::budget& of) { of.change(convert(model)); });
}

lull_status lull_budget_remove(lull_budget* budget, const char* model) {
  return with(budget, [&](lull::budget& of) { of.remove(&required(model, "model")); });
}

lull_status lull_budget_put_away(lull_budget* budget, const char* model, size_t depth,
                                 int32_t* begun) {
  return with(budget, [&](lull::budget& of) {
    const bool has = of.put_away(&required(model, "model"), depth);
    if (begun != nullptr) *begun = has ? 1 : 0;
  });
}

lull_status lull_budget_lost(lull_budget* budget, const char* model, int32_t* begun) {
  return with(budget, [&](lull::budget& of) {
    const bool has = of.lost(&required(model, "model"));
    if (begun != nullptr) *begun = has ? 1 : 0;
  });
}

lull_status lull_budget_withdraw(lull_budget* budget, const char* model) {
  return with(budget, [&](lull::budget& of) { of.withdraw(&required(model, "model")); });
}

lull_status lull_budget_correct(lull_budget* budget, const char* model,
                                const lull_device_bytes* holds, size_t hold_count) {
  return with(budget, [&](lull::budget& of) {
    required(model, "model");
    of.correct(model, bytes_of(&required(holds, "holds"), hold_count, "holds"));
  });
}

lull_status lull_budget_admit(lull_budget* budget, const char* model, int64_t timeout_ns,
                              const lull_cancel* cancel, lull_budget_ticket** ticket) {
  return with(budget, [&](lull::budget& of) {
    required(model, "model");
    auto& result = required(ticket, "ticket");
    auto made = std::make_unique<lull_budget_ticket>();
    made->value = of.admit(model, deadline_in(timeout_ns), lull::capi::token_of(cancel));
    result = made.release();
  });
}

lull_status lull_budget_admit_async(lull_budget* budget, const char* model, int64_t timeout_ns,
                                    const lull_cancel* cancel, lull_budget_admitted_fn done,
                                    void* user) {
  return with(budget, [&](lull::budget& of) {
    required(model, "model");
    required(done, "done");
    // Made beforehand: whoever is admitted is told so, memory or not.
    const auto made = std::make_shared<std::unique_ptr<lull_budget_ticket>>(
        std::make_unique<lull_budget_ticket>());
    const auto tell = [made, done, user](lull::budget::admission result) {
      if (result.failure) return done(user, lull::capi::remember(*result.failure), nullptr);
      (*made)->value = std::move(result.ticket);
      done(user, LULL_OK, made->release());
    };
    of.admit_async(model, deadline_in(timeout_ns), tell, lull::capi::token_of(cancel));
  });
}

int32_t lull_budget_ticket_must_load(const lull_budget_ticket* ticket) {
  return ticket != nullptr && ticket->value.must_load() ? 1 : 0;
}

const char* lull_budget_ticket_model(const lull_budget_ticket* ticket) {
  return ticket != nullptr ? ticket->value.model().c_str() : "";
}

lull_status lull_budget_ticket_granted(const lull_budget_ticket* ticket, const char* device,
                                       uint64_t* bytes) {
  return guard([&] {
    const bytes_by_device& granted = required(ticket, "ticket").value.granted();
    const auto found = granted.find(&required(device, "device"));
    required(bytes, "bytes") = found != granted.end() ? found->second : 0;
  });
}

lull_status lull_budget_ticket_confirm(lull_budget_ticket* ticket, const lull_device_bytes* holds,
                                       size_t hold_count) {
  return guard([&] {
    lull::budget_ticket& of = required(ticket, "ticket").value;
    std::optional<bytes_by_device> known;
    if (holds != nullptr || hold_count != 0) known = bytes_of(holds, hold_count, "holds");
    of.confirm(known);
  });
}

void lull_budget_ticket_destroy(lull_budget_ticket* ticket) {
  delete ticket;
}

lull_status lull_budget_tick(lull_budget* budget) {
  return with(budget, [](lull::budget& of) { of.tick(); });
}

lull_status lull_budget_next_tick(const lull_budget* budget, int64_t* in_ns) {
  return guard([&] {
    const lull::budget& of = required(budget, "budget").value;
    required(in_ns, "in_ns") = lull::capi::nanoseconds_until(of.next_tick());
  });
}

lull_status lull_budget_refresh(lull_budget* budget) {
  return with(budget, [](lull::budget& of) { of.refresh(); });
}
