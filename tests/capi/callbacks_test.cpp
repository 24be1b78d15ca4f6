// Callbacks of C programs may return any number. One that is no status is a failure that is told
// with the number and the callback's name, and what it was called for fails or goes on as it always
// does.

#include <lull/lull.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/context_device.hpp"

namespace {

using testing::Contains;
using testing::HasSubstr;

class CCallbacks : public testing::TestWithParam<int> {
 protected:
  CCallbacks() {
    answer = static_cast<lull_status>(GetParam());
    lines.clear();
    EXPECT_EQ(lull_registry_shared(&registry_), LULL_OK);
    EXPECT_EQ(lull_registry_find(registry_, "HOST", &device_), LULL_OK);
    EXPECT_EQ(lull_memory_create(nullptr, &memory_), LULL_OK);
  }
  ~CCallbacks() override {
    lull_report_destroy(report_);
    lull_region_destroy(region_);
    lull_memory_destroy(memory_);
    lull_device_destroy(device_);
    lull_registry_destroy(registry_);
  }

  static std::string words(const char* callback) {
    return std::string("the ") + callback + " callback returned " + std::to_string(GetParam());
  }
  /// @param callback as the message names it
  static void expect_told(lull_status code, const char* callback) {
    EXPECT_EQ(code, LULL_ERROR_CALLBACK);
    EXPECT_THAT(lull_last_error_message(), HasSubstr(words(callback)));
  }

  static lull_status refill(void*, const lull_refill_target*) { return answer; }
  static lull_status progress(void*, const char*, uint64_t, uint64_t) { return answer; }
  static void log(void*, lull_log_level, const char* line) { lines.emplace_back(line); }

  [[nodiscard]] lull_residency state() const {
    lull_residency seen{};
    EXPECT_EQ(lull_region_residency(region_, &seen), LULL_OK);
    return seen;
  }

