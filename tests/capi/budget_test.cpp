// A budget from C: lull/c/budget.h.

#include <lull/bytes.hpp>
#include <lull/lull.h>

#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/scratch_folder.hpp"

namespace {

using namespace lull::literals;
using testing::ElementsAre;
using testing::HasSubstr;

/// Room for two of three models, of which the first can also sleep.
class CBudget : public testing::Test {
 protected:
  void make() {
    lull_budget_options_init(&options_);
    options_.devices = &gpu_;
    options_.device_count = 1;
    options_.user = this;
    options_.evict = [](void* user, const lull_budget_eviction* what, lull_budget_call* call) {
      return static_cast<CBudget*>(user)->evict(*what, call);
    };
    options_.release = [](void* user) { ++static_cast<CBudget*>(user)->released_; };
    if (runs_here_) {
      options_.run_on = [](void*, lull_budget_work* work) {
        lull_budget_work_run(work);
        lull_budget_work_destroy(work);
      };
    }
    if (probes_) {
      options_.probe = [](void* user, lull_budget_call* call) {
        auto& self = *static_cast<CBudget*>(user);
        if (self.probe_fails_) return lull_budget_call_fail(call, LULL_ERROR_IO, "no telemetry");
        return lull_budget_call_add_reading(call, "GPU0", self.used_);
      };
    }
    options_.log = [](void* user, lull_log_level, const char* line) {
      static_cast<CBudget*>(user)->lines_.emplace_back(line);
    };
    options_.log_user = this;
    ok(lull_budget_create(&options_, &budget_));
    for (const char* const name : {"a", "b", "c"}) ok(add(name, 4_GiB));
  }
  ~CBudget() override {
    if (budget_ == nullptr) return;
    lull_budget_destroy(budget_);
    EXPECT_EQ(released_, 1);
  }

  lull_status add(const char* name, std::uint64_t bytes) const {
    const lull_device_bytes need{"GPU0", bytes};
    const lull_device_bytes left{"GPU0", 1_GiB};
    const lull_budget_level levels[] = {{"sleep", &left, 1}, {"unload", nullptr, 0}};
    lull_budget_model model;
    lull_budget_model_init(&model);
    model.name = name;
    model.need = &need;
    model.need_count = 1;
    if (std::string(name) == "a") {
      model.levels = levels;
      model.level_count = 2;
    }
    return lull_budget_add(budget_, &model);
  }

  lull_status evict(const lull_budget_eviction& what, lull_budget_call* call) {
    if (fails_ != nullptr) return lull_budget_call_fail(call, LULL_ERROR_IO, fails_);
    EXPECT_EQ(what.struct_size, sizeof what);
    log_.push_back(std::string(what.model) + " " + what.level);
    why_ = what.why;
    for (std::size_t i = 0; i < what.gain_count; ++i) used_ -= std::min(used_, what.gain[i].bytes);
    return LULL_OK;
  }

  lull_budget_ticket* admit(const char* model, std::int64_t timeout_ns = LULL_FOREVER) {
    lull_budget_ticket* ticket = nullptr;
    ok(lull_budget_admit(budget_, model, timeout_ns, nullptr, &ticket));
    return ticket;
  }
  void load(const char* model) {
    lull_budget_ticket* const ticket = admit(model);
    ok(lull_budget_ticket_confirm(ticket, nullptr, 0));
    lull_budget_ticket_destroy(ticket);
  }
  lull_budget_model_info look(std::size_t index) {
    lull_budget_view_destroy(std::exchange(view_, nullptr));
    ok(lull_budget_observe(budget_, &view_));
    lull_budget_model_info info;
    info.struct_size = sizeof info;
    ok(lull_budget_view_model(view_, index, &info));
    return info;
  }
  void TearDown() override { lull_budget_view_destroy(view_); }

  static void ok(lull_status code) { ASSERT_EQ(code, LULL_OK) << lull_last_error_message(); }
  static void expect(lull_status is, lull_status should, const char* words) {
    EXPECT_EQ(is, should) << lull_last_error_message();
    EXPECT_THAT(lull_last_error_message(), HasSubstr(words));
  }

