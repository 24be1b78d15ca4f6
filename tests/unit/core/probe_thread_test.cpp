#include "core/probe_thread.hpp"

#include <lull/clock.hpp>
#include <lull/error.hpp>

#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

namespace {

using lull::detail::call_outcome;
using lull::detail::probe_thread;
using namespace std::chrono_literals;

/// A call that blocks until it is let go, and knows whether it runs.
class hanging_call {
 public:
  void operator()() const {
    state_->begun.set_value();
    state_->released.wait();
  }
  void await_begin() { state_->begun.get_future().wait(); }
  void release() { state_->release.set_value(); }

 private:
  struct state {
    std::promise<void> begun;
    std::promise<void> release;
    std::shared_future<void> released = release.get_future().share();
  };
  std::shared_ptr<state> state_ = std::make_shared<state>();
};

/// `hang`, on a clock that passes the deadline as soon as the call has begun.
auto late_call(lull::manual_clock& clock, hanging_call hang) {
  return [&clock, hang] {
    clock.advance(1h);
    hang();
    return 1;
  };
}

TEST(ProbeThread, ReturnsWhatTheCallReturnsFromAnotherThread) {
  probe_thread thread;
  const lull::manual_clock clock;
  const auto answer = thread.call(
      clock, [] { return std::this_thread::get_id(); }, lull::no_deadline);
  ASSERT_EQ(answer.outcome, call_outcome::returned);
  EXPECT_NE(answer.value, std::this_thread::get_id());
}

TEST(ProbeThread, ThrowsWhatTheCallThrowsAndGoesOn) {
  probe_thread thread;
  const lull::manual_clock clock;
  const auto fail = []() -> int { throw std::range_error("no such figure"); };
  EXPECT_THROW((void)thread.call(clock, fail, lull::no_deadline), std::range_error);
  EXPECT_EQ(thread
                .call(
                    clock, [] { return 7; }, lull::no_deadline)
                .value,
            7);
}

TEST(ProbeThread, KeepsOneThreadForAllCallsThatReturn) {
  probe_thread thread;
  const lull::manual_clock clock;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(thread
                  .call(
                      clock, [i] { return i; }, lull::no_deadline)
                  .value,
              i);
  }
  EXPECT_EQ(thread.threads_started(), 1u);
}

TEST(ProbeThread, StartsNothingBeforeTheFirstCallNorAfterTheDeadline) {
  probe_thread thread;
  const lull::manual_clock clock;
  bool ran = false;
  const auto answer = thread.call(
      clock, [&ran] { return ran = true; }, clock.now());
  EXPECT_EQ(answer.outcome, call_outcome::late);
  EXPECT_FALSE(thread.hanging());
  EXPECT_EQ(thread.threads_started(), 0u);
  EXPECT_FALSE(ran);
}

TEST(ProbeThread, ACallThatHangsCostsTheDeadlineOnceAndThenNothing) {
  probe_thread thread;
  lull::manual_clock clock;
  hanging_call hang;
  const auto deadline = clock.now() + 2s;
  EXPECT_EQ(thread.call(clock, late_call(clock, hang), deadline).outcome, call_outcome::late);
  EXPECT_TRUE(thread.hanging());

  // The clock stands still now: had these waited, they would wait for ever.
  std::atomic<int> started = 0;
  for (int i = 0; i < 3; ++i) {
    const auto next = thread.call(
        clock, [&] { return ++started; }, clock.now() + 2s);
    EXPECT_EQ(next.outcome, call_outcome::still_hanging);
  }
  hang.release();
  while (thread.hanging()) std::this_thread::yield();
  EXPECT_EQ(thread
                .call(
                    clock, [&] { return ++started; }, lull::no_deadline)
                .value,
            1)
      << "the calls that were turned away must never run";
  EXPECT_EQ(thread.threads_started(), 1u);
}

TEST(ProbeThread, OthersWaitTheirTurnWhileACallIsOnlySlow) {
  probe_thread thread;
  const lull::manual_clock clock;
  hanging_call slow;
  auto first = std::async(std::launch::async, [&] {
    return thread
        .call(
            clock,
            [slow] {
              slow();
              return 1;
            },
            lull::no_deadline)
        .outcome;
  });
  slow.await_begin();
  auto second = std::async(std::launch::async, [&] {
    return thread
        .call(
            clock, [] { return 2; }, lull::no_deadline)
        .value;
  });
  slow.release();
  EXPECT_EQ(second.get(), 2);
  EXPECT_EQ(first.get(), call_outcome::returned);
}

