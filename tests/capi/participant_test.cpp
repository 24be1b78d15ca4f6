// Participants of C: what they are told, what they can say, and when their `user` is given back.

#include <lull/lull.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/sleeper_fixture.hpp"
#include "support/eventually.hpp"

namespace {

using lull::test::c_sleeper_test;
using lull::test::eventually;
using lull::test::scripted_participant;
using lull::test::sized;
using testing::HasSubstr;

class CParticipant : public c_sleeper_test {};

lull_contents_action action_for(const lull_sleep_plan& plan, const char* tag) {
  lull_contents_action action{};
  EXPECT_EQ(lull_eviction_plan_action(&plan.contents, tag, &action), LULL_OK);
  return action;
}

TEST_F(CParticipant, GetsThePlanBothWays) {
  int calls = 0;
  const auto look = [&](const lull_sleep_plan& plan, lull_transition*) {
    ++calls;
    EXPECT_EQ(plan.struct_size, sizeof plan);
    EXPECT_STREQ(plan.name, "night");
    EXPECT_EQ(plan.contents.tag_count, 2u);
    EXPECT_EQ(action_for(plan, "kv"), LULL_CONTENTS_DISCARD);
    EXPECT_EQ(action_for(plan, "weights"), LULL_CONTENTS_KEEP);
    EXPECT_EQ(action_for(plan, "other"), LULL_CONTENTS_OFFLOAD);
    EXPECT_EQ(plan.context, LULL_CONTEXT_KEEP);
    EXPECT_EQ(plan.backing, LULL_BACKING_FILE);
    EXPECT_STREQ(plan.backing_path, "/var/tmp");
    return LULL_OK;
  };
  model_.sleep = model_.wake = look;
  create_with_model();
  const lull_tag_action tags[] = {{"weights", LULL_CONTENTS_KEEP}, {"kv", LULL_CONTENTS_DISCARD}};
  lull_sleep_plan plan;
  ASSERT_EQ(lull_sleep_plan_init(&plan, LULL_LEVEL_OFFLOAD), LULL_OK);
  plan.name = "night";
  plan.contents.tags = tags;
  plan.contents.tag_count = 2;
  plan.backing = LULL_BACKING_FILE;
  plan.backing_path = "/var/tmp";
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, &plan, nullptr), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(wake(), LULL_OK);
  EXPECT_EQ(calls, 2);
}

TEST_F(CParticipant, FailsInItsOwnWordsForAllWhoWait) {
  model_.wake = [](const lull_sleep_plan&, lull_transition* now) {
    return lull_transition_fail(now, LULL_ERROR_IO, "weights.gguf: no such file");
  };
  create_with_model();
  ASSERT_EQ(sleep(), LULL_OK);
  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, LULL_FOREVER, nullptr, &lease), LULL_ERROR_IO);
  EXPECT_STREQ(lull_last_error_message(), "model: weights.gguf: no such file");
  EXPECT_EQ(state(), LULL_STATE_ASLEEP);

  lull_report* report = nullptr;
  auto info = sized<lull_report_info>();
  ASSERT_EQ(lull_sleeper_last_report(sleeper_, &report), LULL_OK);
  EXPECT_EQ(lull_report_describe(report, &info), LULL_OK);
  EXPECT_STREQ(info.failure, "model: weights.gguf: no such file");
  lull_report_destroy(report);
}

