#include <lull/lull.hpp>

#include <atomic>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"

namespace {

using namespace std::chrono_literals;
using lull::sleep_state;
using lull::status;
using lull::test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;

/// A participant that notes what it is asked to do, and can be told to fail or to hold on.
class recorder final : public lull::participant {
 public:
  explicit recorder(std::string name, std::vector<std::string>* log = nullptr)
      : name_(std::move(name)), log_(log) {}

  std::string_view name() const noexcept override { return name_; }

  void sleep(const lull::sleep_plan& plan, lull::transition& current) override {
    note("sleep");
    plans.push_back(plan.name);
    pass(current);
    ++sleeps;
    if (fail_sleep) throw std::runtime_error("cannot sleep");
  }

  void wake(const lull::sleep_plan&, lull::transition& current) override {
    note("wake");
    pass(current);
    ++wakes;
    if (fail_wake) throw lull::error(status::out_of_device_memory, "no room");
  }

  /// Makes the next calls wait; returns when open() is called or the transition is cancelled.
  void hold() { held_ = true; }
  void open() { held_ = false; }

  std::atomic<int> sleeps{0};
  std::atomic<int> wakes{0};
  std::atomic<bool> inside{false};
  std::atomic<bool> fail_sleep{false};
  std::atomic<bool> fail_wake{false};
  std::vector<std::string> plans;

 private:
  void note(const char* what) {
    if (log_ != nullptr) log_->push_back(name_ + " " + what);
  }
  void pass(const lull::transition& current) {
    inside = true;
    while (held_) {
      if (current.stop().stop_requested()) throw lull::error(status::cancelled, "told to stop");
      std::this_thread::yield();
    }
    inside = false;
  }

