// A sleep by which the image of the process is replaced, as far as it gets where it cannot be, and
// the beginning of a sleeper in a new image. Real ones: process/rebirth_test.cpp, and the example
// server's.

#include <lull/rebirth.hpp>
#include <lull/registry.hpp>
#include <lull/sleeper.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "support/scratch_folder.hpp"

namespace lull::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t size = 1 << 20;

class RebirthSleep : public testing::Test {
 protected:
  RebirthSleep() {
    static_cast<void>(take_rebirth());
    // What the kernel takes for a program until it looks into it.
    std::ofstream(program_) << "\x7f garbage";
    fs::permissions(program_, fs::perms::owner_all);
    weights_.refill([this](const refill_target& to) { write(to); });
  }

  void write(const refill_target& to) {
    ++refills_;
    std::memset(to.address(), 7, to.size_bytes());
  }
  void expect_contents() const {
    EXPECT_EQ(*static_cast<const char*>(weights_.acquire().address()), 7);
  }

  sleeper_options options() {
    sleeper_options how;
    how.plan = plan_for(sleep_level::offload);
    how.drain_timeout = 200ms;
    how.rebirth.how.program = program_;
    how.rebirth.hand_over = [this](const sleep_counters& then) {
      then_ = then;
      if (during_) during_();
      return rebirth_handover{{}, 3, "blob"};
    };
    how.rebirth.called_off = [this] { ++called_off_; };
    return how;
  }

  scratch_folder folder_;
  const fs::path program_ = folder_.path() / "program";
  const device host_ = registry::shared().find("HOST");
  memory memory_;
  int refills_ = 0;
  region weights_ = memory_.allocate(
      host_, size, {.tag = "weights", .refill = [this](const refill_target& to) { write(to); }});
  std::optional<sleep_counters> then_;
  std::function<void()> during_;
  int called_off_ = 0;
};

TEST_F(RebirthSleep, OneThatFailsLeavesTheSleepThatItCameFrom) {
  sleeper asleep(options());
  asleep.manage(memory_);
  asleep.sleep();
  const error failure = error_of([&] { asleep.deepen(plan_for(sleep_level::rebirth)); });
  EXPECT_EQ(failure.code(), status::io);
  EXPECT_THAT(failure.what(), HasSubstr("execve"));
  ASSERT_TRUE(then_);
  EXPECT_EQ(then_->sleeps, 1u);
  EXPECT_EQ(then_->deepenings, 1u) << "with the one under way";
  EXPECT_EQ(called_off_, 1);
  const sleeper_snapshot seen = asleep.observe();
  EXPECT_EQ(seen.state, sleep_state::asleep);
  EXPECT_EQ(seen.plan, "offload");
  EXPECT_EQ(seen.counters.deepenings, 0u);
  EXPECT_TRUE(seen.last->rolled_back);
  EXPECT_EQ(weights_.state(), residency::offloaded);
  asleep.wake();
  expect_contents();
  EXPECT_EQ(refills_, 1) << "nothing of it was given up";
}

TEST_F(RebirthSleep, OneThatFailsFromAwakeLeavesItAwakeWithNothingGivenUp) {
  sleeper awake(options());
  awake.manage(memory_);
  EXPECT_EQ(error_of([&] { awake.sleep(plan_for(sleep_level::rebirth)); }).code(), status::io);
  EXPECT_EQ(then_->sleeps, 1u);
  EXPECT_EQ(called_off_, 1);
  EXPECT_EQ(awake.observe().state, sleep_state::awake);
  EXPECT_EQ(awake.observe().counters.failed_sleeps, 1u);
  expect_contents();
  EXPECT_EQ(refills_, 1);
}

TEST_F(RebirthSleep, WhatIsKnownBeforehandIsRefusedBeforeAnythingIsTouched) {
  sleeper_options how = options();
  how.rebirth.how.program = folder_.path() / "nothing";
  sleeper awake(how);
  awake.manage(memory_);
  EXPECT_EQ(error_of([&] { awake.sleep(plan_for(sleep_level::rebirth)); }).code(),
            status::not_found);
  EXPECT_FALSE(then_);
  EXPECT_EQ(called_off_, 0);
  EXPECT_THAT(awake.observe().last->steps, IsEmpty());
  EXPECT_EQ(refills_, 1);
}

