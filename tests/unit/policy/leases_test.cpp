// Leases that belong to work: shared ones, those that only observe, and the ways to wait for one.

#include <lull/lull.hpp>

#include <atomic>
#include <future>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <variant>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"

namespace {

using namespace std::chrono_literals;
using lull::acquire_options;
using lull::lease_use;
using lull::sleep_state;
using lull::status;
using lull::test::error_of;
using lull::test::eventually;
using testing::HasSubstr;

class Leases : public testing::Test {
 protected:
  Leases() {
    sleeper_.add(lull::make_participant(
        "model", [](const lull::sleep_plan&, lull::transition&) {},
        [this](const lull::sleep_plan&, lull::transition& current) {
          ++wakes_;
          while (held_) {
            if (current.stop().stop_requested()) throw lull::error(status::cancelled, "stopped");
            std::this_thread::yield();
          }
          if (fail_wake_) throw lull::error(status::io, "the model is gone");
        }));
  }

  static lull::sleeper_options options(const lull::clock& clock) {
    lull::sleeper_options result;
    result.idle_time = 30s;
    result.drain_timeout = 1h;
    result.clock = &clock;
    return result;
  }

  /// Keeps the wake that comes next from ending, until the result is set to false.
  void hold_wake() { held_ = true; }
  bool eventually_waiting(std::uint32_t count) {
    return eventually([&] { return sleeper_.observe().waiting == count; });
  }

