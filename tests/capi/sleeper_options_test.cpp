// Where a C program has its participants run, and how a sleep resets devices for it.

#include <lull/lull.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/context_device.hpp"
#include "capi/sleeper_fixture.hpp"
#include "support/eventually.hpp"

namespace {

using lull::test::c_sleeper_test;
using lull::test::context_ops;
using lull::test::eventually;
using lull::test::resets_of_the_module;
using lull::test::sized;
using testing::HasSubstr;

/// Gets the sleeper's work, and keeps it.
class CRunOn : public c_sleeper_test {
 protected:
  CRunOn() {
    options_.run_on = [](void* user, lull_transition_work* work) {
      auto& self = *static_cast<CRunOn*>(user);
      EXPECT_EQ(self.handed_.exchange(work), nullptr) << "one piece a transition";
    };
    options_.run_on_user = this;
    const auto note = [this](const lull_sleep_plan&, lull_transition*) {
      ++runs_;
      where_ = std::this_thread::get_id();
      return LULL_OK;
    };
    model_.sleep = model_.wake = note;
  }

  /// The work of a sleep that another thread waits for.
  lull_transition_work* take() {
    EXPECT_TRUE(eventually([this] { return handed_ != nullptr; }));
    return handed_.exchange(nullptr);
  }

  std::atomic<lull_transition_work*> handed_{nullptr};
  std::atomic<int> runs_{0};
  std::thread::id where_;
};

TEST_F(CRunOn, ParticipantsRunWhereTheEngineWantsEachPieceOnce) {
  create_with_model();
  std::thread sleeps([&] { EXPECT_EQ(sleep(), LULL_OK); });
  lull_transition_work* const work = take();
  EXPECT_EQ(runs_, 0);
  EXPECT_EQ(state(), LULL_STATE_SLEEPING);
  lull_transition_work_run(work);
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(where_, std::this_thread::get_id());
  sleeps.join();
  lull_transition_work_run(work);
  EXPECT_EQ(runs_, 1) << "once";
  lull_transition_work_destroy(work);
  EXPECT_EQ(state(), LULL_STATE_ASLEEP);
}

TEST_F(CRunOn, WorkThatIsDroppedFailsItsTransitionWithAllAsItWas) {
  create_with_model();
  std::string words;
  std::thread sleeps([&] {
    EXPECT_EQ(sleep(), LULL_ERROR_CANCELLED);
    words = lull_last_error_message();
  });
  lull_transition_work_destroy(take());
  sleeps.join();
  EXPECT_THAT(words, HasSubstr("dropped"));
  EXPECT_EQ(runs_, 0);
  EXPECT_EQ(state(), LULL_STATE_AWAKE);
  EXPECT_EQ(observe().failed_sleeps, 1u);
}

TEST_F(CRunOn, NobodyWaitsForTheLoopLongerThanTheyWant) {
  create_with_model();
  std::thread sleeps([&] { EXPECT_EQ(sleep(), LULL_OK); });
  lull_transition_work* const work = take();
  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, LULL_MILLISECOND, nullptr, &lease),
            LULL_ERROR_TIMED_OUT);
  lull_transition_work_run(work);
  lull_transition_work_destroy(work);
  sleeps.join();
}

TEST_F(CRunOn, ALoopThatRunsItLaterThanTheSleeperLivedDoesNothing) {
  options_.idle_time_ns = 0;
  create_with_model();
  EXPECT_EQ(lull_sleeper_poll(sleeper_, nullptr), LULL_OK);
  lull_transition_work* const work = take();
  destroy();
  EXPECT_EQ(model_.released, 1);
  lull_transition_work_run(work);
  EXPECT_EQ(runs_, 0);
  lull_transition_work_destroy(work);
}

TEST_F(CRunOn, AWakeThatIsDroppedTellsAllWhoWait) {
  create_with_model();
  std::thread sleeps([&] { EXPECT_EQ(sleep(), LULL_OK); });
  lull_transition_work* work = take();
  lull_transition_work_run(work);
  lull_transition_work_destroy(work);
  sleeps.join();

  std::atomic<int> told{0};
  const auto count = [](void* user, lull_status status, lull_lease lease) {
    EXPECT_EQ(status, LULL_ERROR_CANCELLED);
    EXPECT_EQ(lease.sleeper, nullptr);
    ++*static_cast<std::atomic<int>*>(user);
  };
  EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, nullptr, count, &told), LULL_OK);
  EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, nullptr, count, &told), LULL_OK);
  EXPECT_TRUE(eventually([&] { return observe().waiting == 2; }));
  lull_transition_work_destroy(take());
  EXPECT_TRUE(eventually([&] { return told == 2; }));
  EXPECT_EQ(state(), LULL_STATE_ASLEEP);
}