TEST_F(CParticipant, HandsOnTheWordsOfACallThatFailed) {
  lull_registry* registry = nullptr;
  lull_device* device = nullptr;
  ASSERT_EQ(lull_registry_shared(&registry), LULL_OK);
  ASSERT_EQ(lull_registry_find(registry, "HOST", &device), LULL_OK);
  model_.sleep = [&](const lull_sleep_plan&, lull_transition* now) {
    void* address = nullptr;
    const lull_status code = lull_device_allocate(device, UINT64_MAX / 2, &address);
    EXPECT_EQ(code, LULL_ERROR_OUT_OF_DEVICE_MEMORY);
    return lull_transition_fail(now, code, nullptr);
  };
  create_with_model();
  EXPECT_EQ(sleep(), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("model: "));
  EXPECT_THAT(lull_last_error_message(), HasSubstr("HOST"));
  auto vendor = sized<lull_vendor_failure>();
  EXPECT_EQ(lull_last_error_vendor(&vendor), LULL_OK);
  EXPECT_STREQ(vendor.device, "HOST");

  model_.sleep = [&](const lull_sleep_plan&, lull_transition* now) {
    void* address = nullptr;
    static_cast<void>(lull_device_allocate(device, UINT64_MAX / 2, &address));
    return lull_transition_fail(now, LULL_ERROR_BUSY, nullptr);
  };
  EXPECT_EQ(sleep(), LULL_ERROR_BUSY) << "another status, the same words";
  EXPECT_THAT(lull_last_error_message(), HasSubstr("HOST"));
  EXPECT_EQ(lull_last_error_vendor(&vendor), LULL_OK);
  lull_device_destroy(device);
  lull_registry_destroy(registry);
}

TEST_F(CParticipant, WithoutAnErrorToHandOnTheStatusSpeaks) {
  model_.sleep = [](const lull_sleep_plan&, lull_transition* now) {
    return lull_transition_fail(now, LULL_ERROR_BUSY, nullptr);
  };
  create_with_model();
  EXPECT_EQ(sleep(), LULL_ERROR_BUSY);
  EXPECT_STREQ(lull_last_error_message(),
               (std::string("model: ") + lull_status_text(LULL_ERROR_BUSY)).c_str());
}

TEST_F(CParticipant, AFailureThatIsNoneOfTheStatusesIsACallbacks) {
  for (const int number : {0, -4711, 4711}) {
    SCOPED_TRACE(number);
    model_.sleep = [number](const lull_sleep_plan&, lull_transition* now) {
      const lull_status code =
          lull_transition_fail(now, static_cast<lull_status>(number), "cannot");
      EXPECT_EQ(code, LULL_ERROR_CALLBACK);
      return code;
    };
    if (sleeper_ == nullptr) create_with_model();
    EXPECT_EQ(sleep(), LULL_ERROR_CALLBACK);
    EXPECT_STREQ(lull_last_error_message(), "model: cannot");
  }
}

TEST_F(CParticipant, WordsThatAreThoughtBetterOfFailNothing) {
  model_.sleep = [](const lull_sleep_plan&, lull_transition* now) {
    EXPECT_EQ(lull_transition_fail(now, LULL_ERROR_IO, "the first file"), LULL_ERROR_IO);
    return LULL_OK;  // there was a second one
  };
  create_with_model();
  EXPECT_EQ(sleep(), LULL_OK);
  EXPECT_EQ(state(), LULL_STATE_ASLEEP);
}

TEST_F(CParticipant, AnotherFailureThanSaidHasTheWordsAllTheSame) {
  model_.sleep = [](const lull_sleep_plan&, lull_transition* now) {
    EXPECT_EQ(lull_transition_fail(now, LULL_ERROR_IO, "the disk"), LULL_ERROR_IO);
    return static_cast<lull_status>(-1);
  };
  create_with_model();
  EXPECT_EQ(sleep(), LULL_ERROR_IO);
  EXPECT_STREQ(lull_last_error_message(), "model: the disk");
}

TEST_F(CParticipant, ExceptionsOfItsFunctionsDoNotCross) {
  model_.sleep = [](const lull_sleep_plan&, lull_transition*) -> lull_status { throw 1; };
  create_with_model();
  EXPECT_EQ(sleep(), LULL_ERROR_CALLBACK);
  EXPECT_EQ(state(), LULL_STATE_AWAKE);
}