  // For the functions that the budget calls too.
 public:
  const lull_budget_device gpu_{"GPU0", 10_GiB, LULL_UNKNOWN, 0};
  bool runs_here_ = true;
  bool probes_ = false;
  bool probe_fails_ = false;
  const char* fails_ = nullptr;
  std::uint64_t used_ = 0;
  int released_ = 0;
  std::vector<std::string> log_;
  std::string why_;
  std::vector<std::string> lines_;
  lull_budget_options options_{};
  lull_budget* budget_ = nullptr;
  lull_budget_view* view_ = nullptr;
};

TEST_F(CBudget, OneLoadsAndTheOthersAreServed) {
  make();
  lull_budget_ticket* const first = admit("a");
  EXPECT_EQ(lull_budget_ticket_must_load(first), 1);
  EXPECT_STREQ(lull_budget_ticket_model(first), "a");
  std::uint64_t granted = 0;
  ok(lull_budget_ticket_granted(first, "GPU0", &granted));
  EXPECT_EQ(granted, 4_GiB);
  ok(lull_budget_ticket_granted(first, "GPU1", &granted));
  EXPECT_EQ(granted, 0u);
  const lull_device_bytes really{"GPU0", 5_GiB};
  ok(lull_budget_ticket_confirm(first, &really, 1));
  lull_budget_ticket* const second = admit("a");
  EXPECT_EQ(lull_budget_ticket_must_load(second), 0);
  const lull_budget_model_info seen = look(0);
  EXPECT_EQ(seen.state, LULL_MODEL_STATE_READY);
  EXPECT_EQ(seen.leases, 2u);
  EXPECT_EQ(seen.measured, 1);
  ASSERT_EQ(seen.hold_count, 1u);
  EXPECT_EQ(seen.holds[0].bytes, 5_GiB);
  EXPECT_EQ(seen.estimate[0].bytes, 5_GiB);
  lull_budget_ticket_destroy(first);
  lull_budget_ticket_destroy(second);
  EXPECT_EQ(look(0).leases, 0u);
}

TEST_F(CBudget, SomebodyLeavesForAnother) {
  make();
  load("a");
  load("b");
  lull_budget_model stays;
  lull_budget_model_init(&stays);
  stays.name = "b";
  stays.pinned = 1;
  ok(lull_budget_change(budget_, &stays));
  lull_budget_plan* plan = nullptr;
  ok(lull_budget_preview(budget_, "c", &plan));
  lull_budget_plan_info info;
  info.struct_size = sizeof info;
  ok(lull_budget_plan_describe(plan, &info));
  EXPECT_EQ(info.outcome, LULL_PLAN_OUTCOME_PLANNED);
  EXPECT_EQ(info.eviction_count, 1u);
  EXPECT_THAT(info.words, HasSubstr("GPU0 lacks 3 GiB"));
  lull_budget_eviction eviction;
  eviction.struct_size = sizeof eviction;
  ok(lull_budget_plan_eviction(plan, 0, &eviction));
  EXPECT_STREQ(eviction.model, "a");
  EXPECT_STREQ(eviction.level, "sleep");
  ASSERT_EQ(eviction.gain_count, 1u);
  EXPECT_EQ(eviction.gain[0].bytes, 3_GiB);
  expect(lull_budget_plan_eviction(plan, 1, &eviction), LULL_ERROR_NOT_FOUND, "1 evictions");
  lull_budget_plan_destroy(plan);

  load("c");
  EXPECT_THAT(log_, ElementsAre("a sleep"));
  EXPECT_THAT(why_, HasSubstr("model 'c' comes in: GPU0 lacks 3 GiB"));
  const lull_budget_model_info seen = look(0);
  EXPECT_EQ(seen.state, LULL_MODEL_STATE_ASLEEP);
  EXPECT_STREQ(seen.level, "sleep");
  lull_budget_view_info all;
  all.struct_size = sizeof all;
  ok(lull_budget_view_describe(view_, &all));
  EXPECT_EQ(all.evictions, 1u);
  EXPECT_EQ(all.loads, 3u);
  lull_budget_device_info device;
  device.struct_size = sizeof device;
  ok(lull_budget_view_device(view_, 0, &device));
  EXPECT_STREQ(device.name, "GPU0");
  EXPECT_EQ(device.held_bytes, 9_GiB);
  EXPECT_EQ(device.margin_bytes, 1_GiB);
}

TEST_F(CBudget, ModelsComeChangeAndGo) {
  make();
  load("a");
  expect(lull_budget_remove(budget_, "a"), LULL_ERROR_BUSY, "it is ready");
  std::int32_t begun = 0;
  ok(lull_budget_put_away(budget_, "a", 0, &begun));
  EXPECT_EQ(begun, 1);
  const lull_device_bytes left{"GPU0", 2_GiB};
  ok(lull_budget_correct(budget_, "a", &left, 1));
  EXPECT_EQ(look(0).holds[0].bytes, 2_GiB);
  ok(lull_budget_put_away(budget_, "a", 0, &begun));
  EXPECT_EQ(begun, 0);
  ok(lull_budget_put_away(budget_, "a", 1, nullptr));
  expect(lull_budget_put_away(budget_, "a", 2, nullptr), LULL_ERROR_INVALID_ARGUMENT, "level 2");
  EXPECT_THAT(log_, ElementsAre("a sleep", "a unload"));
  ok(lull_budget_remove(budget_, "a"));
  lull_budget_ticket* ticket = nullptr;
  expect(lull_budget_admit(budget_, "a", 0, nullptr, &ticket), LULL_ERROR_NOT_FOUND, "'a'");
  lull_budget_model model;
  lull_budget_model_init(&model);
  model.name = "b";
  model.pinned = 1;
  model.priority = 3;
  ok(lull_budget_change(budget_, &model));
  EXPECT_EQ(look(0).pinned, 1);
  EXPECT_EQ(look(0).priority, 3);
  EXPECT_EQ(look(0).idle_ns, LULL_UNKNOWN_NS);
  load("b");
  EXPECT_GE(look(0).idle_ns, 0);
  std::int32_t lost = 0;
  ok(lull_budget_lost(budget_, "b", &lost));
  EXPECT_EQ(lost, 1);
  EXPECT_EQ(look(0).state, LULL_MODEL_STATE_UNLOADED);
}

TEST_F(CBudget, WhatCannotBeIsRefusedWithTheReason) {
  make();
  ok(add("huge", 100_GiB));
  lull_budget_ticket* ticket = nullptr;
  expect(lull_budget_admit(budget_, "huge", LULL_FOREVER, nullptr, &ticket),
         LULL_ERROR_OUT_OF_DEVICE_MEMORY, "GPU0 lacks 91 GiB");
  expect(add("a", 1_GiB), LULL_ERROR_INVALID_ARGUMENT, "'a' is in the budget already");
  lull_budget_model model;
  lull_budget_model_init(&model);
  expect(lull_budget_add(budget_, &model), LULL_ERROR_INVALID_ARGUMENT, "without a name");
  model.name = "d";
  model.wake_time_ns = -1;
  expect(lull_budget_add(budget_, &model), LULL_ERROR_INVALID_ARGUMENT, "model->wake_time_ns");
  const lull_budget_level nameless{nullptr, nullptr, 0};
  lull_budget_model_init(&model);
  model.name = "d";
  model.levels = &nameless;
  model.level_count = 1;
  expect(lull_budget_add(budget_, &model), LULL_ERROR_INVALID_ARGUMENT, "levels[0].name is null");
  const lull_device_bytes nowhere{nullptr, 1};
  ticket = admit("a");
  expect(lull_budget_ticket_confirm(ticket, &nowhere, 1), LULL_ERROR_INVALID_ARGUMENT,
         "holds[0].device is null");
  expect(lull_budget_ticket_confirm(ticket, nullptr, 1), LULL_ERROR_INVALID_ARGUMENT,
         "holds is null");
  EXPECT_EQ(lull_budget_ticket_must_load(ticket), 1) << "as before";
  lull_budget_ticket_destroy(ticket);
}

TEST_F(CBudget, ACallbackFailsInWords) {
  make();
  load("a");
  fails_ = "the disk is full";
  ok(lull_budget_put_away(budget_, "a", 1, nullptr));
  EXPECT_EQ(look(0).state, LULL_MODEL_STATE_READY);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("'a' does not leave: the disk is full")));
}

