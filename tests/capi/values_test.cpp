// Numbers that C hands over: what is none of an enumeration's values, and what is outside its
// range, is refused by name; durations may be as long as they can be.

#include <lull/lull.h>

#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::HasSubstr;

void expect_refused(lull_status code, const std::string& message) {
  EXPECT_EQ(code, LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lull_last_error_message(), message);
}

template <class Enum>
Enum number(int value) {
  return static_cast<Enum>(value);
}

/// Options with a log threshold that there is not.
template <class Options>
Options with_odd_threshold(void (*init)(Options*)) {
  Options options;
  init(&options);
  options.log_threshold = number<lull_log_level>(4711);
  return options;
}

TEST(CApiValues, ALogThresholdThatThereIsNotIsRefused) {
  const std::string words = "options->log_threshold is 4711; its values are 0 to 3";
  lull_registry* registry = nullptr;
  lull_device* device = nullptr;
  lull_memory* memory = nullptr;
  lull_sleeper* sleeper = nullptr;
  lull_process* process = nullptr;
  const auto for_registry = with_odd_threshold(lull_registry_options_init);
  expect_refused(lull_registry_create(&for_registry, &registry), words);
  const auto for_memory = with_odd_threshold(lull_memory_options_init);
  expect_refused(lull_memory_create(&for_memory, &memory), words);
  const auto for_sleeper = with_odd_threshold(lull_sleeper_options_init);
  expect_refused(lull_sleeper_create(&for_sleeper, &sleeper), words);
  const auto for_process = with_odd_threshold(lull_process_options_init);
  expect_refused(lull_process_start(&for_process, &process), words);
  const auto for_reset = with_odd_threshold(lull_reset_options_init);
  ASSERT_EQ(lull_registry_shared(&registry), LULL_OK);
  ASSERT_EQ(lull_registry_find(registry, "HOST", &device), LULL_OK);
  expect_refused(lull_device_reset(device, &for_reset, nullptr), words);
  lull_device_destroy(device);
  lull_registry_destroy(registry);
}

TEST(CApiValues, EnumeratorsThatThereAreNotAreRefused) {
  lull_sleep_plan plan;
  std::int32_t supported = 0;
  expect_refused(lull_sleep_plan_init(&plan, number<lull_sleep_level>(-1)),
                 "level is -1; its values are 0 to 5");
  expect_refused(lull_sleep_level_supported(number<lull_sleep_level>(6), nullptr, 0, &supported),
                 "level is 6; its values are 0 to 5");
  expect_refused(lull_parent_notify(number<lull_process_state>(5), 0, nullptr),
                 "state is 5; its values are 0 to 4");

  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  ASSERT_EQ(lull_sleep_plan_init(&plan, LULL_LEVEL_DISCARD), LULL_OK);
  const lull_sleep_plan good = plan;
  plan.context = number<lull_context_action>(9);
  expect_refused(lull_sleeper_sleep(sleeper, &plan, nullptr),
                 "plan->context is 9; its values are 0 to 3");
  plan = good;
  plan.backing = number<lull_backing_kind>(INT32_MIN);
  expect_refused(lull_sleeper_sleep(sleeper, &plan, nullptr),
                 "plan->backing is -2147483648; its values are 0 to 2");
  plan = good;
  plan.contents.otherwise = number<lull_contents_action>(3);
  expect_refused(lull_sleeper_sleep(sleeper, &plan, nullptr),
                 "plan->contents.otherwise is 3; its values are 0 to 2");
  lull_sleeper_destroy(sleeper);

  lull_process_options options;
  lull_process_options_init(&options);
  lull_process* process = nullptr;
  const lull_process_options defaults = options;
  options.input = number<lull_stdio>(3);
  expect_refused(lull_process_start(&options, &process),
                 "options->input is 3; its values are 0 to 2");
  options = defaults;
  options.errors = number<lull_stdio>(-7);
  expect_refused(lull_process_start(&options, &process),
                 "options->errors is -7; its values are 0 to 2");
}