TEST_F(CParticipant, IsToldToStopWhenTheSleeperIsDestroyed) {
  std::atomic<bool> begun{false};
  std::string failure;
  options_.idle_time_ns = 0;
  options_.on_transition_user = &failure;
  options_.on_transition = [](void* user, const lull_report* report) {
    auto info = sized<lull_report_info>();
    EXPECT_EQ(lull_report_describe(report, &info), LULL_OK);
    *static_cast<std::string*>(user) = info.failure;
  };
  model_.sleep = [&](const lull_sleep_plan&, lull_transition* now) {
    EXPECT_EQ(lull_transition_stop_requested(now), 0);
    begun = true;
    while (lull_transition_stop_requested(now) == 0) std::this_thread::yield();
    // What waits is told by the same token.
    lull_sleeper* other = nullptr;
    lull_lease lease{};
    EXPECT_EQ(lull_sleeper_create(nullptr, &other), LULL_OK);
    EXPECT_EQ(lull_sleeper_sleep(other, nullptr, nullptr), LULL_OK);
    EXPECT_EQ(lull_sleeper_acquire(other, LULL_FOREVER, lull_transition_cancel(now), &lease),
              LULL_ERROR_CANCELLED);
    lull_sleeper_destroy(other);
    return lull_transition_fail(now, LULL_ERROR_CANCELLED, "told to stop");
  };
  create_with_model();
  EXPECT_EQ(lull_sleeper_poll(sleeper_, nullptr), LULL_OK);
  EXPECT_TRUE(eventually([&] { return begun.load(); }));
  destroy();
  EXPECT_EQ(failure, "model: told to stop");
}

TEST_F(CParticipant, ItsProgressIsSeen) {
  std::atomic<bool> look{false};
  std::atomic<bool> seen{false};
  model_.wake = [&](const lull_sleep_plan&, lull_transition* now) {
    std::thread([now] {
      EXPECT_EQ(lull_transition_set_progress(now, 3, 7), LULL_OK) << "any thread";
    }).join();
    look = true;
    return eventually([&] { return seen.load(); }) ? LULL_OK : LULL_ERROR_TIMED_OUT;
  };
  create_with_model();
  ASSERT_EQ(sleep(), LULL_OK);
  std::thread wakes([&] { EXPECT_EQ(wake(), LULL_OK); });
  EXPECT_TRUE(eventually([&] { return look.load(); }));
  EXPECT_EQ(observe().state, LULL_STATE_WAKING);
  EXPECT_EQ(observe().done_bytes, 3u);
  EXPECT_EQ(observe().total_bytes, 7u);
  seen = true;
  wakes.join();
}

TEST_F(CParticipant, WhatItSaysIsInTheReportAndOnTheReleaseClock) {
  lull_registry* registry = nullptr;
  lull_device* device = nullptr;
  ASSERT_EQ(lull_registry_shared(&registry), LULL_OK);
  ASSERT_EQ(lull_registry_find(registry, "HOST", &device), LULL_OK);
  lull_release_clock* releases = nullptr;
  ASSERT_EQ(lull_release_clock_create(&releases), LULL_OK);
  options_.releases = releases;
  model_.sleep = [&](const lull_sleep_plan&, lull_transition* now) {
    EXPECT_EQ(lull_transition_add_released(now, device, 4096), LULL_OK);
    EXPECT_EQ(lull_transition_add_released(now, device, LULL_UNKNOWN), LULL_OK);
    EXPECT_EQ(lull_transition_add_step(now, "unload", 5 * LULL_SECOND, 4096), LULL_OK);
    EXPECT_EQ(lull_transition_add_problem(now, "one file was left"), LULL_OK);
    EXPECT_EQ(lull_transition_add_step(now, "unload", -1, 0), LULL_ERROR_INVALID_ARGUMENT);
    return LULL_OK;
  };
  create_with_model();
  lull_report* report = nullptr;
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, nullptr, &report), LULL_OK);
  auto info = sized<lull_report_info>();
  EXPECT_EQ(lull_report_describe(report, &info), LULL_OK);
  ASSERT_EQ(info.step_count, 1u);
  ASSERT_EQ(info.device_count, 1u);
  ASSERT_EQ(info.problem_count, 1u);
  auto step = sized<lull_step_report>();
  EXPECT_EQ(lull_report_step(report, 0, &step), LULL_OK);
  EXPECT_STREQ(step.name, "unload");
  EXPECT_EQ(step.elapsed_ns, 5 * LULL_SECOND);
  EXPECT_EQ(step.bytes, 4096u);
  auto on = sized<lull_device_report>();
  EXPECT_EQ(lull_report_device(report, 0, &on), LULL_OK);
  EXPECT_STREQ(on.device, "HOST");
  EXPECT_EQ(on.discarded_bytes, 4096u);
  const char* problem = nullptr;
  EXPECT_EQ(lull_report_problem(report, 0, &problem), LULL_OK);
  EXPECT_STREQ(problem, "one file was left");
  lull_report_destroy(report);

  std::int64_t ago_ns = 0;
  EXPECT_EQ(lull_release_clock_last(releases, "HOST", &ago_ns), LULL_OK);
  EXPECT_NE(ago_ns, LULL_UNKNOWN_NS);
  EXPECT_EQ(lull_release_clock_last(releases, "CUDA0", &ago_ns), LULL_OK);
  EXPECT_EQ(ago_ns, LULL_UNKNOWN_NS) << "it is known where";
  destroy();
  lull_release_clock_destroy(releases);
  lull_device_destroy(device);
  lull_registry_destroy(registry);
}

