// Leases of C, and the ways to wait for one.

#include <lull/lull.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/sleeper_fixture.hpp"
#include "support/eventually.hpp"

namespace {

using lull::test::c_sleeper_test;
using lull::test::eventually;
using lull::test::sized;
using testing::HasSubstr;

class CLease : public c_sleeper_test {
 protected:
  /// A sleeper that is asleep, and whose wake ends when it is let.
  void create_asleep() {
    model_.wake = [this](const lull_sleep_plan&, lull_transition* now) {
      if (!wake_fails_.empty()) {
        return lull_transition_fail(now, LULL_ERROR_IO, wake_fails_.c_str());
      }
      return eventually([this] { return may_wake_.load(); }) ? LULL_OK : LULL_ERROR_TIMED_OUT;
    };
    create_with_model();
    ASSERT_EQ(sleep(), LULL_OK);
  }

  std::atomic<bool> may_wake_{false};
  std::string wake_fails_;
};

/// How a lull_sleeper_acquire_async ended.
struct outcome {
  std::atomic<int> calls{0};
  lull_status status = LULL_ERROR_INTERNAL;
  lull_lease lease{};
  std::string words;
  std::thread::id where;

  static void note(void* user, lull_status status, lull_lease lease) {
    auto& self = *static_cast<outcome*>(user);
    self.status = status;
    self.lease = lease;
    self.words = lull_last_error_message();
    self.where = std::this_thread::get_id();
    ++self.calls;
  }
};

int32_t gone(void* user) {
  ++*static_cast<int*>(user);
  return 0;
}

TEST_F(CLease, OneThatCannotBeHadAtOnceIsNoFailure) {
  create_asleep();
  EXPECT_EQ(lull_bytes_parse("two", nullptr), LULL_ERROR_INVALID_ARGUMENT);
  const std::string before = lull_last_error_message();
  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_try_acquire(sleeper_, LULL_USE_WORK, &lease), LULL_ERROR_BUSY);
  EXPECT_EQ(lull_sleeper_try_acquire(sleeper_, LULL_USE_OBSERVE, &lease), LULL_ERROR_BUSY);
  EXPECT_EQ(lull_last_error_message(), before);
  EXPECT_EQ(lease.sleeper, nullptr);
  EXPECT_EQ(observe().leases, 0u);

  EXPECT_EQ(lull_sleeper_try_acquire(sleeper_, static_cast<lull_lease_use>(2), &lease),
            LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "use is 2; its values are 0 to 1");
}

TEST_F(CLease, AnObserverHoldsTheModelAndLeavesTheIdleTimeAlone) {
  options_.idle_time_ns = 0;
  options_.drain_timeout_ns = LULL_MILLISECOND;
  create_with_model();
  lull_lease lease{};
  lull_lease more{};
  ASSERT_EQ(lull_sleeper_try_acquire(sleeper_, LULL_USE_OBSERVE, &lease), LULL_OK);
  EXPECT_EQ(lease.use, LULL_USE_OBSERVE);
  EXPECT_EQ(sleep(), LULL_ERROR_TIMED_OUT) << "it is held";
  ASSERT_EQ(lull_lease_share(&lease, &more), LULL_OK);
  EXPECT_EQ(more.use, LULL_USE_OBSERVE);
  lull_lease_release(&lease);
  std::int64_t in_ns = 0;
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper_, &in_ns), LULL_OK);
  EXPECT_EQ(in_ns, LULL_FOREVER) << "due already: the observer wakes whoever waits for this";
  lull_lease_release(&more);
  EXPECT_EQ(observe().leases, 0u);

  // Work counts.
  ASSERT_EQ(lull_sleeper_try_acquire(sleeper_, LULL_USE_WORK, &lease), LULL_OK);
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper_, &in_ns), LULL_OK);
  EXPECT_LT(in_ns, LULL_SECOND) << "is looked at again soon";
  lull_lease_release(&lease);
}

TEST_F(CLease, IsSharedByWorkThatOutlivesItsRequest) {
  create_with_model();
  lull_lease request{};
  lull_lease work{};
  ASSERT_EQ(lull_sleeper_acquire(sleeper_, 0, nullptr, &request), LULL_OK);
  std::thread sleeps([&] { EXPECT_EQ(sleep(), LULL_OK); });
  EXPECT_TRUE(eventually([&] { return state() == LULL_STATE_DRAINING; }));
  EXPECT_EQ(lull_lease_share(&request, &work), LULL_OK) << "also while a sleep waits";
  lull_lease_release(&request);
  EXPECT_EQ(request.sleeper, nullptr);
  EXPECT_EQ(state(), LULL_STATE_DRAINING);
  EXPECT_EQ(observe().leases, 1u);
  EXPECT_EQ(lull_lease_share(&request, &request), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "held and lease are the same struct");
  lull_lease more{};
  EXPECT_EQ(lull_lease_share(&request, &more), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "held holds no lease");
  lull_lease_release(&work);
  sleeps.join();
  EXPECT_EQ(state(), LULL_STATE_ASLEEP);
}

