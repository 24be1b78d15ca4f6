// Leases and participants where there is no memory: each allocation of a thread fails in turn.

#include <lull/lull.h>

#include <atomic>
#include <cstdint>

#include <gtest/gtest.h>

#include "capi/no_memory_fixture.hpp"
#include "support/eventually.hpp"

namespace {

using lull::test::eventually;
using lull::test::with_failure_at;

class CNoMemoryForLeases : public lull::test::CNoMemory {};
class CNoMemoryForParticipants : public lull::test::CNoMemory {};

TEST_F(CNoMemoryForLeases, AWaitTakesNone) {
  lull_acquire_options options;
  lull_acquire_options_init(&options);
  lull_cancel* cancel = nullptr;
  ASSERT_EQ(lull_cancel_create(&cancel), LULL_OK);
  options.cancel = cancel;
  options.keep_waiting = [](void*) { return 1; };
  options.check_every_ns = LULL_MILLISECOND;
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, &plan_, nullptr), LULL_OK);
  lull_lease lease{};
  EXPECT_FALSE(with_failure_at(
      1, [&] { EXPECT_EQ(lull_sleeper_acquire_with(sleeper_, &options, &lease), LULL_OK); }));
  EXPECT_EQ(leases(), 1u);
  lull_lease_release(&lease);
  lull_cancel_destroy(cancel);
}

TEST_F(CNoMemoryForLeases, WhatGivesALeaseWhileAwakeTakesNone) {
  lull_lease lease{};
  lull_lease more{};
  const auto work = [&] {
    EXPECT_EQ(lull_sleeper_try_acquire(sleeper_, LULL_USE_OBSERVE, &lease), LULL_OK);
    EXPECT_EQ(lull_lease_share(&lease, &more), LULL_OK);
    lull_lease_release(&lease);
    lull_lease_release(&more);
    EXPECT_EQ(lull_sleeper_acquire(sleeper_, LULL_FOREVER, nullptr, &lease), LULL_OK);
    lull_lease_release(&lease);
  };
  EXPECT_FALSE(with_failure_at(1, work));
}

TEST_F(CNoMemoryForLeases, AnAsyncWaitIsBegunAndToldOrFailsAndIsNot) {
  struct told {
    std::atomic<int> times{0};
    lull_lease lease{};
  };
  std::uint64_t failures = 0;
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, &plan_, nullptr), LULL_OK);
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    told told;
    lull_status code = LULL_OK;
    const bool failed = with_failure_at(n, [&] {
      code = lull_sleeper_acquire_async(
          sleeper_, nullptr,
          [](void* user, lull_status status, lull_lease lease) {
            EXPECT_EQ(status, LULL_OK);
            static_cast<struct told*>(user)->lease = lease;
            ++static_cast<struct told*>(user)->times;
          },
          &told);
    });
    if (code == LULL_OK) {
      EXPECT_TRUE(eventually([&] { return told.times == 1; }));
      lull_lease_release(&told.lease);
    } else {
      EXPECT_EQ(code, LULL_ERROR_OUT_OF_HOST_MEMORY) << lull_last_error_message();
      EXPECT_EQ(told.times, 0);
      ++failures;
    }
    EXPECT_EQ(leases(), 0u);
    if (!failed) break;
    ASSERT_EQ(lull_sleeper_sleep(sleeper_, &plan_, nullptr), LULL_OK);
  }
  EXPECT_GT(failures, 0u) << "the allocations are seen";
}

/// A model that is there or not, as the sleeper has it.
struct model {
  bool loaded = true;
  bool loading_fails = false;
  int released = 0;

  lull_participant as_c() {
    lull_participant who;
    lull_participant_init(&who);
    who.name = "model";
    who.user = this;
    who.sleep = [](void* user, const lull_sleep_plan* plan, lull_transition* now) {
      say(plan, now);
      static_cast<model*>(user)->loaded = false;
      return LULL_OK;
    };
    who.wake = [](void* user, const lull_sleep_plan* plan, lull_transition* now) {
      auto& self = *static_cast<model*>(user);
      say(plan, now);
      if (self.loading_fails) return lull_transition_fail(now, LULL_ERROR_IO, "no such file");
      self.loaded = true;
      return LULL_OK;
    };
    who.release = [](void* user) { ++static_cast<model*>(user)->released; };
    return who;
  }

 private:
  /// What can be said, whether there is memory for it or not.
  static void say(const lull_sleep_plan* plan, lull_transition* now) {
    EXPECT_EQ(plan->contents.tag_count, 1u);
    static_cast<void>(lull_transition_add_step(now, "a step with a name that takes memory", 1, 0));
    static_cast<void>(lull_transition_add_problem(now, "a problem with words that take memory"));
    EXPECT_EQ(lull_transition_set_progress(now, 1, 2), LULL_OK);
  }
};

TEST_F(CNoMemoryForParticipants, AParticipantIsAddedOrGivenBack) {
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    model one;
    lull_participant who = one.as_c();
    who.devices = &device_;
    who.device_count = 1;
    lull_sleeper* sleeper = nullptr;
    ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
    lull_status code = LULL_OK;
    const bool failed = with_failure_at(n, [&] { code = lull_sleeper_add(sleeper, &who); });
    EXPECT_EQ(one.released, code == LULL_OK ? 0 : 1);
    if (code != LULL_OK) {
      EXPECT_EQ(code, LULL_ERROR_OUT_OF_HOST_MEMORY) << lull_last_error_message();
      ++failures;
    }
    lull_sleeper_destroy(sleeper);
    EXPECT_EQ(one.released, 1);
    if (!failed) break;
  }
  EXPECT_GT(failures, 0u) << "the allocations are seen";
}