TEST_F(CBudget, AProbeSaysWhatOthersUse) {
  probes_ = true;
  used_ = 3_GiB;
  make();
  const auto foreign = [&] {
    static_cast<void>(look(0));
    lull_budget_device_info device;
    device.struct_size = sizeof device;
    ok(lull_budget_view_device(view_, 0, &device));
    return device.foreign_bytes;
  };
  EXPECT_EQ(foreign(), 3_GiB);
  probe_fails_ = true;
  used_ = 0;
  ok(lull_budget_refresh(budget_));
  EXPECT_EQ(foreign(), 3_GiB) << "as before";
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("no telemetry")));
  probe_fails_ = false;
  ok(lull_budget_refresh(budget_));
  EXPECT_EQ(foreign(), 0u);
}

TEST_F(CBudget, AWaitEndsAtItsTimeOrWhenItIsCancelled) {
  make();
  lull_budget_ticket* const a = admit("a");
  lull_budget_ticket* const b = admit("b");
  lull_budget_ticket* none = nullptr;
  expect(lull_budget_admit(budget_, "c", LULL_MILLISECOND, nullptr, &none), LULL_ERROR_TIMED_OUT,
         "GPU0 lacks 3 GiB");
  lull_cancel* cancel = nullptr;
  ok(lull_cancel_create(&cancel));
  std::thread later([&] { EXPECT_EQ(lull_cancel_request(cancel), LULL_OK); });
  expect(lull_budget_admit(budget_, "c", LULL_FOREVER, cancel, &none), LULL_ERROR_CANCELLED, "'c'");
  later.join();
  lull_cancel_destroy(cancel);
  EXPECT_EQ(none, nullptr);
  lull_budget_ticket_destroy(a);
  lull_budget_ticket_destroy(b);
}