TEST_F(CLease, NothingSleepsUnderWorkThatHasALeaseOfItsOwn) {
  std::atomic<int> decoding{0};
  std::atomic<int> caught{0};
  options_.watch_idle = 1;
  model_.sleep = model_.wake = [&](const lull_sleep_plan&, lull_transition*) {
    if (decoding != 0) ++caught;
    return LULL_OK;
  };
  create_with_model();
  ASSERT_EQ(lull_sleeper_set_idle_time(sleeper_, 0), LULL_OK);  // now that the model is there
  const auto request = [&] {
    for (int i = 0; i < 200; ++i) {
      lull_lease asked{};
      lull_lease work{};
      EXPECT_EQ(lull_sleeper_acquire(sleeper_, LULL_FOREVER, nullptr, &asked), LULL_OK);
      EXPECT_EQ(lull_lease_share(&asked, &work), LULL_OK);
      lull_lease_release(&asked);  // the client has left
      ++decoding;
      std::this_thread::yield();
      --decoding;
      lull_lease_release(&work);
      if (lull_sleeper_try_acquire(sleeper_, LULL_USE_OBSERVE, &asked) != LULL_OK) continue;
      ++decoding;
      --decoding;
      lull_lease_release(&asked);
    }
  };
  std::vector<std::thread> requests;
  for (int i = 0; i < 4; ++i) requests.emplace_back(request);
  // A sleep that somebody asks for, too.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(sleep(), LULL_OK);
  for (std::thread& each : requests) each.join();
  EXPECT_EQ(caught, 0);
  EXPECT_GT(observe().sleeps, 0u);
  EXPECT_EQ(observe().leases, 0u);
}

TEST_F(CLease, WhoeverHasLeftIsNotWaitedFor) {
  create_asleep();
  int asked = 0;
  lull_acquire_options options;
  lull_acquire_options_init(&options);
  options.keep_waiting = gone;
  options.keep_waiting_user = &asked;
  options.check_every_ns = LULL_MICROSECOND;
  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire_with(sleeper_, &options, &lease), LULL_ERROR_CANCELLED);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(lease.sleeper, nullptr);
  may_wake_ = true;
  EXPECT_EQ(lull_sleeper_acquire_with(sleeper_, nullptr, &lease), LULL_OK);
  EXPECT_EQ(lull_sleeper_acquire_with(sleeper_, &options, &lease), LULL_OK)
      << "awake nobody is asked";
  EXPECT_EQ(observe().leases, 2u);
  lull_lease_release(&lease);
  lull_lease_release(&(lease = {sleeper_, LULL_USE_WORK}));
}

TEST_F(CLease, AWaitEndsAtItsTimeoutAndByItsCancelObject) {
  create_asleep();
  lull_acquire_options options;
  lull_acquire_options_init(&options);
  options.timeout_ns = LULL_MILLISECOND;
  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire_with(sleeper_, &options, &lease), LULL_ERROR_TIMED_OUT);
  outcome late;
  EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, &options, outcome::note, &late), LULL_OK);
  EXPECT_TRUE(eventually([&] { return late.calls == 1; }));
  EXPECT_EQ(late.status, LULL_ERROR_TIMED_OUT);

  lull_cancel* cancel = nullptr;
  ASSERT_EQ(lull_cancel_create(&cancel), LULL_OK);
  options.timeout_ns = LULL_FOREVER;
  options.cancel = cancel;
  outcome cancelled;
  EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, &options, outcome::note, &cancelled), LULL_OK);
  EXPECT_EQ(lull_cancel_request(cancel), LULL_OK);
  lull_cancel_destroy(cancel);
  EXPECT_TRUE(eventually([&] { return cancelled.calls == 1; }));
  EXPECT_EQ(cancelled.status, LULL_ERROR_CANCELLED);
  may_wake_ = true;
}