TEST_F(CParticipant, OfAnOlderHeaderHasDefaultsForWhatItLacks) {
  create();
  lull_participant who = model_.as_c();
  who.struct_size = offsetof(lull_participant, devices);
  who.device_count = 4711;
  EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, nullptr, nullptr), LULL_OK);
}

TEST_F(CParticipant, UpkeepIsDoneWhenItIsDueAndUnderNoLock) {
  options_.watch_idle = 1;
  std::atomic<int> asked{0};
  std::atomic<int> done{0};
  model_.next_upkeep = [&]() -> std::int64_t {
    // Would wait for itself under the sleeper's lock.
    EXPECT_EQ(observe().state == LULL_STATE_WAKING, asked == 4);
    return ++asked <= 3 ? 0 : LULL_FOREVER;
  };
  model_.upkeep = [&] {
    ++done;
    return LULL_ERROR_IO;  // is logged, and ends nothing
  };
  create_with_model();
  EXPECT_TRUE(eventually([&] { return asked == 4; })) << "when added, and after each upkeep";
  EXPECT_EQ(done, 3);
  EXPECT_EQ(sleep(), LULL_OK);
  EXPECT_EQ(wake(), LULL_OK);
  EXPECT_EQ(asked, 5) << "and after a wake";
  EXPECT_EQ(done, 3);
}

TEST_F(CParticipant, UpkeepThatFailsIsLoggedWhateverItReturns) {
  std::atomic<int> lines{0};
  options_.watch_idle = 1;
  options_.log_user = &lines;
  options_.log = [](void* user, lull_log_level level, const char* line) {
    EXPECT_EQ(level, LULL_LOG_ERROR);
    EXPECT_STREQ(
        line, "model: upkeep failed: the upkeep callback returned -4711, which is no lull_status");
    ++*static_cast<std::atomic<int>*>(user);
  };
  bool due = true;
  model_.next_upkeep = [&] { return std::exchange(due, false) ? 0 : LULL_FOREVER; };
  model_.upkeep = [] { return static_cast<lull_status>(-4711); };
  create_with_model();
  EXPECT_TRUE(eventually([&] { return lines == 1; }));
}

TEST_F(CParticipant, UpkeepIsDoneByPollWhereNobodyWatches) {
  std::int64_t due_in = LULL_FOREVER;
  std::atomic<int> done{0};
  model_.next_upkeep = [&] { return due_in; };
  model_.upkeep = [&] {
    ++done;
    return LULL_OK;
  };
  create_with_model();
  std::int64_t in_ns = 0;
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper_, &in_ns), LULL_OK);
  EXPECT_EQ(in_ns, LULL_FOREVER);
  due_in = 0;
  ASSERT_EQ(sleep(), LULL_OK);
  ASSERT_EQ(wake(), LULL_OK);
  due_in = LULL_FOREVER;
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper_, &in_ns), LULL_OK);
  EXPECT_EQ(in_ns, 0);
  EXPECT_EQ(lull_sleeper_poll(sleeper_, nullptr), LULL_OK);
  EXPECT_TRUE(eventually([&] { return done == 1; }));
}

