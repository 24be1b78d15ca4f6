// Several threads on one cache; meant to be run under the thread sanitizer too.

#include <lull/graph_cache.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "support/host_graph.hpp"

namespace {

using lull::status;
using lull::test::error_of;
using lull::test::eventually;
using lull::test::host_graph;
using lull::test::page;
using testing::HasSubstr;

/// Waits for something that another thread is about to do.
void until(const std::function<bool()>& condition) {
  EXPECT_TRUE(eventually(condition));
}

/// The machine's clock, which knows how many threads wait by it. They begin to under the cache's
/// lock, so who is counted will see whatever happens to the cache from then on.
class attended_clock final : public lull::clock {
 public:
  [[nodiscard]] lull::time_point now() const noexcept override {
    return lull::steady_clock().now();
  }
  void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  lull::time_point deadline) const override {
    ++waiting_;
    lull::steady_clock().wait_until(changed, lock, deadline);
    --waiting_;
  }
  [[nodiscard]] int waiting() const { return waiting_; }

 private:
  mutable std::atomic<int> waiting_{0};
};

/// Runs `body(index)` on so many threads and waits for them.
void on_threads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (std::thread& each : threads) each.join();
}

class GraphConcurrency : public testing::Test {
 protected:
  using cache = lull::graph_cache<std::uint64_t, host_graph*>;

  cache::handle get(cache& where, std::uint64_t key) {
    return where.get_or_capture(key, [&] { return driver_->capture(page, key); },
                                {.bytes = page, .room_deadline = lull::no_deadline});
  }

  std::shared_ptr<lull::test::host_graph_driver> driver_ =
      std::make_shared<lull::test::host_graph_driver>();
  attended_clock clock_;
};

TEST_F(GraphConcurrency, OneCapturePerKey) {
  cache here(driver_, {.clock = &clock_});
  std::atomic<int> captures{0};
  on_threads(8, [&](int) {
    const auto handle = here.get_or_capture(1, [&] {
      ++captures;
      until([&] { return clock_.waiting() == 7; });
      return driver_->capture(page, 42);
    });
    EXPECT_EQ((*handle)->value, 42U);
  });
  EXPECT_EQ(captures, 1);
  EXPECT_EQ(here.stats().hits, 7U);
  EXPECT_EQ(here.stats().misses, 1U);
}

TEST_F(GraphConcurrency, AFailedCaptureFailsThoseWhoWaited) {
  cache here(driver_, {.clock = &clock_});
  std::promise<void> begun;
  std::promise<void> fail;
  std::thread leader([&] {
    EXPECT_THROW((void)here.get_or_capture(1,
                                           [&]() -> host_graph* {
                                             begun.set_value();
                                             fail.get_future().wait();
                                             throw std::runtime_error("stream was busy");
                                           }),
                 std::runtime_error);
  });
  begun.get_future().wait();
  const auto not_needed = [&] { return driver_->capture(page, 1); };
  EXPECT_EQ(error_of([&] {
              (void)here.get_or_capture(1, not_needed, {.deadline = lull::time_point{}});
            }).code(),
            status::timed_out);
  std::thread follower([&] {
    const auto failure = error_of([&] { (void)here.get_or_capture(1, not_needed); });
    EXPECT_EQ(failure.code(), status::callback);
    EXPECT_THAT(failure.what(), HasSubstr("stream was busy"));
    EXPECT_THAT(failure.what(), HasSubstr("this call waited for"));
  });
  until([&] { return clock_.waiting() == 1; });
  fail.set_value();
  leader.join();
  follower.join();
  EXPECT_EQ(here.size(), 0U);
  EXPECT_EQ(driver_->captured, 0U);
}

TEST_F(GraphConcurrency, NothingIsDestroyedInUseOrDuringACapture) {
  cache here(driver_, {.limits = {.entries = 12}});
  std::atomic<std::uint64_t> checks{0};
  std::atomic<bool> stop{false};
  std::thread sweeper([&] {
    for (std::uint64_t i = 0; !stop; ++i) {
      if (i % 16 == 0) here.trim();
      if (i % 5 == 0) here.set_limits({.entries = 8 + i % 8});
      here.sweep(lull::steady_clock().now());
      (void)here.stats();
      (void)here.erase(i % 24);
      std::this_thread::yield();
    }
  });
  on_threads(4, [&](int index) {
    std::mt19937_64 random(static_cast<std::uint64_t>(index));
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t key = random() % 24;
      auto handle = i % 3 == 0 ? here.find(key) : get(here, key);
      if (!handle) continue;
      ASSERT_EQ((*handle)->value, key);
      if (random() % 4 == 0) std::this_thread::yield();
      ASSERT_EQ((*handle)->value, key) << "destroyed while in use";
      ++checks;
    }
  });
  stop = true;
  sweeper.join();
  here.clear();
  EXPECT_GT(checks, 1000U);
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
  EXPECT_EQ(driver_->live(), 0U);
  EXPECT_EQ(here.stats().handles, 0U);
}

TEST_F(GraphConcurrency, LookupsSurviveEvictionOfWhatTheyFind) {
  cache here(driver_, {.limits = {.entries = 4}});
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> found{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      for (std::uint64_t key = 0; !stop; key = (key + 1) % 8) {
        if (const auto handle = here.find(key)) {
          ASSERT_EQ((*handle)->value, key);
          ++found;
        }
      }
    });
  }
  for (std::uint64_t i = 0; i < 4000; ++i) get(here, i % 8);
  until([&] { return found > 100; });
  stop = true;
  for (std::thread& each : readers) each.join();
  const auto stats = here.stats();
  EXPECT_LE(stats.peak_entries, 4U + 3U) << "the bound, and what readers held while it went";
  here.clear();
  EXPECT_EQ(driver_->live(), 0U);
}

