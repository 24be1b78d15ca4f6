// A graph cache that sleeps with the sleeper.

#include <lull/lull.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "support/host_graph.hpp"

namespace {

using namespace std::chrono_literals;
using lull::status;
using lull::test::error_of;
using lull::test::host_graph;

TEST(GraphSleep, ASleepClearsTheCache) {
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  lull::manual_clock clock;
  lull::graph_cache<int, host_graph*> cache(driver, {.clock = &clock});
  lull::sleeper sleeper;
  sleeper.manage(cache, 0s);
  const auto capture = [&] { return driver->capture(4096, 1); };
  for (int key = 0; key < 5; ++key) (void)cache.get_or_capture(key, capture);

  auto in_use = cache.find(3);
  EXPECT_EQ(error_of([&] { sleeper.sleep(); }).code(), status::timed_out);
  EXPECT_EQ(sleeper.observe().state, lull::sleep_state::awake);
  in_use.release();

  for (int key = 0; key < 5; ++key) (void)cache.get_or_capture(key, capture);
  const auto report = sleeper.sleep();
  EXPECT_EQ(driver->live(), 0U);
  ASSERT_EQ(report.steps.size(), 1U);
  EXPECT_EQ(report.steps[0].name, "destroy graphs");

  sleeper.wake();
  EXPECT_TRUE(cache.get_or_capture(3, capture));
  EXPECT_EQ(error_of([&] { sleeper.manage(cache, -1s); }).code(), status::invalid_argument);
}

TEST(GraphSleep, ATrimEmptiesCachesAndKeepsContents) {
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  lull::graph_cache<int, host_graph*> cache(driver);
  lull::memory memory;
  lull::sleeper sleeper;
  sleeper.manage(memory);
  sleeper.manage(cache);
  const lull::region weights = memory.allocate(lull::registry::shared().find("HOST"), 1 << 20);
  (void)cache.get_or_capture(1, [&] { return driver->capture(4096, 1); });

  const auto report = sleeper.sleep(lull::plan_for(lull::sleep_level::trim));
  EXPECT_EQ(driver->live(), 0U);
  EXPECT_NE(weights.state(), lull::residency::discarded);
  EXPECT_EQ(report.steps.front().name, "trim graphs");
  EXPECT_EQ(sleeper.observe().state, lull::sleep_state::asleep);
  sleeper.wake();
}

/// A sleeper that is polled, and a cache with an idle time of 8 s, on one clock.
class GraphUpkeep : public testing::Test {
 protected:
  void capture(int key) {
    (void)cache_.get_or_capture(key, [&] { return driver_->capture(4096, 1); });
  }
  /// Upkeep happens on the sleeper's thread.
  void poll_until(const std::function<bool()>& done) {
    static_cast<void>(sleeper_.poll(clock_.now()));
    ASSERT_TRUE(lull::test::eventually(done));
  }

  lull::manual_clock clock_;
  std::shared_ptr<lull::test::host_graph_driver> driver_ =
      std::make_shared<lull::test::host_graph_driver>();
  lull::graph_cache<int, host_graph*> cache_{driver_,
                                             {.limits = {.idle_time = 8s}, .clock = &clock_}};
  lull::sleeper sleeper_{{.clock = &clock_}};
};

TEST_F(GraphUpkeep, ShrinksACacheThatNobodyLooksUp) {
  sleeper_.manage(cache_);
  capture(1);
  EXPECT_EQ(sleeper_.next_deadline(), cache_.next_deadline());
  clock_.advance(4s);
  capture(2);
  clock_.advance(4s);
  poll_until([&] { return cache_.size() == 1; });
  EXPECT_FALSE(cache_.find(1));
  clock_.advance(4s);
  // The lookup above was of another key.
  poll_until([&] { return cache_.size() == 0; });
  EXPECT_EQ(driver_->live(), 0U);
  EXPECT_EQ(sleeper_.observe().state, lull::sleep_state::awake);
}

TEST_F(GraphUpkeep, GoesOnWhileALeaseIsOut) {
  sleeper_.manage(cache_);
  const auto lease = sleeper_.acquire();
  capture(1);
  clock_.advance(8s);
  poll_until([&] { return driver_->live() == 0; });
}

TEST_F(GraphUpkeep, AnEmptyCacheIsLookedAtAgain) {
  sleeper_.manage(cache_);
  EXPECT_EQ(sleeper_.next_deadline(), clock_.now() + 8s);
  clock_.advance(8s);
  poll_until([&] { return sleeper_.next_deadline() == clock_.now() + 8s; });
}

TEST_F(GraphUpkeep, AnIdleTimeThatIsSetLaterIsNoticed) {
  cache_.set_limits({});
  sleeper_.manage(cache_);
  EXPECT_EQ(sleeper_.next_deadline(), clock_.now() + 1min);
  capture(1);
  cache_.set_limits({.idle_time = 2h});
  EXPECT_EQ(sleeper_.next_deadline(), clock_.now() + 1min) << "it may be shortened";
}

TEST_F(GraphUpkeep, NeedsNoPollingWhereTheSleeperWatches) {
  lull::sleeper watching({.watch_idle = true, .clock = &clock_});
  watching.manage(cache_);
  capture(1);
  for (int second = 0; second < 16; ++second) clock_.advance(1s);
  EXPECT_TRUE(lull::test::eventually([&] { return driver_->live() == 0; }));
}

TEST_F(GraphUpkeep, WhatAParticipantThrowsIsLoggedAndOthersGoOn) {
  struct unlucky final : lull::participant {
    [[nodiscard]] std::string_view name() const noexcept override { return "unlucky"; }
    void sleep(const lull::sleep_plan&, lull::transition&) override {}
    void wake(const lull::sleep_plan&, lull::transition&) override {}
    [[nodiscard]] std::optional<lull::time_point> next_upkeep() const noexcept override {
      return done ? std::nullopt : std::optional(lull::time_point{});
    }
    void upkeep(lull::time_point) override {
      done = true;
      throw std::runtime_error("no luck");
    }
    std::atomic<bool> done{false};
  };
  std::mutex mutex;
  std::string logged;
  lull::sleeper_options options;
  options.clock = &clock_;
  options.log = lull::log_sink([&](lull::log_level, std::string_view line) {
    const std::lock_guard lock(mutex);
    logged = line;
  });
  lull::sleeper sleeper(options);
  sleeper.add(std::make_shared<unlucky>());
  sleeper.manage(cache_);
  capture(1);
  clock_.advance(8s);
  static_cast<void>(sleeper.poll(clock_.now()));
  EXPECT_TRUE(lull::test::eventually([&] { return driver_->live() == 0; }));
  const std::lock_guard lock(mutex);
  EXPECT_THAT(logged, testing::HasSubstr("unlucky: upkeep failed: no luck"));
}

}  // namespace