TEST(CApiValues, ACallbackMayReturnAnyNumber) {
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  lull_participant who;
  lull_participant_init(&who);
  who.name = "model";
  who.sleep = [](void*, const lull_sleep_plan*, lull_transition*) {
    return number<lull_status>(-4711);
  };
  who.wake = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
  ASSERT_EQ(lull_sleeper_add(sleeper, &who), LULL_OK);
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_ERROR_CALLBACK);
  EXPECT_THAT(lull_last_error_message(),
              HasSubstr("the sleep callback returned -4711, which is no lull_status"));
  lull_sleeper_destroy(sleeper);

  who.sleep = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
  who.wake = [](void*, const lull_sleep_plan*, lull_transition*) {
    return number<lull_status>(4711);
  };
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  ASSERT_EQ(lull_sleeper_add(sleeper, &who), LULL_OK);
  ASSERT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_OK);
  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire_with(sleeper, nullptr, &lease), LULL_ERROR_CALLBACK);
  EXPECT_STREQ(lull_last_error_message(),
               "model: the wake callback returned 4711, which is no lull_status");
  lull_sleeper_destroy(sleeper);
}

TEST(CApiValues, DurationsBelowTheirRangeAreRefused) {
  lull_sleeper_options options;
  lull_sleeper_options_init(&options);
  const lull_sleeper_options defaults = options;
  lull_sleeper* sleeper = nullptr;
  options.idle_time_ns = -1;
  expect_refused(lull_sleeper_create(&options, &sleeper),
                 "options->idle_time_ns is -1; it must not be negative");
  options = defaults;
  options.drain_timeout_ns = INT64_MIN;
  expect_refused(lull_sleeper_create(&options, &sleeper),
                 "options->drain_timeout_ns is -9223372036854775808; it must be above 0");

  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  lull_lease lease{};
  expect_refused(lull_sleeper_acquire(sleeper, -1, nullptr, &lease),
                 "timeout_ns is -1; it must not be negative");
  expect_refused(lull_sleeper_wake(sleeper, LULL_UNKNOWN_NS, nullptr),
                 "timeout_ns is -1; it must not be negative");
  expect_refused(lull_sleeper_set_idle_time(sleeper, -5),
                 "idle_time_ns is -5; it must not be negative");
  lull_sleeper_destroy(sleeper);
}

TEST(CApiValues, DurationsMayBeAsLongAsTheyCanBe) {
  lull_sleeper_options options;
  lull_sleeper_options_init(&options);
  options.idle_time_ns = LULL_FOREVER - 1;
  options.drain_timeout_ns = LULL_FOREVER;
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(&options, &sleeper), LULL_OK);
  std::int64_t in_ns = 0;
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper, &in_ns), LULL_OK);
  EXPECT_GT(in_ns, 365 * 24 * 60 * LULL_MINUTE);
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_OK);
  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire(sleeper, LULL_FOREVER - 1, nullptr, &lease), LULL_OK);
  lull_lease_release(&lease);
  EXPECT_EQ(lull_sleeper_set_idle_time(sleeper, LULL_FOREVER), LULL_OK);
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper, &in_ns), LULL_OK);
  EXPECT_EQ(in_ns, LULL_FOREVER);
  lull_sleeper_destroy(sleeper);

  lull_release_clock* releases = nullptr;
  ASSERT_EQ(lull_release_clock_create(&releases), LULL_OK);
  EXPECT_EQ(lull_release_clock_mark(releases, "CUDA0", LULL_FOREVER, nullptr), LULL_OK);
  EXPECT_EQ(lull_release_clock_last(releases, "CUDA0", &in_ns), LULL_OK);
  EXPECT_GT(in_ns, 365 * 24 * 60 * LULL_MINUTE);
  lull_release_clock_destroy(releases);
}

}  // namespace
