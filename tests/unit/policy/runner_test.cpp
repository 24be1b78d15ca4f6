// The sleeper's own thread: what it does when something goes wrong again and again, and that
// nothing keeps it, or callers, from their turn.

#include <lull/lull.hpp>

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "support/no_threads.hpp"

namespace {

using namespace std::chrono_literals;
using lull::sleep_state;
using lull::status;
using lull::test::error_of;
using lull::test::eventually;
using testing::HasSubstr;

/// Counts what it is asked for.
class counter : public lull::participant {
 public:
  std::string_view name() const noexcept override { return "counter"; }
  void sleep(const lull::sleep_plan&, lull::transition&) override {
    ++sleeps;
    if (fail_sleep) throw std::runtime_error("cannot sleep");
  }
  void wake(const lull::sleep_plan&, lull::transition&) override { ++wakes; }
  std::atomic<int> sleeps{0};
  std::atomic<int> wakes{0};
  std::atomic<bool> fail_sleep{false};
};

class always_due final : public counter {
 public:
  std::optional<lull::time_point> next_upkeep() const noexcept override {
    return lull::time_point::min();
  }
  void upkeep(lull::time_point) override { ++upkeeps; }
  std::atomic<int> upkeeps{0};
};

class Runner : public testing::Test {
 protected:
  lull::sleeper_options options() {
    lull::sleeper_options result;
    result.idle_time = 30s;
    result.clock = &clock_;
    return result;
  }

  lull::manual_clock clock_;
  std::shared_ptr<counter> who_ = std::make_shared<counter>();
};

// --- upkeep
// ------------------------------------------------------------------------------------------

TEST_F(Runner, UpkeepThatIsAlwaysDueLetsEverybodyElseHaveTheirTurn) {
  lull::sleeper_options watching;  // on the real clock: what spins does so in real time
  watching.watch_idle = true;
  const auto busy = std::make_shared<always_due>();
  lull::sleeper sleeper(watching);
  sleeper.add(busy);
  ASSERT_TRUE(eventually([&] { return busy->upkeeps > 0; }));
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(sleeper.observe().state, sleep_state::awake);
    sleeper.sleep();
    const auto lease = sleeper.acquire();
  }
  EXPECT_EQ(busy->wakes, 20);
}

TEST_F(Runner, UpkeepRunsAtMostSoOften) {
  auto watching = options();
  watching.idle_time.reset();
  watching.watch_idle = true;
  const auto busy = std::make_shared<always_due>();
  lull::sleeper sleeper(watching);
  sleeper.add(busy);
  ASSERT_TRUE(eventually([&] { return busy->upkeeps == 1; }));
  for (int round = 2; round <= 5; ++round) {
    EXPECT_EQ(sleeper.next_deadline(), clock_.now() + 10ms);
    clock_.advance(10ms);
    ASSERT_TRUE(eventually([&] { return busy->upkeeps == round; }));
  }
  EXPECT_EQ(busy->upkeeps, 5) << "the time stands still";
}

// --- sleeps that fail
// ------------------------------------------------------------------------------

TEST_F(Runner, AnIdleSleepThatFailsIsTriedLessAndLessOften) {
  lull::sleeper sleeper(options());
  sleeper.add(who_);
  who_->fail_sleep = true;
  const auto time_to_the_next = [&] {
    const int before = who_->sleeps;
    const auto due = *sleeper.next_deadline() - clock_.now();
    clock_.advance(due - 1ns);
    EXPECT_FALSE(sleeper.poll(clock_.now()));
    clock_.advance(1ns);
    EXPECT_TRUE(sleeper.poll(clock_.now()));
    EXPECT_TRUE(eventually([&] {
      return sleeper.observe().counters.failed_sleeps == static_cast<std::uint64_t>(before) + 1;
    }));
    return due;
  };
  EXPECT_EQ(time_to_the_next(), 30s);
  EXPECT_EQ(time_to_the_next(), 30s);
  EXPECT_EQ(time_to_the_next(), 60s);
  EXPECT_EQ(time_to_the_next(), 120s);
  for (int i = 0; i < 20; ++i) time_to_the_next();
  EXPECT_EQ(time_to_the_next(), 1h);

  // Work does not make it hurry: what was in the way may still be there.
  { const auto lease = sleeper.acquire(); }
  EXPECT_EQ(*sleeper.next_deadline() - clock_.now(), 1h);
  // A sleep that succeeds does.
  who_->fail_sleep = false;
  sleeper.sleep();
  sleeper.wake();
  EXPECT_EQ(*sleeper.next_deadline() - clock_.now(), 30s);
}