class CSleepThatResets : public c_sleeper_test {
 protected:
  CSleepThatResets() {
    resets_of_the_module() = 0;
    lull_registry_options registry;
    lull_registry_options_init(&registry);
    registry.search = 0;
    EXPECT_EQ(lull_registry_create(&registry, &registry_), LULL_OK);
    auto module = sized<lull_module_info>();
    EXPECT_EQ(lull_registry_add(registry_, &context_ops(), &module), LULL_OK) << module.reason;
    EXPECT_EQ(lull_registry_find(registry_, "CONTEXT0", &device_), LULL_OK);
    EXPECT_EQ(lull_sleep_plan_init(&plan_, LULL_LEVEL_RESET), LULL_OK);
    lull_sleeper_reset_options_init(&reset_);
    options_.plan = &plan_;
    options_.reset = &reset_;
  }
  ~CSleepThatResets() override {
    destroy();
    lull_device_destroy(device_);
    lull_registry_destroy(registry_);
  }

  void create_with_devices() {
    create();
    lull_participant who = model_.as_c();
    who.devices = &device_;
    who.device_count = 1;
    ASSERT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK) << lull_last_error_message();
  }
  [[nodiscard]] std::uint64_t generation() const {
    std::uint64_t now = 0;
    EXPECT_EQ(lull_device_generation(device_, &now), LULL_OK);
    return now;
  }

  lull_registry* registry_ = nullptr;
  lull_device* device_ = nullptr;
  lull_sleep_plan plan_{};
  lull_sleeper_reset_options reset_{};
};

TEST_F(CSleepThatResets, ResetsTheDevicesOfItsParticipants) {
  create_with_devices();
  const std::uint64_t before = generation();
  EXPECT_EQ(sleep(), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(resets_of_the_module(), 1);
  EXPECT_EQ(generation(), before + 1);
  EXPECT_EQ(wake(), LULL_OK);
}

TEST_F(CSleepThatResets, IsRefusedWhereNoneNamesADevice) {
  create_with_model();
  EXPECT_EQ(sleep(), LULL_ERROR_UNSUPPORTED);
  EXPECT_EQ(state(), LULL_STATE_AWAKE);
}

TEST_F(CSleepThatResets, UsesTheProgramsOwnReset) {
  std::string reset_device;
  reset_.reset_user = &reset_device;
  reset_.reset = [](void* user, const lull_device* device) {
    auto info = sized<lull_device_info>();
    EXPECT_EQ(lull_device_describe(device, &info), LULL_OK);
    *static_cast<std::string*>(user) = info.name;
    return LULL_OK;
  };
  create_with_devices();
  EXPECT_EQ(sleep(), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(reset_device, "CONTEXT0");
  EXPECT_EQ(resets_of_the_module(), 0);
}

TEST_F(CSleepThatResets, FailsWithAResetThatReturnsAnythingElse) {
  reset_.reset = [](void*, const lull_device*) { return static_cast<lull_status>(-1); };
  create_with_devices();
  EXPECT_EQ(sleep(), LULL_ERROR_CALLBACK);
  EXPECT_THAT(lull_last_error_message(),
              HasSubstr("the reset callback returned -1, which is no lull_status"));
  EXPECT_EQ(state(), LULL_STATE_AWAKE);
}

TEST_F(CSleepThatResets, RefusesWhatLivesThereUnlessToldToDropIt) {
  void* address = nullptr;
  ASSERT_EQ(lull_device_allocate(device_, 4096, &address), LULL_OK);
  create_with_devices();
  EXPECT_EQ(sleep(), LULL_ERROR_BUSY);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("CONTEXT0"));
  EXPECT_EQ(state(), LULL_STATE_AWAKE);
  destroy();
  reset_.drop = 1;
  reset_.settle_timeout_ns = 0;
  create_with_devices();
  EXPECT_EQ(sleep(), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(resets_of_the_module(), 1);
}

TEST_F(CSleepThatResets, TimeoutsOutsideTheirRangeAreRefused) {
  const auto refused = [this](const char* words) {
    EXPECT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_STREQ(lull_last_error_message(), words);
    EXPECT_EQ(sleeper_, nullptr);
    lull_sleeper_reset_options_init(&reset_);
  };
  reset_.drain_timeout_ns = 0;
  refused("options->reset->drain_timeout_ns is 0; it must be above 0");
  reset_.settle_timeout_ns = -3;
  refused("options->reset->settle_timeout_ns is -3; it must not be negative");
  reset_.struct_size = 1;
  EXPECT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("options->reset->struct_size is 1"));
}

}  // namespace