  std::atomic<bool> held_{false};
  std::atomic<bool> fail_wake_{false};
  std::atomic<int> wakes_{0};
  lull::manual_clock clock_;
  lull::sleeper sleeper_{options(clock_)};
};

TEST_F(Leases, ASharedLeaseHoldsOffASleepAfterTheFirstIsBack) {
  auto request = sleeper_.acquire();
  auto computation = sleeper_.share(request);
  request.release();
  clock_.advance(31s);
  EXPECT_FALSE(sleeper_.poll(clock_.now())) << "the computation goes on";
  computation.release();
  clock_.advance(31s);
  EXPECT_TRUE(sleeper_.poll(clock_.now()));
}

TEST_F(Leases, ALeaseCanBeSharedWhileASleepWaitsForLeases) {
  auto request = sleeper_.acquire();
  auto slept = std::async(std::launch::async, [&] { return sleeper_.sleep().succeeded; });
  ASSERT_TRUE(eventually([&] { return sleeper_.observe().state == sleep_state::draining; }));
  EXPECT_FALSE(sleeper_.try_acquire()) << "new work has to wait";
  auto computation = sleeper_.share(request);
  request.release();
  EXPECT_EQ(sleeper_.observe().state, sleep_state::draining);
  computation.release();
  EXPECT_TRUE(slept.get());
  EXPECT_EQ(wakes_, 0);
}

TEST_F(Leases, ALeaseThatIsBackOrAnothersCannotBeShared) {
  auto lease = sleeper_.acquire();
  lull::sleeper other;
  EXPECT_EQ(error_of([&] { static_cast<void>(other.share(lease)); }).code(),
            status::invalid_argument);
  lease.release();
  EXPECT_EQ(error_of([&] { static_cast<void>(sleeper_.share(lease)); }).code(),
            status::invalid_argument);
}

TEST_F(Leases, ObservingLeavesTheIdleTimeAlone) {
  for (int scrape = 0; scrape < 2; ++scrape) {
    clock_.advance(15s);
    const auto lease = sleeper_.try_acquire(lease_use::observe);
    ASSERT_TRUE(lease);
    EXPECT_EQ(sleeper_.observe().leases, 1u);
  }
  EXPECT_TRUE(sleeper_.poll(clock_.now())) << "30 s without work";
}

TEST_F(Leases, ASleepThatIsDueWaitsForAnObserverAndNoLonger) {
  auto observer = sleeper_.try_acquire(lease_use::observe);
  ASSERT_TRUE(observer);
  clock_.advance(31s);
  EXPECT_FALSE(sleeper_.poll(clock_.now())) << "nothing sleeps under an observer";
  EXPECT_FALSE(sleeper_.next_deadline()) << "the observer tells when it leaves";
  observer.reset();
  ASSERT_TRUE(sleeper_.next_deadline());
  EXPECT_LE(*sleeper_.next_deadline(), clock_.now());
  EXPECT_TRUE(sleeper_.poll(clock_.now()));
}

TEST_F(Leases, AWatchingSleeperSleepsOnceTheObserverLeaves) {
  auto watching = options(clock_);
  watching.watch_idle = true;
  lull::sleeper sleeper(watching);
  auto observer = sleeper.try_acquire(lease_use::observe);
  ASSERT_TRUE(observer);
  clock_.advance(31s);
  observer.reset();
  EXPECT_TRUE(eventually([&] { return sleeper.observe().state == sleep_state::asleep; }));
}

TEST_F(Leases, AnObserverGetsNothingWhileAsleep) {
  sleeper_.sleep();
  EXPECT_FALSE(sleeper_.try_acquire(lease_use::observe));
  const auto lease = sleeper_.acquire();
  clock_.advance(31s);
  EXPECT_TRUE(sleeper_.next_deadline()) << "the refused observer is not counted";
}

TEST_F(Leases, AClientThatIsGoneEndsTheWait) {
  sleeper_.sleep();
  hold_wake();
  std::atomic<bool> there{true};
  acquire_options how;
  how.keep_waiting = [&] { return there.load(); };
  auto waiting = std::async(std::launch::async, [&] {
    return error_of([&] { static_cast<void>(sleeper_.acquire(how)); }).code();
  });
  ASSERT_TRUE(eventually_waiting(1));
  there = false;
  EXPECT_EQ(waiting.wait_for(0s), std::future_status::timeout) << "not asked yet";
  clock_.advance(250ms);
  EXPECT_EQ(waiting.get(), status::cancelled);
  EXPECT_EQ(sleeper_.observe().waiting, 0u);
  held_ = false;
}

TEST_F(Leases, WhatKeepWaitingThrowsEndsTheWait) {
  sleeper_.sleep();
  hold_wake();
  acquire_options how;
  how.check_every = 1ms;
  how.keep_waiting = []() -> bool { throw 7; };
  auto waiting = std::async(std::launch::async, [&] {
    return error_of([&] { static_cast<void>(sleeper_.acquire(how)); }).code();
  });
  ASSERT_TRUE(eventually_waiting(1));
  clock_.advance(1ms);
  EXPECT_EQ(waiting.get(), status::callback);
  held_ = false;
}

TEST_F(Leases, AnIntervalOfNothingIsRefused) {
  acquire_options how;
  how.check_every = 0s;
  EXPECT_EQ(error_of([&] { static_cast<void>(sleeper_.acquire(how)); }).code(),
            status::invalid_argument);
}

class AsyncLeases : public Leases {
 protected:
  using result = lull::sleeper::acquire_result;