  std::string name_;
  std::vector<std::string>* log_;
  std::atomic<bool> held_{false};
};

/// Waits for something that another thread is about to do; the test's own time limit bounds it.
template <class Condition>
void yield_until(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

class Sleeper : public testing::Test {
 protected:
  lull::sleeper_options options() {
    lull::sleeper_options result;
    result.idle_time = 30s;
    result.clock = &clock_;
    return result;
  }

  lull::manual_clock clock_;
  std::shared_ptr<recorder> who_ = std::make_shared<recorder>("who");
};

class SleeperAlone : public Sleeper {
 protected:
  SleeperAlone() { sleeper_.add(who_); }

  sleep_state state() const { return sleeper_.observe().state; }

  lull::sleeper sleeper_{options()};
};

TEST_F(SleeperAlone, IsAwakeAndGivesLeases) {
  EXPECT_EQ(state(), sleep_state::awake);
  auto lease = sleeper_.acquire();
  const auto second = sleeper_.try_acquire();
  EXPECT_TRUE(second);
  EXPECT_EQ(sleeper_.observe().leases, 2u);
  lease.release();
  lease.release();
  EXPECT_EQ(sleeper_.observe().leases, 1u);
  EXPECT_EQ(who_->wakes, 0);
}

TEST_F(SleeperAlone, SleepsWhenToldToAndWakesForALease) {
  const auto report = sleeper_.sleep();
  EXPECT_TRUE(report.succeeded);
  EXPECT_EQ(report.plan, "discard");
  EXPECT_EQ(state(), sleep_state::asleep);
  EXPECT_FALSE(sleeper_.try_acquire()) << "trying never wakes";
  EXPECT_EQ(state(), sleep_state::asleep);

  const auto lease = sleeper_.acquire();
  EXPECT_EQ(state(), sleep_state::awake);
  EXPECT_EQ(who_->wakes, 1);
  const auto seen = sleeper_.observe();
  EXPECT_EQ(seen.counters.sleeps, 1u);
  EXPECT_EQ(seen.counters.wakes, 1u);
  ASSERT_TRUE(seen.last);
  EXPECT_EQ(seen.last->way, lull::transition_report::direction::wake);
}

TEST_F(SleeperAlone, SleepingTwiceIsOneSleep) {
  sleeper_.sleep();
  EXPECT_TRUE(sleeper_.sleep().succeeded);
  EXPECT_EQ(who_->sleeps, 1);
}

TEST_F(SleeperAlone, WakingTakesNoLease) {
  sleeper_.sleep();
  sleeper_.wake();
  sleeper_.wake();
  EXPECT_EQ(who_->wakes, 1);
  EXPECT_EQ(sleeper_.observe().leases, 0u);
}

TEST_F(SleeperAlone, PollSleepsAfterTheIdleTimeAndNotBefore) {
  EXPECT_EQ(sleeper_.next_deadline(), clock_.now() + 30s);
  clock_.advance(30s - 1ns);
  EXPECT_FALSE(sleeper_.poll(clock_.now()));
  clock_.advance(1ns);
  EXPECT_TRUE(sleeper_.poll(clock_.now()));
  yield_until([&] { return state() == sleep_state::asleep; });
  EXPECT_FALSE(sleeper_.poll(clock_.now() + 1h));
  EXPECT_FALSE(sleeper_.next_deadline());
}

TEST_F(SleeperAlone, TheIdleTimeStartsWhenTheLastLeaseComesBack) {
  {
    const auto lease = sleeper_.acquire();
    clock_.advance(1h);
    EXPECT_FALSE(sleeper_.poll(clock_.now())) << "never with a lease out";
    EXPECT_EQ(sleeper_.next_deadline(), clock_.now() + 30s);
    EXPECT_EQ(sleeper_.observe().idle, 0s);
  }
  EXPECT_FALSE(sleeper_.poll(clock_.now()));
  EXPECT_EQ(sleeper_.next_deadline(), clock_.now() + 30s);
  clock_.advance(29s);
  EXPECT_EQ(sleeper_.observe().idle, 29s);
  EXPECT_FALSE(sleeper_.poll(clock_.now()));
  clock_.advance(1s);
  EXPECT_TRUE(sleeper_.poll(clock_.now()));
}

TEST_F(SleeperAlone, LookingLeavesTheIdleTimeAlone) {
  const auto before = sleeper_.next_deadline();
  clock_.advance(10s);
  static_cast<void>(sleeper_.observe());
  static_cast<void>(sleeper_.poll(clock_.now()));
  EXPECT_EQ(sleeper_.next_deadline(), before);
}

TEST_F(SleeperAlone, TheIdleTimeCanBeChangedAndTurnedOff) {
  sleeper_.set_idle_time(std::nullopt);
  clock_.advance(1h);
  EXPECT_FALSE(sleeper_.next_deadline());
  EXPECT_FALSE(sleeper_.poll(clock_.now()));
  sleeper_.set_idle_time(5s);
  EXPECT_TRUE(sleeper_.poll(clock_.now()));
  EXPECT_EQ(error_of([&] { sleeper_.set_idle_time(-1s); }).code(), status::invalid_argument);
}

TEST_F(SleeperAlone, SixtyFourThreadsCauseOneWakeAndAllGetTheirLease) {
  sleeper_.sleep();
  who_->hold();
  std::atomic<int> leased{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) {
    threads.emplace_back([&] {
      const auto lease = sleeper_.acquire();
      ++leased;
    });
  }
  yield_until([&] { return sleeper_.observe().waiting == 64; });
  EXPECT_EQ(leased, 0);
  who_->open();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(leased, 64);
  EXPECT_EQ(who_->wakes, 1);
  EXPECT_EQ(sleeper_.observe().leases, 0u);
  EXPECT_EQ(sleeper_.observe().waiting, 0u);
}

TEST_F(SleeperAlone, AClientThatGivesUpLeavesNoTrace) {
  sleeper_.sleep();
  who_->hold();
  auto patient = std::async(std::launch::async, [&] { return sleeper_.acquire(); });
  yield_until([&] { return who_->inside.load(); });
  auto hasty = std::async(std::launch::async, [&] {
    return error_of([&] { static_cast<void>(sleeper_.acquire(clock_.now() + 1s)); }).code();
  });
  yield_until([&] { return sleeper_.observe().waiting == 2; });
  clock_.advance(1s);
  EXPECT_EQ(hasty.get(), status::timed_out);
  EXPECT_EQ(sleeper_.observe().waiting, 1u);
  who_->open();
  const auto lease = patient.get();
  EXPECT_EQ(sleeper_.observe().leases, 1u);
  EXPECT_EQ(who_->wakes, 1);
}

TEST_F(SleeperAlone, TheDeadlineHoldsForTheCallerThatWakesToo) {
  sleeper_.sleep();
  who_->hold();
  auto only = std::async(std::launch::async, [&] {
    return error_of([&] { static_cast<void>(sleeper_.acquire(clock_.now() + 1s)); }).code();
  });
  yield_until([&] { return who_->inside.load(); });
  clock_.advance(1s);
  EXPECT_EQ(only.get(), status::timed_out) << "while the wake goes on";
  EXPECT_EQ(state(), sleep_state::waking);
  who_->open();
  yield_until([&] { return state() == sleep_state::awake; });
}

TEST_F(SleeperAlone, AWaitCanBeCancelled) {
  sleeper_.sleep();
  who_->hold();
  std::stop_source stop;
  auto waiter = std::async(std::launch::async, [&] {
    return error_of(
               [&] { static_cast<void>(sleeper_.acquire(lull::no_deadline, stop.get_token())); })
        .code();
  });
  yield_until([&] { return who_->inside.load(); });
  stop.request_stop();
  EXPECT_EQ(waiter.get(), status::cancelled);
  EXPECT_EQ(sleeper_.observe().waiting, 0u);
  who_->open();
}

TEST_F(SleeperAlone, AStopThatWasRequestedBeforeEndsTheWaitAtOnce) {
  sleeper_.sleep();
  who_->hold();
  std::stop_source stop;
  stop.request_stop();
  const auto failure =
      error_of([&] { static_cast<void>(sleeper_.acquire(lull::no_deadline, stop.get_token())); });
  EXPECT_EQ(failure.code(), status::cancelled);
  who_->open();
}

TEST_F(SleeperAlone, SleepWaitsForLeasesAndNewOnesWaitForTheWake) {
  auto lease = sleeper_.acquire();
  auto sleeping = std::async(std::launch::async, [&] { return sleeper_.sleep(); });
  yield_until([&] { return state() == sleep_state::draining; });
  EXPECT_EQ(who_->sleeps, 0);
  EXPECT_FALSE(sleeper_.try_acquire());
  auto late = std::async(std::launch::async, [&] { return sleeper_.acquire(); });
  yield_until([&] { return sleeper_.observe().waiting == 1; });
  lease.release();
  EXPECT_TRUE(sleeping.get().succeeded);
  const auto second = late.get();
  EXPECT_EQ(who_->sleeps, 1);
  EXPECT_EQ(who_->wakes, 1);
}

TEST_F(SleeperAlone, ASleepThatCannotDrainGivesUpAndWorkGoesOn) {
  auto lease = sleeper_.acquire();
  auto sleeping =
      std::async(std::launch::async, [&] { return error_of([&] { sleeper_.sleep(); }); });
  yield_until([&] { return state() == sleep_state::draining; });
  auto late = std::async(std::launch::async, [&] { return sleeper_.acquire(); });
  yield_until([&] { return sleeper_.observe().waiting == 1; });
  clock_.advance(10s);
  const auto failure = sleeping.get();
  EXPECT_EQ(failure.code(), status::timed_out);
  EXPECT_THAT(failure.what(), HasSubstr("1 leases did not come back within 10000 ms"));
  const auto second = late.get();
  EXPECT_EQ(state(), sleep_state::awake);
  EXPECT_EQ(who_->sleeps, 0);
  EXPECT_EQ(sleeper_.observe().counters.failed_sleeps, 1u);
}

TEST_F(SleeperAlone, AFailedSleepLeavesItAwakeAndStartsTheIdleTimeAnew) {
  who_->fail_sleep = true;
  clock_.advance(1h);
  const auto failure = error_of([&] { sleeper_.sleep(); });
  EXPECT_EQ(failure.code(), status::callback);
  EXPECT_STREQ(failure.what(), "who: cannot sleep");
  EXPECT_EQ(state(), sleep_state::awake);
  EXPECT_EQ(sleeper_.next_deadline(), clock_.now() + 30s);
  const auto lease = sleeper_.acquire();
  EXPECT_EQ(who_->wakes, 0);
  const auto seen = sleeper_.observe();
  EXPECT_FALSE(seen.last->succeeded);
  EXPECT_TRUE(seen.last->rolled_back);
  EXPECT_EQ(seen.counters.failed_sleeps, 1u);
}

TEST_F(SleeperAlone, AFailedWakeGoesToAllWhoWaitAndTheNextCallerTriesAgain) {
  sleeper_.sleep();
  who_->fail_wake = true;
  who_->hold();
  std::vector<std::future<status>> waiters;
  for (int i = 0; i < 8; ++i) {
    waiters.push_back(std::async(std::launch::async, [&] {
      return error_of([&] { static_cast<void>(sleeper_.acquire()); }).code();
    }));
  }
  yield_until([&] { return sleeper_.observe().waiting == 8; });
  who_->open();
  for (auto& waiter : waiters) EXPECT_EQ(waiter.get(), status::out_of_device_memory);
  EXPECT_EQ(state(), sleep_state::asleep);
  EXPECT_EQ(who_->wakes, 1) << "one attempt for all of them, and no retry on its own";

  who_->fail_wake = false;
  const auto lease = sleeper_.acquire();
  EXPECT_EQ(who_->wakes, 2);
  EXPECT_EQ(sleeper_.observe().counters.failed_wakes, 1u);
}

TEST_F(SleeperAlone, AnotherPlanCanBeGivenForOneSleep) {
  sleeper_.sleep(lull::plan_for(lull::sleep_level::offload));
  EXPECT_EQ(sleeper_.observe().plan, "offload");
  sleeper_.wake();
  EXPECT_EQ(sleeper_.observe().plan, "discard");
  EXPECT_THAT(who_->plans, ElementsAre("offload"));
}

TEST_F(SleeperAlone, ObservingDuringATransitionDoesNotWaitForIt) {
  sleeper_.sleep();
  who_->hold();
  auto waiter = std::async(std::launch::async, [&] { return sleeper_.acquire(); });
  yield_until([&] { return who_->inside.load(); });
  EXPECT_EQ(state(), sleep_state::waking) << "would hang here otherwise";
  EXPECT_FALSE(sleeper_.poll(clock_.now() + 1h));
  EXPECT_FALSE(sleeper_.next_deadline());
  EXPECT_EQ(error_of([&] { sleeper_.add(who_); }).code(), status::busy);
  who_->open();
  const auto lease = waiter.get();
}

TEST_F(SleeperAlone, ASleepStartedByPollGivesWayToWork) {
  clock_.advance(30s);
  const auto lease = sleeper_.acquire();
  EXPECT_FALSE(sleeper_.poll(clock_.now()));
  EXPECT_EQ(state(), sleep_state::awake);
}

TEST_F(Sleeper, ParticipantsSleepInReverseAndWakeInOrder) {
  std::vector<std::string> log;
  lull::sleeper sleeper(options());
  for (const char* name : {"a", "b", "c"}) sleeper.add(std::make_shared<recorder>(name, &log));
  sleeper.sleep();
  sleeper.wake();
  EXPECT_THAT(log, ElementsAre("c sleep", "b sleep", "a sleep", "a wake", "b wake", "c wake"));
}

TEST_F(Sleeper, AFailureHalfWayTakesTheOthersBack) {
  std::vector<std::string> log;
  lull::sleeper sleeper(options());
  std::vector<std::shared_ptr<recorder>> all;
  for (const char* name : {"a", "b", "c"}) {
    all.push_back(std::make_shared<recorder>(name, &log));
    sleeper.add(all.back());
  }
  all[0]->fail_sleep = true;
  EXPECT_STREQ(error_of([&] { sleeper.sleep(); }).what(), "a: cannot sleep");
  EXPECT_THAT(log, ElementsAre("c sleep", "b sleep", "a sleep", "b wake", "c wake"));
  EXPECT_EQ(sleeper.observe().state, sleep_state::awake);

  all[0]->fail_sleep = false;
  sleeper.sleep();
  log.clear();
  all[2]->fail_wake = true;
  EXPECT_EQ(error_of([&] { sleeper.wake(); }).code(), status::out_of_device_memory);
  EXPECT_THAT(log, ElementsAre("a wake", "b wake", "c wake", "b sleep", "a sleep"));
  EXPECT_EQ(sleeper.observe().state, sleep_state::asleep);
}

TEST_F(Sleeper, ARollbackThatFailsTooIsRepairedByTheNextWake) {
  lull::sleeper sleeper(options());
  auto first = std::make_shared<recorder>("first");
  auto last = std::make_shared<recorder>("last");
  sleeper.add(first);
  sleeper.add(last);
  first->fail_sleep = true;
  last->fail_wake = true;
  const auto failure = error_of([&] { sleeper.sleep(); });
  EXPECT_STREQ(failure.what(), "first: cannot sleep; taking it back failed too: last: no room");
  EXPECT_FALSE(sleeper.observe().last->rolled_back);
  EXPECT_EQ(sleeper.observe().state, sleep_state::asleep) << "work must not run on half of it";

  last->fail_wake = false;
  const auto lease = sleeper.acquire();
  EXPECT_EQ(first->wakes, 0) << "it never slept";
  EXPECT_EQ(last->wakes, 2);
}

TEST_F(Sleeper, CallingBackIntoTheSleeperIsAnErrorNotADeadlock) {
  status seen = status::ok;
  lull::sleeper* itself = nullptr;
  auto with_callback = options();
  with_callback.on_transition = [&](const lull::transition_report&) {
    seen = error_of([&] { itself->sleep(); }).code();
    static_cast<void>(itself->observe());
  };
  lull::sleeper sleeper(std::move(with_callback));
  itself = &sleeper;
  sleeper.sleep();
  sleeper.wake();
  // The callback of the sleep has returned before the wake began.
  EXPECT_EQ(seen, status::busy);
}

TEST_F(Sleeper, TransitionsAreReportedAndLogged) {
  std::vector<std::string> lines;
  std::vector<bool> reports;
  auto with_log = options();
  with_log.log =
      lull::log_sink([&](lull::log_level, std::string_view line) { lines.emplace_back(line); });
  with_log.on_transition = [&](const lull::transition_report& report) {
    reports.push_back(report.succeeded);
    throw std::runtime_error("a bad callback");
  };
  {
    lull::sleeper sleeper(std::move(with_log));
    sleeper.add(who_);
    sleeper.sleep();
    who_->fail_wake = true;
    EXPECT_EQ(error_of([&] { sleeper.wake(); }).code(), status::out_of_device_memory);
  }
  EXPECT_THAT(reports, ElementsAre(true, false));
  EXPECT_THAT(lines, ElementsAre("sleep (discard) done in 0 ms", HasSubstr("a bad callback"),
                                 "wake (discard) failed in 0 ms: who: no room",
                                 HasSubstr("a bad callback")));
}

TEST_F(Sleeper, WatchesTheIdleTimeOnItsOwnThread) {
  auto watching = options();
  watching.watch_idle = true;
  lull::sleeper sleeper(std::move(watching));
  sleeper.add(who_);
  clock_.advance(31s);
  yield_until([&] { return sleeper.observe().state == sleep_state::asleep; });
  const auto lease = sleeper.acquire();
  EXPECT_EQ(who_->wakes, 1);
}

TEST_F(Sleeper, DestructionCancelsATransitionUnderWay) {
  auto sleeper = std::make_unique<lull::sleeper>(options());
  sleeper->add(who_);
  clock_.advance(30s);
  who_->hold();
  EXPECT_TRUE(sleeper->poll(clock_.now()));
  yield_until([&] { return who_->inside.load(); });
  sleeper.reset();
  EXPECT_EQ(who_->sleeps, 0);
}

TEST_F(Sleeper, OptionsOutOfRangeAreRefused) {
  const auto refused = [this](auto change) {
    auto bad = options();
    change(bad);
    return error_of([&] { lull::sleeper sleeper(std::move(bad)); }).code();
  };
  EXPECT_EQ(refused([](auto& o) { o.idle_time = -1ns; }), status::invalid_argument);
  EXPECT_EQ(refused([](auto& o) { o.drain_timeout = -1s; }), status::invalid_argument);
  EXPECT_EQ(refused([](auto& o) { o.clock = nullptr; }), status::invalid_argument);
  EXPECT_EQ(refused([](auto& o) { o.plan.context = lull::context_action::rebirth; }),
            status::unsupported);
}

TEST(SleepLevels, HaveNamesAndPlans) {
  for (const auto level : lull::supported_levels()) {
    EXPECT_EQ(lull::plan_for(level).name, to_string(level));
    EXPECT_EQ(lull::parse_sleep_level(to_string(level)), level);
  }
  EXPECT_EQ(lull::plan_for(lull::sleep_level::offload).contents.action_for("any"),
            lull::contents_action::offload);
  EXPECT_EQ(lull::plan_for(lull::sleep_level::rebirth).context, lull::context_action::rebirth);
  EXPECT_EQ(lull::plan_for(lull::sleep_level::suspend).context, lull::context_action::suspend);
  EXPECT_THAT(error_of([] { static_cast<void>(lull::parse_sleep_level("deep")); }).what(),
              HasSubstr("trim, offload, discard"));
}

// A sleep never starts with a lease out, and what a lease's holder writes is seen by the sleep: the
// counter is not atomic on purpose, so that the thread sanitizer judges the gate's ordering.
TEST(SleeperStress, NoSleepStartsWithALeaseOut) {
  struct watcher final : lull::participant {
    std::string_view name() const noexcept override { return "watcher"; }
    void sleep(const lull::sleep_plan&, lull::transition&) override { look(); }
    void wake(const lull::sleep_plan&, lull::transition&) override { look(); }
    void look() {
      if (in_flight.load(std::memory_order_relaxed) != 0) ++violations;
      ++guarded;
    }
    std::atomic<int> in_flight{0};
    int violations = 0;
    long guarded = 0;
  };
  const auto who = std::make_shared<watcher>();
  lull::sleeper_options options;
  options.idle_time = 1ns;
  options.drain_timeout = 60s;
  lull::sleeper sleeper(std::move(options));
  sleeper.add(who);

  std::mutex one_worker;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        if (t == 0) {
          i % 2 == 0 ? static_cast<void>(sleeper.sleep())
                     : static_cast<void>(sleeper.poll(lull::steady_clock().now()));
          continue;
        }
        const auto lease = sleeper.acquire();
        who->in_flight.fetch_add(1, std::memory_order_relaxed);
        {
          const std::lock_guard lock(one_worker);
          ++who->guarded;
        }
        who->in_flight.fetch_sub(1, std::memory_order_relaxed);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  sleeper.wake();
  EXPECT_EQ(who->violations, 0);
  EXPECT_EQ(sleeper.observe().leases, 0u);
  EXPECT_GT(sleeper.observe().counters.sleeps, 0u);
}

}  // namespace