struct answer {
  int times = 0;
  lull_status status = LULL_OK;
  std::string words;
  lull_budget_ticket* ticket = nullptr;
};
void answered(void* user, lull_status status, lull_budget_ticket* ticket) {
  auto& to = *static_cast<answer*>(user);
  ++to.times;
  to.status = status;
  if (status != LULL_OK) to.words = lull_last_error_message();
  to.ticket = ticket;
}

TEST_F(CBudget, AWaitWithoutAThreadIsToldOnce) {
  make();
  answer first;
  ok(lull_budget_admit_async(budget_, "a", LULL_FOREVER, nullptr, answered, &first));
  ASSERT_EQ(first.times, 1);
  EXPECT_EQ(lull_budget_ticket_must_load(first.ticket), 1);
  answer second;
  answer late;
  ok(lull_budget_admit_async(budget_, "a", LULL_FOREVER, nullptr, answered, &second));
  ok(lull_budget_admit_async(budget_, "a", 0, nullptr, answered, &late));
  EXPECT_EQ(second.times, 0);
  std::int64_t in_ns = -1;
  ok(lull_budget_next_tick(budget_, &in_ns));
  EXPECT_GE(in_ns, 0);
  ok(lull_budget_tick(budget_));
  EXPECT_EQ(late.times, 1);
  EXPECT_EQ(late.status, LULL_ERROR_TIMED_OUT);
  EXPECT_THAT(late.words, HasSubstr("somebody loads it"));
  EXPECT_EQ(late.ticket, nullptr);
  ok(lull_budget_ticket_confirm(first.ticket, nullptr, 0));
  ASSERT_EQ(second.times, 1);
  EXPECT_EQ(lull_budget_ticket_must_load(second.ticket), 0);
  lull_budget_ticket_destroy(first.ticket);
  lull_budget_ticket_destroy(second.ticket);
}

TEST_F(CBudget, WhatIsWaitedForWhenTheBudgetEndsIsCancelled) {
  make();
  answer holder;
  answer waits;
  ok(lull_budget_admit_async(budget_, "a", LULL_FOREVER, nullptr, answered, &holder));
  ok(lull_budget_admit_async(budget_, "a", LULL_FOREVER, nullptr, answered, &waits));
  lull_cancel* cancel = nullptr;
  ok(lull_cancel_create(&cancel));
  answer gives_up;
  answer withdrawn;
  ok(lull_budget_admit_async(budget_, "a", LULL_FOREVER, cancel, answered, &gives_up));
  ok(lull_cancel_request(cancel));
  EXPECT_EQ(gives_up.status, LULL_ERROR_CANCELLED);
  lull_cancel_destroy(cancel);
  EXPECT_EQ(waits.times, 0);
  lull_budget_ticket* const b = admit("b");
  ok(lull_budget_admit_async(budget_, "b", LULL_FOREVER, nullptr, answered, &withdrawn));
  ok(lull_budget_withdraw(budget_, "b"));
  EXPECT_EQ(withdrawn.status, LULL_ERROR_CANCELLED);
  lull_budget_ticket_destroy(b);
  lull_budget_destroy(std::exchange(budget_, nullptr));
  EXPECT_EQ(waits.status, LULL_ERROR_CANCELLED);
  EXPECT_EQ(released_, 1) << "though a ticket is out";
  lull_budget_ticket_destroy(holder.ticket);
}