  std::future<result> ask(acquire_options how = {}) {
    auto promise = std::make_shared<std::promise<result>>();
    auto answer = promise->get_future();
    sleeper_.acquire_async(std::move(how),
                           [promise](result given) { promise->set_value(std::move(given)); });
    return answer;
  }
  static status code_of(std::future<result> answer) {
    const result given = answer.get();
    const auto* failure = std::get_if<lull::error>(&given);
    return failure == nullptr ? status::ok : failure->code();
  }
};

TEST_F(AsyncLeases, WhileAwakeTheAnswerComesAtOnce) {
  auto answer = ask();
  ASSERT_EQ(answer.wait_for(0s), std::future_status::ready);
  const result given = answer.get();
  EXPECT_TRUE(std::holds_alternative<lull::sleeper::lease>(given));
  EXPECT_EQ(sleeper_.observe().leases, 1u);
}

TEST_F(AsyncLeases, ManyShareOneWake) {
  sleeper_.sleep();
  hold_wake();
  std::vector<std::future<result>> answers;
  for (int i = 0; i < 8; ++i) answers.push_back(ask());
  EXPECT_TRUE(eventually_waiting(8));
  held_ = false;
  for (auto& each : answers) EXPECT_EQ(code_of(std::move(each)), status::ok);
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(sleeper_.observe().waiting, 0u);
}

TEST_F(AsyncLeases, AFailedWakeIsToldToAllWhoWait) {
  sleeper_.sleep();
  hold_wake();
  fail_wake_ = true;
  auto first = ask();
  auto second = ask();
  ASSERT_TRUE(eventually_waiting(2));
  held_ = false;
  EXPECT_EQ(code_of(std::move(first)), status::io);
  EXPECT_EQ(code_of(std::move(second)), status::io);
  EXPECT_EQ(wakes_, 1) << "not tried again until somebody asks";
}

TEST_F(AsyncLeases, EachGivesUpAtItsDeadlineDuringTheWake) {
  sleeper_.sleep();
  hold_wake();
  acquire_options soon;
  soon.deadline = clock_.now() + 1s;
  auto patient = ask();
  auto hurried = ask(soon);
  ASSERT_TRUE(eventually([&] { return wakes_ == 1; }));
  clock_.advance(1s);
  EXPECT_EQ(code_of(std::move(hurried)), status::timed_out);
  EXPECT_EQ(patient.wait_for(0s), std::future_status::timeout);
  held_ = false;
  EXPECT_EQ(code_of(std::move(patient)), status::ok);
}

TEST_F(AsyncLeases, CancellingAndLostClientsEndTheWait) {
  sleeper_.sleep();
  hold_wake();
  std::stop_source stop;
  acquire_options stoppable;
  stoppable.stop = stop.get_token();
  acquire_options asked;
  asked.keep_waiting = [] { return false; };
  auto stopped = ask(stoppable);
  auto lost = ask(asked);
  ASSERT_TRUE(eventually_waiting(2));
  stop.request_stop();
  EXPECT_EQ(code_of(std::move(stopped)), status::cancelled);
  clock_.advance(250ms);
  EXPECT_EQ(code_of(std::move(lost)), status::cancelled);
  held_ = false;
}

TEST_F(AsyncLeases, ACallbackThatThrowsHarmsNobody) {
  sleeper_.sleep();
  hold_wake();
  sleeper_.acquire_async({}, [](result) { throw std::runtime_error("no"); });
  auto next = ask();
  ASSERT_TRUE(eventually_waiting(2));
  held_ = false;
  EXPECT_EQ(code_of(std::move(next)), status::ok);
  EXPECT_TRUE(eventually([&] { return sleeper_.observe().leases == 0; }));
}

TEST_F(AsyncLeases, TheSleepersEndEndsTheWaitsThatAreLeft) {
  std::atomic<bool> in_wake{false};
  std::future<result> answer;
  auto promise = std::make_shared<std::promise<result>>();
  answer = promise->get_future();
  {
    lull::sleeper sleeper(options(clock_));
    sleeper.add(lull::make_participant(
        "model", [](const lull::sleep_plan&, lull::transition&) {},
        [&](const lull::sleep_plan&, lull::transition& current) {
          in_wake = true;
          while (!current.stop().stop_requested()) std::this_thread::yield();
          throw lull::error(status::cancelled, "stopped");
        }));
    sleeper.sleep();
    sleeper.acquire_async({}, [promise](result given) { promise->set_value(std::move(given)); });
    ASSERT_TRUE(eventually([&] { return in_wake.load(); }));
  }
  EXPECT_EQ(code_of(std::move(answer)), status::cancelled);
}

TEST_F(AsyncLeases, AnEmptyCallbackIsRefused) {
  EXPECT_EQ(error_of([&] { sleeper_.acquire_async({}, nullptr); }).code(),
            status::invalid_argument);
}

}  // namespace