TEST(ProbeThread, AnImpatientCallerDoesNotCondemnTheCallOfAPatientOne) {
  probe_thread thread;
  lull::manual_clock clock;
  hanging_call slow;
  auto patient = std::async(std::launch::async, [&] {
    return thread
        .call(
            clock,
            [slow] {
              slow();
              return 1;
            },
            lull::no_deadline)
        .outcome;
  });
  slow.await_begin();
  auto impatient = std::async(std::launch::async, [&] {
    return thread
        .call(
            clock, [] { return 2; }, clock.now() + 1s)
        .outcome;
  });
  while (impatient.wait_for(0s) != std::future_status::ready) {
    clock.advance(100ms);
    std::this_thread::yield();
  }
  EXPECT_EQ(impatient.get(), call_outcome::late);
  EXPECT_FALSE(thread.hanging());
  slow.release();
  EXPECT_EQ(patient.get(), call_outcome::returned);
}

TEST(ProbeThread, ACancelledCallerLeavesAtOnceAndTheCallIsNotYetCondemned) {
  probe_thread thread;
  lull::manual_clock clock;
  hanging_call hang;
  std::stop_source stop;
  const auto cancelled = thread.call(
      clock,
      [&stop, hang] {
        stop.request_stop();
        hang();
        return 1;
      },
      lull::no_deadline, stop.get_token());
  EXPECT_EQ(cancelled.outcome, call_outcome::cancelled);
  EXPECT_FALSE(thread.hanging());

  // Whoever comes next gives it one deadline, and then it counts as hanging.
  auto next = std::async(std::launch::async, [&] {
    return thread
        .call(
            clock, [] { return 2; }, clock.now() + 1s)
        .outcome;
  });
  while (next.wait_for(0s) != std::future_status::ready) {
    clock.advance(100ms);
    std::this_thread::yield();
  }
  EXPECT_EQ(next.get(), call_outcome::late);
  EXPECT_TRUE(thread.hanging());
  hang.release();
  while (thread.hanging()) std::this_thread::yield();
}

TEST(ProbeThread, WhatACallHoldsLivesUntilItReturnsAlsoWithoutItsOwner) {
  lull::manual_clock clock;
  hanging_call hang;
  auto keep_alive = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = keep_alive;
  {
    probe_thread thread;
    const auto answer = thread.call(
        clock,
        [&clock, hang, keep_alive] {
          clock.advance(1h);
          hang();
          return *keep_alive;
        },
        clock.now() + 1s);
    EXPECT_EQ(answer.outcome, call_outcome::late);
    keep_alive.reset();
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_FALSE(watch.expired()) << "the call still runs";
  hang.release();
  while (!watch.expired()) std::this_thread::yield();
}

TEST(ProbeThread, WhatACallHoldsIsGoneWhenItHasReturned) {
  probe_thread thread;
  const lull::manual_clock clock;
  auto keep_alive = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = keep_alive;
  (void)thread.call(
      clock, [held = std::move(keep_alive)] { return *held; }, lull::no_deadline);
  EXPECT_TRUE(watch.expired());
}

TEST(ProbeThread, WhatACallHoldsMayUseTheThreadWhileItIsDestroyed) {
  probe_thread thread;
  const lull::manual_clock clock;
  std::atomic<int> asked = 0;
  std::shared_ptr<void> asks_at_its_end(nullptr,
                                        [&](void*) { asked += thread.hanging() ? 100 : 1; });
  (void)thread.call(
      clock, [held = std::move(asks_at_its_end)] { return 1; }, lull::no_deadline);
  EXPECT_EQ(asked, 1);
}

TEST(ProbeThread, ManyCallersShareIt) {
  probe_thread thread;
  const lull::manual_clock clock;
  int unguarded = 0;  // calls never overlap, so they need no lock
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        (void)thread.call(
            clock, [&] { return ++unguarded; }, lull::no_deadline);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(unguarded, 400);
  EXPECT_EQ(thread.threads_started(), 1u);
}

using ProbeThreadDeathTest = testing::Test;

TEST(ProbeThreadDeathTest, AProcessMayExitWhileACallHangs) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto exit_while_hanging = [] {
    static probe_thread thread;  // destroyed during exit
    lull::manual_clock clock;
    const hanging_call hang;
    const auto answer = thread.call(clock, late_call(clock, hang), clock.now() + 1s);
    std::exit(answer.outcome == call_outcome::late ? 3 : 4);
  };
  EXPECT_EXIT(exit_while_hanging(), testing::ExitedWithCode(3), "");
}

}  // namespace