TEST_F(CParticipant, ATimeForUpkeepThatCannotBeFailsNoWakeThatHasSucceeded) {
  std::int64_t due_in = LULL_FOREVER;
  model_.next_upkeep = [&] { return due_in; };
  model_.upkeep = [] { return LULL_OK; };
  create_with_model();
  ASSERT_EQ(sleep(), LULL_OK);
  due_in = -5;
  EXPECT_EQ(wake(), LULL_OK);
  lull_report* report = nullptr;
  ASSERT_EQ(lull_sleeper_last_report(sleeper_, &report), LULL_OK);
  const char* problem = nullptr;
  EXPECT_EQ(lull_report_problem(report, 0, &problem), LULL_OK);
  EXPECT_STREQ(problem, "model: the next_upkeep callback returned -5; it must not be negative");
  lull_report_destroy(report);
  std::int64_t in_ns = 0;
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper_, &in_ns), LULL_OK);
  EXPECT_EQ(in_ns, LULL_FOREVER);
}

TEST_F(CParticipant, ItsUserIsGivenBackOnceWithTheSleeper) {
  create_with_model();
  EXPECT_EQ(sleep(), LULL_OK);
  EXPECT_EQ(model_.released, 0);
  destroy();
  EXPECT_EQ(model_.released, 1);
}

TEST_F(CParticipant, ItsUserIsGivenBackOnceWhenAddingItFails) {
  create();
  int failures = 0;
  const auto refused = [&](const lull_participant& who, const char* words) {
    EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_STREQ(lull_last_error_message(), words);
    EXPECT_EQ(model_.released, ++failures);
  };
  const lull_participant good = model_.as_c();
  lull_participant who = good;
  who.name = nullptr;
  refused(who, "participant->name is null");
  who.name = "";
  refused(who, "participant->name is empty");
  who = good;
  who.sleep = nullptr;
  refused(who, "participant->sleep is null");
  who = good;
  who.wake = nullptr;
  refused(who, "participant->wake is null");
  who = good;
  who.device_count = 1;
  refused(who, "participant->devices is null");
  lull_device* const none = nullptr;
  who.devices = &none;
  refused(who, "participant->devices[0] is null");
  who = good;
  who.upkeep = [](void*) { return LULL_OK; };
  refused(who, "participant->next_upkeep is null");
  who = good;
  who.next_upkeep = [](void*) { return LULL_FOREVER; };
  refused(who, "participant->upkeep is null");

  who.upkeep = [](void*) { return LULL_OK; };
  who.next_upkeep = [](void*) { return std::int64_t{-1}; };
  EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_ERROR_CALLBACK);
  EXPECT_EQ(model_.released, ++failures);
  EXPECT_EQ(lull_sleeper_add(nullptr, &good), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "sleeper is null");
  EXPECT_EQ(model_.released, ++failures);
  ASSERT_EQ(sleep(), LULL_OK);
  EXPECT_EQ(lull_sleeper_add(sleeper_, &good), LULL_ERROR_BUSY);
  EXPECT_EQ(model_.released, ++failures);

  who = good;
  who.struct_size = 0;
  EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(model_.released, failures) << "nothing of it can be read";
  destroy();
  EXPECT_EQ(model_.released, failures) << "none was added";
}

TEST(CPlan, WhatHappensToATagCanBeAsked) {
  const lull_tag_action tags[] = {{"kv", LULL_CONTENTS_KEEP},
                                  {"kv", LULL_CONTENTS_DISCARD},
                                  {nullptr, LULL_CONTENTS_KEEP},
                                  {"odd", static_cast<lull_contents_action>(7)}};
  lull_eviction_plan plan{LULL_CONTENTS_OFFLOAD, tags, 4};
  lull_contents_action action{};
  EXPECT_EQ(lull_eviction_plan_action(&plan, "kv", &action), LULL_OK);
  EXPECT_EQ(action, LULL_CONTENTS_DISCARD) << "the last one counts";
  EXPECT_EQ(lull_eviction_plan_action(&plan, "weights", &action), LULL_OK);
  EXPECT_EQ(action, LULL_CONTENTS_OFFLOAD);
  EXPECT_EQ(lull_eviction_plan_action(&plan, "odd", &action), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(action, LULL_CONTENTS_OFFLOAD) << "as it was";
  plan.tags = nullptr;
  EXPECT_EQ(lull_eviction_plan_action(&plan, "kv", &action), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "plan->tags is null");
}

}  // namespace