/// A sleeper whose participants run on the thread of the test, where allocations fail.
class CNoMemoryOnTheLoop : public lull::test::CNoMemory {
 protected:
  CNoMemoryOnTheLoop() {
    lull_sleeper_options options;
    lull_sleeper_options_init(&options);
    plan_.contents.tags = &keeps_;
    plan_.contents.tag_count = 1;
    options.plan = &plan_;
    options.idle_time_ns = 0;
    options.run_on = [](void* user, lull_transition_work* work) {
      static_cast<std::atomic<lull_transition_work*>*>(user)->store(work);
    };
    options.run_on_user = &handed_;
    EXPECT_EQ(lull_sleeper_create(&options, &loop_), LULL_OK);
    for (model* const each : {&first_, &second_}) {
      const lull_participant who = each->as_c();
      EXPECT_EQ(lull_sleeper_add(loop_, &who), LULL_OK);
    }
  }
  ~CNoMemoryOnTheLoop() override { lull_sleeper_destroy(loop_); }

  /// Carries a transition out here, with the n-th allocation failing.
  /// @return whether it came to that
  bool run(std::uint64_t n) {
    EXPECT_TRUE(eventually([&] { return handed_ != nullptr; }));
    lull_transition_work* const work = handed_.exchange(nullptr);
    const bool failed = with_failure_at(n, [&] { lull_transition_work_run(work); });
    lull_transition_work_destroy(work);
    return failed;
  }

  /// Starts a wake.
  void ask_for_lease() {
    told_ = 0;
    EXPECT_EQ(lull_sleeper_acquire_async(
                  loop_, nullptr,
                  [](void* user, lull_status status, lull_lease lease) {
                    auto& self = *static_cast<CNoMemoryOnTheLoop*>(user);
                    self.code_ = status;
                    lull_lease_release(&lease);
                    ++self.told_;
                  },
                  this),
              LULL_OK);
  }

  [[nodiscard]] lull_sleep_state state_of_loop() const {
    lull_sleeper_snapshot seen{};
    seen.struct_size = sizeof seen;
    EXPECT_EQ(lull_sleeper_observe(loop_, &seen), LULL_OK);
    return seen.state;
  }
  [[nodiscard]] bool has_ended() const {
    const lull_sleep_state now = state_of_loop();
    return now == LULL_STATE_AWAKE || now == LULL_STATE_ASLEEP;
  }

  /// Puts it to sleep, with nothing failing.
  void fall_asleep() {
    EXPECT_TRUE(eventually([&] {
      std::int32_t started = 0;
      EXPECT_EQ(lull_sleeper_poll(loop_, &started), LULL_OK);
      return started != 0;
    }));
    run(0);
    EXPECT_TRUE(eventually([&] { return state_of_loop() == LULL_STATE_ASLEEP; }));
  }

  const lull_tag_action keeps_{"a tag with a name that takes memory", LULL_CONTENTS_KEEP};
  model first_;
  model second_;
  lull_sleeper* loop_ = nullptr;
  std::atomic<lull_transition_work*> handed_{nullptr};
  std::atomic<int> told_{0};
  std::atomic<lull_status> code_{LULL_OK};
};

TEST_F(CNoMemoryOnTheLoop, AWakeIsAllOrNothing) {
  for (const bool fails : {false, true}) {
    SCOPED_TRACE(fails);
    second_.loading_fails = fails;
    fall_asleep();
    std::uint64_t failures = 0;
    for (std::uint64_t n = 1;; ++n) {
      SCOPED_TRACE(n);
      ask_for_lease();
      const bool failed = run(n);
      EXPECT_TRUE(eventually([&] { return told_ == 1; }));
      EXPECT_EQ(first_.loaded, code_ == LULL_OK);
      EXPECT_EQ(second_.loaded, code_ == LULL_OK);
      EXPECT_EQ(state_of_loop(), code_ == LULL_OK ? LULL_STATE_AWAKE : LULL_STATE_ASLEEP);
      if (code_ == LULL_ERROR_OUT_OF_HOST_MEMORY) ++failures;
      if (!failed) break;
      if (code_ == LULL_OK) fall_asleep();
    }
    EXPECT_EQ(code_, fails ? LULL_ERROR_IO : LULL_OK);
    EXPECT_GT(failures, 0u) << "the allocations are seen";
    if (!fails) continue;
    second_.loading_fails = false;
    ask_for_lease();
    run(0);
    EXPECT_TRUE(eventually([&] { return told_ == 1; }));
    EXPECT_EQ(code_, LULL_OK);
  }
}

TEST_F(CNoMemoryOnTheLoop, ASleepIsAllOrNothing) {
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    EXPECT_TRUE(eventually([&] {
      lull_lease lease{};
      // Work ends the waiting after a sleep that failed.
      EXPECT_EQ(lull_sleeper_set_idle_time(loop_, 0), LULL_OK);
      EXPECT_EQ(lull_sleeper_try_acquire(loop_, LULL_USE_WORK, &lease), LULL_OK);
      lull_lease_release(&lease);
      std::int32_t started = 0;
      EXPECT_EQ(lull_sleeper_poll(loop_, &started), LULL_OK);
      return started != 0;
    }));
    const bool failed = run(n);
    EXPECT_TRUE(eventually([&] { return has_ended(); }));
    const bool asleep = state_of_loop() == LULL_STATE_ASLEEP;
    EXPECT_EQ(first_.loaded, !asleep);
    EXPECT_EQ(second_.loaded, !asleep);
    if (!asleep) ++failures;
    if (!failed) {
      EXPECT_TRUE(asleep);
      break;
    }
    if (!asleep) continue;
    ask_for_lease();
    run(0);
    EXPECT_TRUE(eventually([&] { return told_ == 1; }));
  }
  EXPECT_GT(failures, 0u) << "the allocations are seen";
}

}  // namespace