TEST_F(RebirthSleep, AProgramThatHandsNothingOverHasNoSuchLevel) {
  sleeper_options how = options();
  how.rebirth = {};
  sleeper without(how);
  without.manage(memory_);
  const error refused = error_of([&] { without.sleep(plan_for(sleep_level::rebirth)); });
  EXPECT_EQ(refused.code(), status::unsupported);
  EXPECT_THAT(refused.what(), HasSubstr("needs sleeper_rebirth_options::hand_over, and there is "
                                        "none; the nearest that would do is 'discard'"));
  sleep_plan any = plan_for(sleep_level::rebirth);
  any.fallback = true;
  const transition_report report = without.sleep(any);
  EXPECT_EQ(report.plan, "discard");
  EXPECT_EQ(report.fell_back_from, "rebirth");
  how.ladder = {{30s, plan_for(sleep_level::offload)}, {1h, plan_for(sleep_level::rebirth)}};
  EXPECT_EQ(error_of([&] { const sleeper never(how); }).code(), status::unsupported);
}

TEST_F(RebirthSleep, WhoWaitsForALeaseGoesFirst) {
  sleeper asleep(options());
  asleep.manage(memory_);
  asleep.sleep();
  std::thread waiter;
  during_ = [&] {
    waiter = std::thread([&] { const auto work = asleep.acquire(); });
    EXPECT_TRUE(eventually([&] { return asleep.observe().waiting == 1; }));
  };
  const error failure = error_of([&] { asleep.deepen(plan_for(sleep_level::rebirth)); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_EQ(called_off_, 1);
  waiter.join();
  EXPECT_EQ(asleep.observe().state, sleep_state::awake);
}

TEST_F(RebirthSleep, AHandOverThatThrowsCallsItOff) {
  sleeper asleep(options());
  asleep.manage(memory_);
  asleep.sleep();
  during_ = [] { throw error(status::busy, "a client does not leave"); };
  const error failure = error_of([&] { asleep.deepen(plan_for(sleep_level::rebirth)); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("does not leave"));
  EXPECT_EQ(called_off_, 0) << "it has not returned";
  EXPECT_EQ(asleep.observe().plan, "offload");
}

TEST_F(RebirthSleep, NotWhileAnotherSleeperOfTheProcessIsAwake) {
  sleeper asleep(options());
  asleep.manage(memory_);
  asleep.sleep();
  memory others;
  sleeper other(options());
  other.manage(others);
  const error failure = error_of([&] { asleep.deepen(plan_for(sleep_level::rebirth)); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("1 of its sleepers do not sleep"));
  EXPECT_FALSE(then_);
  other.sleep();
  EXPECT_EQ(error_of([&] { asleep.deepen(plan_for(sleep_level::rebirth)); }).code(), status::io)
      << "it was tried";
  other.wake();
  EXPECT_EQ(error_of([&] { asleep.deepen(plan_for(sleep_level::rebirth)); }).code(), status::busy);
}

// --- the next image -----------------------------------------------------------------------------

TEST_F(RebirthSleep, TheNextImageBeginsAsleepAndItsFirstLeaseWakes) {
  sleeper begun(options());
  std::string woken_from;
  begun.add(make_participant(
      "engine", [](const sleep_plan&, transition&) {},
      [&](const sleep_plan& plan, transition&) { woken_from = plan.name; }));
  transition_report last;
  last.plan = "rebirth";
  last.elapsed = 5ms;
  sleep_counters counters;
  counters.sleeps = 4;
  counters.wakes = 3;
  begun.begin_asleep(plan_for(sleep_level::rebirth), counters, last);
  sleeper_snapshot seen = begun.observe();
  EXPECT_EQ(seen.state, sleep_state::asleep);
  EXPECT_EQ(seen.plan, "rebirth");
  EXPECT_EQ(seen.counters.sleeps, 4u);
  EXPECT_EQ(seen.last->elapsed, 5ms);
  EXPECT_EQ(woken_from, "") << "nobody asked";
  EXPECT_EQ(begun.sleep().steps.size(), 0u) << "it sleeps already";
  {
    const auto work = begun.acquire();
    EXPECT_EQ(woken_from, "rebirth");
    EXPECT_EQ(begun.observe().counters.wakes, 4u);
  }
  begun.sleep();
  EXPECT_EQ(begun.observe().counters.sleeps, 5u);
  EXPECT_EQ(begun.observe().plan, "offload");
}

TEST_F(RebirthSleep, OneThatWorksCannotBeginAsleep) {
  sleeper working(options());
  working.manage(memory_);
  const auto work = working.acquire();
  EXPECT_EQ(error_of([&] { working.begin_asleep(plan_for(sleep_level::rebirth)); }).code(),
            status::busy);
  EXPECT_EQ(working.observe().state, sleep_state::awake);
}

}  // namespace
}  // namespace lull::test