TEST_F(CBudget, WhatItIsGivenIsGivenBackWhenItCannotBeMade) {
  lull_budget_options options;
  lull_budget_options_init(&options);
  options.user = this;
  options.release = [](void* user) { ++static_cast<CBudget*>(user)->released_; };
  lull_budget* none = nullptr;
  expect(lull_budget_create(&options, &none), LULL_ERROR_INVALID_ARGUMENT,
         "options->evict is null");
  EXPECT_EQ(released_, 1);
  options.evict = [](void*, const lull_budget_eviction*, lull_budget_call*) { return LULL_OK; };
  options.max_wait_ns = 0;
  expect(lull_budget_create(&options, &none), LULL_ERROR_INVALID_ARGUMENT, "options->max_wait_ns");
  EXPECT_EQ(released_, 2);
  const lull_budget_device nameless{nullptr, 1, 0, 0};
  lull_budget_options_init(&options);
  options.evict = [](void*, const lull_budget_eviction*, lull_budget_call*) { return LULL_OK; };
  options.devices = &nameless;
  options.device_count = 1;
  expect(lull_budget_create(&options, &none), LULL_ERROR_INVALID_ARGUMENT,
         "options->devices[0].name is null");
}

TEST_F(CBudget, WhatLoadsWereMeasuredAtIsKept) {
  const lull::test::scratch_folder folder;
  const std::string path = (folder.path() / "estimates").string();
  for (const bool again : {false, true}) {
    lull_budget_options options;
    lull_budget_options_init(&options);
    options.devices = &gpu_;
    options.device_count = 1;
    options.evict = [](void*, const lull_budget_eviction*, lull_budget_call*) { return LULL_OK; };
    options.estimates_file = path.c_str();
    lull_budget* budget = nullptr;
    ok(lull_budget_create(&options, &budget));
    const lull_device_bytes need{"GPU0", 1_GiB};
    lull_budget_model model;
    lull_budget_model_init(&model);
    model.name = "m";
    model.need = again ? nullptr : &need;
    model.need_count = again ? 0 : 1;
    ok(lull_budget_add(budget, &model));
    lull_budget_ticket* ticket = nullptr;
    ok(lull_budget_admit(budget, "m", 0, nullptr, &ticket));
    std::uint64_t granted = 0;
    ok(lull_budget_ticket_granted(ticket, "GPU0", &granted));
    EXPECT_EQ(granted, again ? 3_GiB : 1_GiB);
    const lull_device_bytes really{"GPU0", 3_GiB};
    ok(lull_budget_ticket_confirm(ticket, &really, 1));
    lull_budget_ticket_destroy(ticket);
    lull_budget_destroy(budget);
  }
}

TEST_F(CBudget, SettlesWithWhatIsExpectedOnThreadsOfItsOwn) {
  runs_here_ = false;
  probes_ = true;
  lull_budget_options_init(&options_);
  make();
  lull_budget_destroy(std::exchange(budget_, nullptr));
  released_ = 0;
  options_.settle = [](void* user, const lull_settle_expectation* expected, std::size_t count,
                       lull_budget_call*) {
    auto& self = *static_cast<CBudget*>(user);
    for (std::size_t i = 0; i < count; ++i) {
      self.log_.push_back("settle " + std::to_string(expected[i].gain_bytes / 1_GiB) + " of " +
                          std::to_string(expected[i].baseline_free_bytes / 1_GiB));
    }
    return LULL_OK;
  };
  ok(lull_budget_create(&options_, &budget_));
  ok(add("a", 4_GiB));
  load("a");
  used_ = 4_GiB;
  ok(lull_budget_put_away(budget_, "a", 0, nullptr));
  lull_budget_destroy(std::exchange(budget_, nullptr));  // which waits for it
  EXPECT_EQ(released_, 1);
  EXPECT_THAT(log_, ElementsAre("a sleep", "settle 3 of 6"));
}

TEST_F(CBudget, WorkThatNobodyRanIsRunWhenItIsGivenBack) {
  make();
  lull_budget_destroy(std::exchange(budget_, nullptr));
  released_ = 0;
  options_.run_on = [](void*, lull_budget_work* work) { lull_budget_work_destroy(work); };
  ok(lull_budget_create(&options_, &budget_));
  ok(add("a", 4_GiB));
  load("a");
  ok(lull_budget_put_away(budget_, "a", 1, nullptr));
  EXPECT_EQ(look(0).state, LULL_MODEL_STATE_UNLOADED);
}

}  // namespace