TEST_F(Runner, ANewIdleTimeForgetsTheSleepsThatFailed) {
  lull::sleeper sleeper(options());
  sleeper.add(who_);
  who_->fail_sleep = true;
  for (std::uint64_t failures = 1; failures <= 3; ++failures) {
    clock_.advance(*sleeper.next_deadline() - clock_.now());
    EXPECT_TRUE(sleeper.poll(clock_.now()));
    ASSERT_TRUE(eventually([&] { return sleeper.observe().counters.failed_sleeps == failures; }));
  }
  sleeper.set_idle_time(5s);
  EXPECT_EQ(*sleeper.next_deadline() - clock_.now(), 5s);
}

// --- an idle time of 0
// -----------------------------------------------------------------------------

TEST_F(Runner, AnIdleTimeOfZeroSleepsAsSoonAsThereIsNoWork) {
  auto at_once = options();
  at_once.idle_time = 0s;
  at_once.watch_idle = true;
  lull::sleeper sleeper(at_once);
  {
    const auto awake = sleeper.acquire();  // it may be asleep before it has anything to put away
    sleeper.add(who_);
  }
  ASSERT_TRUE(eventually([&] { return sleeper.observe().state == sleep_state::asleep; }));
  for (int round = 1; round <= 20; ++round) {
    {
      const auto lease =
          sleeper.acquire();  // never ends where the sleep takes the turn of the waiter
      EXPECT_EQ(sleeper.observe().state, sleep_state::awake);
    }
    clock_.advance(10ms);
    ASSERT_TRUE(eventually([&] { return sleeper.observe().state == sleep_state::asleep; }));
    EXPECT_EQ(who_->wakes, round);
  }
}

// --- threads that cannot be started
// ----------------------------------------------------------------

TEST_F(Runner, AThreadThatCannotBeStartedIsAnErrorAndIsTriedAgain) {
  lull::sleeper sleeper(options());
  sleeper.add(who_);
  clock_.advance(30s);
  {
    const lull::test::no_threads now;
    for (int i = 0; i < 2; ++i) {
      const lull::error failure = error_of([&] { sleeper.poll(clock_.now()); });
      EXPECT_EQ(failure.code(), status::out_of_host_memory);
      EXPECT_THAT(failure.what(), HasSubstr("thread"));
      EXPECT_EQ(error_of([&] { sleeper.sleep(); }).code(), status::out_of_host_memory);
    }
  }
  EXPECT_EQ(sleeper.observe().state, sleep_state::awake);
  EXPECT_NO_THROW(sleeper.add(std::make_shared<counter>())) << "no sleep is under way";
  EXPECT_TRUE(sleeper.poll(clock_.now()));
  ASSERT_TRUE(eventually([&] { return sleeper.observe().state == sleep_state::asleep; }));
  const auto lease = sleeper.acquire();
  EXPECT_EQ(who_->wakes, 1);
}

TEST_F(Runner, AnEmptyIdleTimeIsNoNegativeOne) {
  auto negative = options();
  negative.idle_time = -1ns;
  EXPECT_EQ(error_of([&] { const lull::sleeper refused(negative); }).code(),
            status::invalid_argument);
}

}  // namespace
