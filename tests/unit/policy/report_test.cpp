// What is in the report of a transition that failed, and what a stranger's exceptions come to.

#include <lull/lull.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"

namespace {

using namespace lull::literals;
using lull::status;
using lull::test::error_of;
using testing::HasSubstr;

class TransitionReport : public testing::Test {
 protected:
  static lull::registry_options built_in_only() {
    lull::registry_options options;
    options.search = false;
    return options;
  }

  lull::registry registry_{built_in_only()};
  lull::device host_ = registry_.find("HOST");
  lull::memory memory_;
};

TEST_F(TransitionReport, HasTheStepOfATransferThatFailed) {
  const lull::region weights =
      memory_.allocate(host_, 1_MiB, {.refill = [](const lull::refill_target&) { throw 4711; }});
  lull::sleeper sleeper;
  sleeper.manage(memory_);
  sleeper.sleep(lull::plan_for(lull::sleep_level::discard));

  const lull::error failure = error_of([&] { sleeper.wake(); });
  EXPECT_EQ(failure.code(), status::callback);
  EXPECT_EQ(weights.state(), lull::residency::discarded) << "rolled back";
  const auto report = sleeper.observe().last;
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->succeeded);
  std::vector<std::string> steps;
  for (const auto& each : report->steps) steps.push_back(each.name);
  EXPECT_THAT(steps, testing::ElementsAre("obtain", "map", "fill"));
  ASSERT_EQ(report->devices.size(), 1u);
  EXPECT_NE(report->devices[0].after.source, lull::memory_source::unknown);
}

TEST_F(TransitionReport, ATransferThatFailsReportsToItsCaller) {
  const lull::region weights = memory_.allocate(host_, 1_MiB);
  lull::transfer_report failed;
  const auto refuse = [](const lull::transfer_progress&) { throw 4711; };
  const lull::error failure = error_of([&] {
    memory_.evict({lull::contents_action::offload}, {.progress = refuse, .failed_report = &failed});
  });
  EXPECT_EQ(failure.code(), status::callback);
  ASSERT_EQ(failed.steps.size(), 1u);
  EXPECT_EQ(failed.steps[0].name, "back up");
}

/// Throws what is no exception of the standard library.
class stranger final : public lull::participant {
 public:
  std::string_view name() const noexcept override { return "stranger"; }
  void sleep(const lull::sleep_plan&, lull::transition&) override {
    if (rude_asleep) throw 4711;
  }
  void wake(const lull::sleep_plan&, lull::transition&) override {
    if (rude_awake) throw 4711;
  }
  bool rude_asleep = false;
  bool rude_awake = false;
};

TEST_F(TransitionReport, AParticipantThatThrowsAnIntSkipsNoRollback) {
  const lull::region weights = memory_.allocate(host_, 1_MiB);
  const auto odd = std::make_shared<stranger>();
  lull::sleeper sleeper;
  sleeper.add(odd);  // sleeps last
  sleeper.manage(memory_);

  odd->rude_asleep = true;
  const lull::error asleep =
      error_of([&] { sleeper.sleep(lull::plan_for(lull::sleep_level::offload)); });
  EXPECT_EQ(asleep.code(), status::callback);
  EXPECT_THAT(asleep.what(), HasSubstr("stranger"));
  EXPECT_EQ(weights.state(), lull::residency::resident);

  odd->rude_asleep = false;
  sleeper.sleep(lull::plan_for(lull::sleep_level::offload));
  odd->rude_awake = true;
  EXPECT_EQ(error_of([&] { sleeper.wake(); }).code(), status::callback);
  odd->rude_awake = false;
  sleeper.wake();
  EXPECT_EQ(weights.state(), lull::residency::resident);
}

TEST_F(TransitionReport, ARollbackHasTheSleepersClockAndLog) {
  struct watcher final : lull::participant {
    std::string_view name() const noexcept override { return "watcher"; }
    void sleep(const lull::sleep_plan&, lull::transition&) override {}
    void wake(const lull::sleep_plan&, lull::transition& current) override {
      clock = &current.clock();
      current.add_problem("woken again");
    }
    const lull::clock* clock = nullptr;
  };
  lull::manual_clock time;
  std::string logged;
  lull::sleeper_options options;
  options.clock = &time;
  options.log = lull::log_sink([&](lull::log_level, std::string_view line) { logged += line; });
  const auto odd = std::make_shared<stranger>();
  odd->rude_asleep = true;
  const auto seen = std::make_shared<watcher>();
  {
    lull::sleeper sleeper(options);
    sleeper.add(odd);  // sleeps last
    sleeper.add(seen);
    error_of([&] { sleeper.sleep(); });
  }  // it logs after the sleep has returned
  EXPECT_EQ(seen->clock, &time);
  EXPECT_THAT(logged, HasSubstr("woken again"));
}

TEST_F(TransitionReport, ProblemsAreKeptAndLogged) {
  class warns final : public lull::participant {
   public:
    std::string_view name() const noexcept override { return "warns"; }
    void sleep(const lull::sleep_plan&, lull::transition& current) override {
      current.add_problem("the cache was cold");
    }
    void wake(const lull::sleep_plan&, lull::transition&) override {}
  };
  std::vector<std::string> logged;
  lull::sleeper_options options;
  options.log = lull::log_sink([&](lull::log_level level, std::string_view line) {
    if (level == lull::log_level::warning) logged.emplace_back(line);
  });
  {
    lull::sleeper sleeper(options);
    sleeper.add(std::make_shared<warns>());
    EXPECT_THAT(sleeper.sleep().problems, testing::ElementsAre("the cache was cold"));
  }  // it logs after the sleep has returned
  EXPECT_THAT(logged, testing::ElementsAre("the cache was cold"));
}

}  // namespace
