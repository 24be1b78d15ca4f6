#include "server/slots.hpp"

#include <lull/error.hpp>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

lull::status failure_of(example::slots& slots, lull::time_point deadline,
                        const std::stop_token& stop) {
  try {
    static_cast<void>(slots.take(deadline, stop));
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
  slots.give_back(1);
  EXPECT_EQ(failure_of(slots, past, {}), lull::status::ok);
}

TEST(Slots, AreNumberedAndTheLastGivenBackIsTakenFirst) {
  example::slots slots(3);
  const auto take = [&] { return slots.take(lull::steady_clock().now(), {}); };
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 1);
  EXPECT_EQ(take(), 2);
  slots.give_back(0);
  slots.give_back(2);
  EXPECT_EQ(take(), 2);
  EXPECT_EQ(take(), 0);
}

TEST(Slots, AWaitCanBeCancelled) {
  example::slots slots(1);
  static_cast<void>(slots.take(lull::no_deadline, {}));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(failure_of(slots, lull::no_deadline, stop.get_token()), lull::status::cancelled);
}

TEST(Slots, NoReleaseIsOverslept) {
  constexpr int most = 3;
  example::slots slots(most);
  std::atomic<int> taken{0};
  std::atomic<int> highest{0};
  std::array<std::atomic<bool>, most> in_use{};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 500; ++round) {
          const int slot = slots.take(lull::no_deadline, {});
          EXPECT_FALSE(in_use.at(static_cast<std::size_t>(slot)).exchange(true))
              << "one slot, two holders";
          const int now = ++taken;
          int before = highest.load();
          while (before < now && !highest.compare_exchange_weak(before, now)) {
          }
          std::this_thread::yield();
          --taken;
          in_use.at(static_cast<std::size_t>(slot)) = false;
          slots.give_back(slot);
        }
      });
    }
  }
  EXPECT_LE(highest.load(), most);
  EXPECT_EQ(taken.load(), 0);
}

}  // namespace