TEST_F(GraphConcurrency, LookupsSurviveKeysThatMoveInTheIndex) {
  struct few_homes {
    std::size_t operator()(std::uint64_t key) const { return key % 2; }
  };
  lull::graph_cache<std::uint64_t, host_graph*, few_homes> here(driver_,
                                                                {.limits = {.entries = 12}});
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> found{0};
  std::vector<std::thread> readers;
  for (std::uint64_t first = 0; first < 2; ++first) {
    readers.emplace_back([&, first] {
      for (std::uint64_t key = first; !stop; key = (key + 1) % 24) {
        if (const auto handle = here.find(key)) {
          ASSERT_EQ((*handle)->value, key);
          ++found;
        }
      }
    });
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 4000; ++i) {
    const std::uint64_t key = random() % 24;
    if (i % 3 == 0) {
      (void)here.erase(key);
    } else {
      (void)here.get_or_capture(key, [&] { return driver_->capture(page, key); },
                                {.bytes = page, .room_deadline = lull::no_deadline});
    }
  }
  until([&] { return found > 100; });
  stop = true;
  for (std::thread& each : readers) each.join();
  here.clear();
  EXPECT_EQ(driver_->live(), 0U);
  EXPECT_EQ(here.stats().handles, 0U);
}

TEST_F(GraphConcurrency, HandlesCanBeReleasedElsewhere) {
  cache here(driver_);
  for (std::uint64_t key = 0; key < 32; ++key) {
    cache::handle handle = get(here, key);
    cache::handle found = here.find(key);
    here.erase(key);
    std::thread([moved = std::move(found)]() mutable { moved.release(); }).join();
    EXPECT_EQ(driver_->destroyed, key);
    handle.release();
    EXPECT_EQ(driver_->destroyed, key + 1);
  }
}

TEST_F(GraphConcurrency, ThreadsThatEndLeaveTheirHandles) {
  cache here(driver_);
  get(here, 1);
  std::vector<cache::handle> handles;
  for (int i = 0; i < 20; ++i) {
    std::thread([&] { handles.push_back(here.find(1)); }).join();
  }
  here.erase(1);
  EXPECT_EQ(here.stats().handles, 20U);
  while (!handles.empty()) {
    EXPECT_EQ((*handles.back())->value, 1U);
    handles.pop_back();
  }
  EXPECT_EQ(driver_->live(), 0U);
}

TEST_F(GraphConcurrency, ClearWaitsForWhatIsInFlight) {
  cache here(driver_);
  auto handle = get(here, 1);
  std::promise<void> capturing;
  std::promise<void> end;
  std::thread capture([&] {
    const auto made = here.get_or_capture(2, [&] {
      capturing.set_value();
      end.get_future().wait();
      return driver_->capture(page, 2);
    });
  });
  capturing.get_future().wait();
  std::atomic<bool> cleared{false};
  std::thread clear([&] {
    here.clear();
    cleared = true;
  });
  until([&] { return here.size() == 0; });
  handle.release();
  EXPECT_FALSE(cleared);
  end.set_value();
  clear.join();
  capture.join();
  EXPECT_EQ(driver_->live(), 0U);
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
}

TEST_F(GraphConcurrency, RoomCanBeWaitedFor) {
  cache here(driver_, {.limits = {.entries = 1}, .clock = &clock_});
  auto handle = get(here, 1);
  std::thread waiter([&] { EXPECT_TRUE(get(here, 2)); });
  until([&] { return clock_.waiting() == 1; });
  EXPECT_EQ(driver_->captured, 1U);
  handle.release();
  waiter.join();
  EXPECT_FALSE(here.find(1));
  EXPECT_EQ(driver_->live(), 1U);
}

TEST_F(GraphConcurrency, CapturesThatWaitForEachOtherDoNotHang) {
  // B captures 2 and needs room, which A's capture holds off; A asks for 2 inside its capture.
  cache here(driver_, {.limits = {.entries = 2}});
  get(here, 100);
  std::promise<void> a_captures;
  std::thread a([&] {
    (void)here.get_or_capture(1, [&] {
      a_captures.set_value();
      until([&] { return here.stats().misses == 3; });
      EXPECT_EQ((*get(here, 2))->value, 2U);
      return driver_->capture(page, 1);
    });
  });
  a_captures.get_future().wait();
  std::thread b([&] { EXPECT_EQ((*get(here, 2))->value, 2U); });
  a.join();
  b.join();
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
  EXPECT_LE(here.size(), 2U);
}

TEST_F(GraphConcurrency, SharedBudgetUnderThreads) {
  const lull::graph_budget budget(8);
  std::vector<std::unique_ptr<cache>> contexts;
  for (int i = 0; i < 4; ++i) {
    contexts.push_back(
        std::make_unique<cache>(driver_, lull::graph_cache_options{.budget = budget}));
  }
  on_threads(4, [&](int index) {
    cache& mine = *contexts[static_cast<std::size_t>(index)];
    for (std::uint64_t key = 0; key < 300; ++key) {
      EXPECT_EQ((*get(mine, key % 6))->value, key % 6);
    }
  });
  EXPECT_LE(budget.entries(), 8U);
  contexts.clear();
  EXPECT_EQ(driver_->live(), 0U);
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
}

}  // namespace