  static inline lull_status answer = LULL_OK;
  static inline std::vector<std::string> lines;
  lull_registry* registry_ = nullptr;
  lull_device* device_ = nullptr;
  lull_memory* memory_ = nullptr;
  lull_region* region_ = nullptr;
  lull_report* report_ = nullptr;
};

TEST_P(CCallbacks, ThatRefill) {
  lull_region_options options;
  lull_region_options_init(&options);
  options.refill = refill;
  ASSERT_EQ(lull_memory_allocate(memory_, device_, 4096, &options, &region_), LULL_OK);
  expect_told(lull_region_refill(region_, refill, nullptr), "refill");
  const auto zero = [](void*, const lull_refill_target*) { return LULL_OK; };
  ASSERT_EQ(lull_region_refill(region_, zero, nullptr), LULL_OK);
  const lull_eviction_plan plan{LULL_CONTENTS_DISCARD, nullptr, 0};
  ASSERT_EQ(lull_memory_evict(memory_, &plan, nullptr, nullptr), LULL_OK);
  expect_told(lull_memory_restore(memory_, nullptr, 0, nullptr, &report_), "refill");
  EXPECT_EQ(state(), LULL_RESIDENCY_DISCARDED);
  EXPECT_NE(report_, nullptr) << "how far it came";
}

TEST_P(CCallbacks, ThatWatchATransfer) {
  ASSERT_EQ(lull_memory_allocate(memory_, device_, 4096, nullptr, &region_), LULL_OK);
  lull_transfer_options options;
  lull_transfer_options_init(&options);
  options.progress = progress;
  const lull_eviction_plan plan{LULL_CONTENTS_OFFLOAD, nullptr, 0};
  expect_told(lull_memory_evict(memory_, &plan, &options, nullptr), "progress");
  EXPECT_EQ(state(), LULL_RESIDENCY_RESIDENT);
}

TEST_P(CCallbacks, ThatComeBeforeAKill) {
  const char* const arguments[] = {"sleep", "30"};
  lull_process_options options;
  lull_process_options_init(&options);
  options.arguments = arguments;
  options.argument_count = 2;
  lull_stop_options stopping;
  lull_stop_options_init(&stopping);
  stopping.grace_ns = 0;
  stopping.before_kill = [](void*, std::int32_t) { return answer; };
  options.stopping = &stopping;
  options.log = log;
  lull_process* process = nullptr;
  ASSERT_EQ(lull_process_start(&options, &process), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(lull_process_stop(process, nullptr, nullptr), LULL_OK) << "killed all the same";
  lull_process_destroy(process);
  EXPECT_THAT(lines, Contains(HasSubstr(words("before_kill"))));
}

TEST_P(CCallbacks, OfAGraphCache) {
  lull_graph_driver driver{};
  driver.struct_size = sizeof driver;
  driver.destroy = [](void*, void*) { return answer; };
  driver.before_destroy = [](void*) { return answer; };
  driver.trim = [](void*) { return answer; };
  lull_graph_cache_options options;
  lull_graph_cache_options_init(&options);
  options.driver = &driver;
  options.log = log;
  lull_graph_cache* cache = nullptr;
  ASSERT_EQ(lull_graph_cache_create(&options, &cache), LULL_OK);
  lull_graph_pin pin{};
  const auto fails = [](void*, lull_captured_graph*) { return answer; };
  expect_told(lull_graph_cache_get_or_capture(cache, {0, 1}, fails, nullptr, nullptr, &pin),
              "capture");
  const auto captures = [](void*, lull_captured_graph* made) {
    static int graph = 0;
    made->graph = &graph;
    return LULL_OK;
  };
  ASSERT_EQ(lull_graph_cache_get_or_capture(cache, {0, 1}, captures, nullptr, nullptr, &pin),
            LULL_OK);
  lull_graph_pin_release(&pin);
  EXPECT_EQ(lull_graph_cache_trim(cache, nullptr), LULL_OK) << "what is destroyed is gone";
  lull_graph_cache_destroy(cache);
  for (const char* const each : {"before_destroy", "destroy", "trim"}) {
    EXPECT_THAT(lines, Contains(HasSubstr(words(each))));
  }
}

TEST_P(CCallbacks, ThatSeeSamples) {
  lull_settle_options options;
  lull_settle_options_init(&options);
  options.released_ago_ns = 0;
  options.on_sample = [](void*, std::int64_t, const char*, std::uint64_t) { return answer; };
  lull_settlement* none = nullptr;
  expect_told(lull_devices_settle(&device_, 1, &options, &none), "on_sample");
  EXPECT_EQ(none, nullptr);
}

TEST_P(CCallbacks, ThatAreDoneOnce) {
  const lull_generation* const generation = lull_device_generation_counter(device_);
  lull_once once{};
  expect_told(lull_once_call(
                  &once, generation, [](void*) { return answer; }, nullptr),
              "once");
  EXPECT_EQ(lull_once_is_done(&once, generation), 0);
}

TEST_P(CCallbacks, ThatTakeASleepDeeper) {
  static bool undo_works;
  lull_participant who;
  lull_participant_init(&who);
  who.name = "model";
  who.sleep = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
  who.wake = who.sleep;
  who.deepen = [](void*, const lull_sleep_plan*, const lull_sleep_plan*, lull_transition*) {
    return LULL_OK;
  };
  who.undo_deepen = [](void*, const lull_sleep_plan*, const lull_sleep_plan*, lull_transition*) {
    return undo_works ? LULL_OK : answer;
  };
  who.deepened = [](void*, const lull_sleep_plan*, lull_transition*) { return answer; };
  lull_participant fails = who;
  fails.name = "fails";
  fails.deepen = [](void*, const lull_sleep_plan*, const lull_sleep_plan*, lull_transition*) {
    return answer;
  };
  lull_sleep_plan offload{};
  ASSERT_EQ(lull_sleep_plan_init(&offload, LULL_LEVEL_OFFLOAD), LULL_OK);
  lull_sleep_plan discard{};
  ASSERT_EQ(lull_sleep_plan_init(&discard, LULL_LEVEL_DISCARD), LULL_OK);
  lull_sleeper_options options;
  lull_sleeper_options_init(&options);
  options.log = log;
  lull_sleeper* sleeper = nullptr;

  ASSERT_EQ(lull_sleeper_create(&options, &sleeper), LULL_OK);
  ASSERT_EQ(lull_sleeper_add(sleeper, &who), LULL_OK);
  ASSERT_EQ(lull_sleeper_sleep(sleeper, &offload, nullptr), LULL_OK);
  EXPECT_EQ(lull_sleeper_deepen(sleeper, &discard, nullptr), LULL_OK) << "told as a problem";
  EXPECT_THAT(lines, Contains(HasSubstr(words("deepened"))));
  lull_sleeper_destroy(sleeper);

  for (const bool works : {true, false}) {
    undo_works = works;
    ASSERT_EQ(lull_sleeper_create(&options, &sleeper), LULL_OK);
    // The last one goes first.
    ASSERT_EQ(lull_sleeper_add(sleeper, &fails), LULL_OK);
    ASSERT_EQ(lull_sleeper_add(sleeper, &who), LULL_OK);
    ASSERT_EQ(lull_sleeper_sleep(sleeper, &offload, nullptr), LULL_OK);
    expect_told(lull_sleeper_deepen(sleeper, &discard, nullptr), "deepen");
    if (!works) {
      EXPECT_THAT(lull_last_error_message(), HasSubstr(words("undo_deepen")));
    }
    EXPECT_EQ(lull_sleeper_wake(sleeper, LULL_FOREVER, nullptr), LULL_OK);
    lull_sleeper_destroy(sleeper);
  }
}

/// Of a device whose context can be reset.
class CResetCallbacks : public CCallbacks {
 protected:
  CResetCallbacks() {
    lull::test::resets_of_the_module() = 0;
    lull_registry_options options;
    lull_registry_options_init(&options);
    options.search = 0;
    EXPECT_EQ(lull_registry_create(&options, &own_registry_), LULL_OK);
    lull_module_info module{};
    module.struct_size = sizeof module;
    EXPECT_EQ(lull_registry_add(own_registry_, &lull::test::context_ops(), &module), LULL_OK);
    EXPECT_EQ(lull_registry_find(own_registry_, "CONTEXT0", &resettable_), LULL_OK);
    lull_reset_options_init(&how_);
    how_.settle_timeout_ns = 0;
  }
  ~CResetCallbacks() override {
    lull_device_destroy(resettable_);
    lull_registry_destroy(own_registry_);
  }

  void expect_refused_by(const lull_reset_hook_options& options) {
    lull_reset_hook* hook = nullptr;
    ASSERT_EQ(lull_reset_hook_create(resettable_, &options, &hook), LULL_OK);
    expect_told(lull_device_reset(resettable_, &how_, nullptr), "reset hook's");
    EXPECT_EQ(lull::test::resets_of_the_module(), 0);
    lull_reset_hook_destroy(hook);
    EXPECT_EQ(lull_device_reset(resettable_, &how_, nullptr), LULL_OK) << "without it";
    lull::test::resets_of_the_module() = 0;
  }

  lull_registry* own_registry_ = nullptr;
  lull_device* resettable_ = nullptr;
  lull_reset_options how_{};
};

TEST_P(CResetCallbacks, OfHooks) {
  const auto refuse = [](void*, const lull_reset_event*) { return answer; };
  lull_reset_hook_options options;
  lull_reset_hook_options_init(&options);
  options.before = refuse;
  expect_refused_by(options);
  lull_reset_hook_options_init(&options);
  options.check = refuse;
  expect_refused_by(options);
}

TEST_P(CResetCallbacks, OfTheProgramsOwnReset) {
  how_.reset = [](void*, const lull_device*) { return answer; };
  expect_told(lull_device_reset(resettable_, &how_, &report_), "reset");
  EXPECT_EQ(lull::test::resets_of_the_module(), 0);
  how_.reset = nullptr;
  EXPECT_EQ(lull_device_reset(resettable_, &how_, nullptr), LULL_OK);
}

std::string name_of(const testing::TestParamInfo<int>& each) {
  std::string name = std::to_string(each.param);
  if (name.front() == '-') name.front() = 'm';
  return name;
}

constexpr int odd_numbers[] = {-1, 4711, INT32_MIN, INT32_MAX};
INSTANTIATE_TEST_SUITE_P(Numbers, CCallbacks, testing::ValuesIn(odd_numbers), name_of);
INSTANTIATE_TEST_SUITE_P(Numbers, CResetCallbacks, testing::ValuesIn(odd_numbers), name_of);

}  // namespace
