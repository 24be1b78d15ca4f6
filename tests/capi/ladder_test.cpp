// Deeper sleeps without waking, from C.

#include <lull/lull.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/sleeper_fixture.hpp"

namespace {

using lull::test::c_sleeper_test;
using lull::test::sized;
using testing::ElementsAre;
using testing::HasSubstr;

lull_sleep_plan plan_of(lull_sleep_level level) {
  lull_sleep_plan plan;
  EXPECT_EQ(lull_sleep_plan_init(&plan, level), LULL_OK);
  return plan;
}

class CLadder : public c_sleeper_test {
 protected:
  void use_ladder(const std::vector<lull_sleep_rung>& rungs) {
    options_.ladder = rungs.data();
    options_.ladder_count = rungs.size();
  }
  lull_sleeper_snapshot seen() const {
    auto snapshot = sized<lull_sleeper_snapshot>();
    EXPECT_EQ(lull_sleeper_observe(sleeper_, &snapshot), LULL_OK);
    return snapshot;
  }
  /// Adds a participant that notes its calls.
  void add_diver(bool can_deepen = true) {
    lull_participant who;
    lull_participant_init(&who);
    who.name = "diver";
    who.user = this;
    who.sleep = who.wake = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
    if (can_deepen) {
      who.deepen = [](void* user, const lull_sleep_plan* from, const lull_sleep_plan* to,
                      lull_transition* now) {
        auto& self = *static_cast<CLadder*>(user);
        self.log_.push_back(std::string(from->name) + " to " + to->name);
        if (self.fail_) return lull_transition_fail(now, LULL_ERROR_IO, "too deep");
        return LULL_OK;
      };
      who.undo_deepen = [](void* user, const lull_sleep_plan* from, const lull_sleep_plan* to,
                           lull_transition*) {
        static_cast<CLadder*>(user)->log_.push_back(std::string(to->name) + " back to " +
                                                    from->name);
        return LULL_OK;
      };
      who.deepened = [](void* user, const lull_sleep_plan* plan, lull_transition*) {
        static_cast<CLadder*>(user)->log_.push_back(std::string("is at ") + plan->name);
        return LULL_OK;
      };
    }
    ASSERT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK);
  }
  lull_report_info described(lull_report* report) const {
    auto info = sized<lull_report_info>();
    EXPECT_EQ(lull_report_describe(report, &info), LULL_OK);
    lull_report_destroy(report);
    return info;
  }

  const lull_sleep_plan offload_ = plan_of(LULL_LEVEL_OFFLOAD);
  const lull_sleep_plan discard_ = plan_of(LULL_LEVEL_DISCARD);
  std::vector<std::string> log_;
  bool fail_ = false;
};

TEST_F(CLadder, IsClimbedDownByNeed) {
  const std::vector<lull_sleep_rung> rungs{{LULL_MINUTE, &offload_}, {5 * LULL_MINUTE, &discard_}};
  use_ladder(rungs);
  create();
  add_diver();
  EXPECT_STREQ(seen().plan, "offload");
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, nullptr, nullptr), LULL_OK);
  lull_report* report = nullptr;
  ASSERT_EQ(lull_sleeper_deepen(sleeper_, nullptr, &report), LULL_OK) << lull_last_error_message();
  const auto info = described(report);
  EXPECT_STREQ(info.what, "deepen");
  EXPECT_STREQ(info.plan, "discard");
  EXPECT_STREQ(info.fell_back_from, "");
  EXPECT_THAT(log_, ElementsAre("offload to discard", "is at discard"));
  EXPECT_STREQ(seen().plan, "discard");
  EXPECT_EQ(seen().state, LULL_STATE_ASLEEP);
  EXPECT_EQ(seen().deepening, 0);
  EXPECT_EQ(seen().deepenings, 1u);
  EXPECT_EQ(lull_sleeper_deepen(sleeper_, nullptr, nullptr), LULL_ERROR_NOT_FOUND);
}

TEST_F(CLadder, GoesDownAsTimePasses) {
  const std::vector<lull_sleep_rung> rungs{{0, &offload_}, {1, &discard_}};
  use_ladder(rungs);
  options_.watch_idle = 1;
  create();
  while (std::string(seen().plan) != "discard") {
  }
  EXPECT_EQ(seen().state, LULL_STATE_ASLEEP);
}

TEST_F(CLadder, ThatDoesNotGoDownIsRefused) {
  const std::vector<lull_sleep_rung> up{{LULL_MINUTE, &discard_}, {5 * LULL_MINUTE, &offload_}};
  use_ladder(up);
  EXPECT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("rung 2 ('offload') is not deeper"));

  const std::vector<lull_sleep_rung> empty{{LULL_MINUTE, nullptr}};
  use_ladder(empty);
  EXPECT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("options->ladder[].plan is null"));
  options_.ladder = nullptr;
  EXPECT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("options->ladder is null"));

  const std::vector<lull_sleep_rung> one{{LULL_MINUTE, &offload_}};
  use_ladder(one);
  options_.plan = &discard_;
  EXPECT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_ERROR_INVALID_ARGUMENT);
  options_.plan = nullptr;
  options_.idle_time_ns = 0;
  EXPECT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_ERROR_INVALID_ARGUMENT);
}

TEST_F(CLadder, AFailureIsTheParticipantsAndTheSleepStays) {
  create();
  add_diver();
  add_diver();
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, &offload_, nullptr), LULL_OK);
  fail_ = true;
  EXPECT_EQ(lull_sleeper_deepen(sleeper_, &discard_, nullptr), LULL_ERROR_IO);
  EXPECT_STREQ(lull_last_error_message(), "diver: too deep");
  EXPECT_THAT(log_, ElementsAre("offload to discard"));
  EXPECT_STREQ(seen().plan, "offload");
  EXPECT_EQ(seen().failed_deepenings, 1u);
}

TEST_F(CLadder, AParticipantWithoutTheFunctionCannot) {
  create();
  add_diver();
  add_diver(false);
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, &offload_, nullptr), LULL_OK);
  EXPECT_EQ(lull_sleeper_deepen(sleeper_, &discard_, nullptr), LULL_ERROR_UNSUPPORTED);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("cannot go to a deeper sleep"));
}

TEST_F(CLadder, WhoIsTakenBackIsToldBothPlans) {
  create();
  add_diver(false);
  add_diver();
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, &offload_, nullptr), LULL_OK);
  EXPECT_EQ(lull_sleeper_deepen(sleeper_, &discard_, nullptr), LULL_ERROR_UNSUPPORTED);
  EXPECT_THAT(log_, ElementsAre("offload to discard", "discard back to offload"));
}

TEST_F(CLadder, FallsBackWhereThePlanAllowsIt) {
  create();
  add_diver();
  lull_sleep_plan reset = discard_;
  reset.name = "night";
  reset.context = LULL_CONTEXT_RESET;
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, &reset, nullptr), LULL_ERROR_UNSUPPORTED);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("the nearest that would do is 'discard'"));
  reset.fallback = 1;
  lull_report* report = nullptr;
  ASSERT_EQ(lull_sleeper_sleep(sleeper_, &reset, &report), LULL_OK);
  const auto info = described(report);
  EXPECT_STREQ(info.plan, "discard");
  EXPECT_STREQ(info.fell_back_from, "night");
}

TEST_F(CLadder, AwakeThereIsNothingToDeepen) {
  create();
  EXPECT_EQ(lull_sleeper_deepen(sleeper_, &discard_, nullptr), LULL_ERROR_BUSY);
}

}  // namespace