TEST_F(CLease, OptionsOutsideTheirRangeAreRefused) {
  create();
  lull_lease lease{};
  outcome never;
  const auto refused = [&](const lull_acquire_options& options, const char* words) {
    EXPECT_EQ(lull_sleeper_acquire_with(sleeper_, &options, &lease), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_STREQ(lull_last_error_message(), words);
    EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, &options, outcome::note, &never),
              LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_STREQ(lull_last_error_message(), words);
  };
  lull_acquire_options options;
  lull_acquire_options_init(&options);
  options.timeout_ns = -1;
  refused(options, "options->timeout_ns is -1; it must not be negative");
  lull_acquire_options_init(&options);
  options.check_every_ns = 0;
  refused(options, "options->check_every_ns is 0; it must be above 0");
  EXPECT_EQ(lease.sleeper, nullptr);
  EXPECT_EQ(never.calls, 0);
}

TEST_F(CLease, AwakeItIsHandedOverWithinTheCall) {
  create();
  outcome now;
  EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, nullptr, outcome::note, &now), LULL_OK);
  ASSERT_EQ(now.calls, 1);
  EXPECT_EQ(now.status, LULL_OK);
  EXPECT_EQ(now.where, std::this_thread::get_id());
  EXPECT_EQ(now.lease.sleeper, sleeper_);
  EXPECT_EQ(observe().leases, 1u);
  lull_lease_release(&now.lease);
  EXPECT_EQ(observe().leases, 0u);
}

TEST_F(CLease, AsleepItIsHandedOverWhenAwakeOnceToEachWhoAsked) {
  create_asleep();
  std::vector<outcome> waits(5);
  for (outcome& each : waits) {
    EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, nullptr, outcome::note, &each), LULL_OK);
    EXPECT_EQ(each.calls, 0) << "nothing waits here";
  }
  may_wake_ = true;
  for (outcome& each : waits) {
    EXPECT_TRUE(eventually([&] { return each.calls == 1; }));
    EXPECT_EQ(each.status, LULL_OK);
    EXPECT_NE(each.where, std::this_thread::get_id());
    lull_lease_release(&each.lease);
  }
  EXPECT_EQ(observe().wakes, 1u);
  EXPECT_EQ(observe().leases, 0u);
}

TEST_F(CLease, WhyTheWakeFailedIsTheLastErrorWhereItIsTold) {
  wake_fails_ = "no such file";
  create_asleep();
  EXPECT_EQ(lull_bytes_parse("two", nullptr), LULL_ERROR_INVALID_ARGUMENT);
  const std::string mine = lull_last_error_message();
  outcome failed;
  EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, nullptr, outcome::note, &failed), LULL_OK);
  EXPECT_TRUE(eventually([&] { return failed.calls == 1; }));
  EXPECT_EQ(failed.status, LULL_ERROR_IO);
  EXPECT_EQ(failed.words, "model: no such file");
  EXPECT_EQ(failed.lease.sleeper, nullptr);
  EXPECT_EQ(lull_last_error_message(), mine) << "which is not this thread's";
}

TEST_F(CLease, WaitsThatAreLeftEndWithTheSleeper) {
  create_asleep();
  std::atomic<bool> waking{false};
  model_.wake = [&](const lull_sleep_plan&, lull_transition* now) {
    waking = true;
    while (lull_transition_stop_requested(now) == 0) std::this_thread::yield();
    return lull_transition_fail(now, LULL_ERROR_CANCELLED, "the server ends");
  };
  outcome left;
  EXPECT_EQ(lull_sleeper_acquire_async(sleeper_, nullptr, outcome::note, &left), LULL_OK);
  EXPECT_TRUE(eventually([&] { return waking.load(); }));
  destroy();
  EXPECT_EQ(left.calls, 1);
  EXPECT_EQ(left.status, LULL_ERROR_CANCELLED);
}

TEST_F(CLease, AParticipantThatAsksForOneIsToldThatItWouldWaitForItself) {
  create();
  model_.sleep = [this](const lull_sleep_plan&, lull_transition* now) {
    lull_lease lease{};
    EXPECT_EQ(lull_sleeper_acquire(sleeper_, LULL_FOREVER, nullptr, &lease), LULL_ERROR_BUSY);
    EXPECT_EQ(lull_sleeper_acquire_with(sleeper_, nullptr, &lease), LULL_ERROR_BUSY);
    return lull_transition_fail(now, LULL_ERROR_BUSY, nullptr);
  };
  const lull_participant who = model_.as_c();
  ASSERT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK);
  EXPECT_EQ(sleep(), LULL_ERROR_BUSY);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("it would wait for itself"));
}

}  // namespace
