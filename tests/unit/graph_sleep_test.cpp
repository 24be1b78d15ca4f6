// A graph cache that sleeps with the sleeper.

#include <lull/lull.hpp>

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
