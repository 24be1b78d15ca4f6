#include "server/slots.hpp"

#include <lull/error.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

lull::status failure_of(example::slots& slots, lull::time_point deadline,
                        const std::stop_token& stop) {
  try {
    slots.take(deadline, stop);
  } catch (const lull::error& failure) {
    return failure.code();
  }
  return lull::status::ok;
}

TEST(Slots, AreTakenUntilNoneIsFree) {
  example::slots slots(2);
  const auto past = lull::steady_clock().now();
  EXPECT_EQ(failure_of(slots, past, {}), lull::status::ok);
  EXPECT_EQ(failure_of(slots, past, {}), lull::status::ok);
  EXPECT_EQ(failure_of(slots, past, {}), lull::status::timed_out);
  slots.give_back();
  EXPECT_EQ(failure_of(slots, past, {}), lull::status::ok);
}

TEST(Slots, AWaitCanBeCancelled) {
  example::slots slots(1);
  slots.take(lull::no_deadline, {});
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(failure_of(slots, lull::no_deadline, stop.get_token()), lull::status::cancelled);
}

TEST(Slots, NoReleaseIsOverslept) {
  constexpr int most = 3;
  example::slots slots(most);
  std::atomic<int> taken{0};
  std::atomic<int> highest{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 500; ++round) {
          slots.take(lull::no_deadline, {});
          const int now = ++taken;
          int before = highest.load();
          while (before < now && !highest.compare_exchange_weak(before, now)) {
          }
          std::this_thread::yield();
          --taken;
          slots.give_back();
        }
      });
    }
  }
  EXPECT_LE(highest.load(), most);
  EXPECT_EQ(taken.load(), 0);
}

}  // namespace
