// The graph cache by the C API: what it asks of the vendor's driver, and when.

#include <lull/lull.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph_cache_fixture.hpp"
#include "support/eventually.hpp"

namespace {

using lull::test::CGraphCache;
using lull::test::eventually;
using namespace lull::literals;
using lull::test::number;
using lull::test::recipe;
using lull::test::vendor_node_bytes;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// --- The driver -------------------------------------------------------------------------------

TEST_F(CGraphCache, TheDriverIsAskedForFiguresAndReturnsMemory) {
  vendor_.footprint_bytes = 3_MiB;
  vendor_.used_bytes = 10_MiB;
  create();
  put(1);
  put(2, 1_MiB);
  put(3);
  EXPECT_EQ(stats().bytes, 7_MiB) << "where it is not known the driver is asked";
  std::uint64_t evicted = 0;
  EXPECT_EQ(lull_graph_cache_trim(cache_, &evicted), LULL_OK);
  EXPECT_EQ(evicted, 3U);
  EXPECT_EQ(vendor_.destroyed.size(), 3U);
  EXPECT_EQ(vendor_.synchronizations, 1);
  EXPECT_EQ(vendor_.trims, 1);
  const auto seen = stats();
  EXPECT_EQ(seen.returned_bytes, 7_MiB);
  EXPECT_EQ(seen.measured_returned_bytes, 0U);
  EXPECT_EQ(seen.unknown_footprints, 0U);
  EXPECT_EQ(seen.evicted_cleared, 3U);
}

TEST_F(CGraphCache, TheDriversUserIsGivenBackOnceNothingNeedsIt) {
  static int releases = 0;
  releases = 0;
  driver_.release = [](void* user) {
    EXPECT_NE(user, nullptr);
    ++releases;
  };
  create();
  lull_graph_pin pin = get(1);
  lull_graph_hold* capturing = nullptr;
  ASSERT_EQ(lull_graph_hold_create(LULL_FOREVER, &capturing), LULL_OK);
  put(2);
  ASSERT_EQ(lull_graph_cache_erase(cache_, number(2), nullptr), LULL_OK);
  lull_graph_pin_release(&pin);
  lull_graph_cache_destroy(std::exchange(cache_, nullptr));
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  EXPECT_EQ(releases, 0) << "graphs are left to destroy";
  lull_graph_hold_destroy(capturing);
  EXPECT_EQ(vendor_.destroyed.size(), 2U);
  EXPECT_EQ(releases, 1);

  options_.limits.idle_time_ns = -1;
  EXPECT_EQ(lull_graph_cache_create(&options_, &cache_), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(releases, 2) << "also when there is no cache";
  options_.limits.idle_time_ns = LULL_FOREVER;
  EXPECT_EQ(lull_graph_cache_create(&options_, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(releases, 3);
  driver_.destroy = nullptr;
  EXPECT_EQ(lull_graph_cache_create(&options_, &cache_), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(releases, 4) << "nor a driver";
}

TEST_F(CGraphCache, ABusyDriverIsAskedAgain) {
  create();
  put(1);
  put(2);
  vendor_.answer = LULL_ERROR_BUSY;
  ASSERT_EQ(lull_graph_cache_erase(cache_, number(1), nullptr), LULL_OK);
  EXPECT_EQ(stats().leaving_entries, 1U);
  EXPECT_EQ(stats().failed_destructions, 0U);
  vendor_.answer = LULL_OK;
  ASSERT_EQ(lull_graph_cache_erase(cache_, number(2), nullptr), LULL_OK);
  EXPECT_EQ(stats().leaving_entries, 0U);
  EXPECT_EQ(stats().destroyed, 2U);
}

TEST_F(CGraphCache, TheDriverMayEstimateByTheNodes) {
  create();
  recipe how{7, LULL_UNKNOWN, LULL_OK, 3};
  lull_graph_pin pin{};
  ASSERT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &how, nullptr, &pin),
      LULL_OK);
  lull_graph_pin_release(&pin);
  EXPECT_EQ(stats().bytes, 3 * vendor_node_bytes);
}

TEST_F(CGraphCache, AnythingButDestroyMayBeMissing) {
  driver_.before_destroy = nullptr;
  driver_.trim = nullptr;
  driver_.footprint = nullptr;
  driver_.used_bytes = nullptr;
  create();
  put(1);
  EXPECT_EQ(lull_graph_cache_trim(cache_, nullptr), LULL_OK);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(stats().measured_returned_bytes, LULL_UNKNOWN);
}

TEST_F(CGraphCache, MemoryOfDestroyedGraphsCollectsBeforeItIsTrimmed) {
  options_.trim_after_bytes = 2_MiB;
  create();
  for (std::uint64_t key = 1; key <= 2; ++key) {
    put(key, 1_MiB);
    EXPECT_EQ(lull_graph_cache_erase(cache_, number(key), nullptr), LULL_OK);
    EXPECT_EQ(vendor_.trims, key == 1 ? 0 : 1);
  }
}

TEST_F(CGraphCache, AFailureOfTheDriverIsLoggedAndCounted) {
  std::vector<std::string> lines;
  options_.name = "decode";
  options_.log_user = &lines;
  options_.log = [](void* user, lull_log_level level, const char* line) {
    EXPECT_EQ(level, LULL_LOG_ERROR);
    static_cast<std::vector<std::string>*>(user)->emplace_back(line);
  };
  create();
  put(1);
  vendor_.answer = LULL_ERROR_BACKEND;
  EXPECT_EQ(lull_graph_cache_trim(cache_, nullptr), LULL_OK);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[1], HasSubstr("decode"));
  EXPECT_THAT(lines[1], HasSubstr("the destroy callback returned LULL_ERROR_BACKEND"));
  EXPECT_THAT(lines[2], HasSubstr("the trim callback"));
  EXPECT_EQ(stats().failed_destructions, 1U);
  EXPECT_STREQ(stats().name, "decode");
}

TEST_F(CGraphCache, AfterAResetGraphsAreDroppedWithoutACall) {
  create();
  put(1);
  put(2);
  std::uint64_t dropped = 0;
  EXPECT_EQ(lull_graph_cache_device_was_reset(cache_, &dropped), LULL_OK);
  EXPECT_EQ(dropped, 2U);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  EXPECT_EQ(stats().evicted_stale, 2U);
  EXPECT_EQ(stats().dropped, 2U);
  EXPECT_EQ(look_up(number(1)), 0U);
  put(1);
  EXPECT_EQ(look_up(number(1)), 1001U);
}

// --- Holds and the sleeper --------------------------------------------------------------------

TEST_F(CGraphCache, AHoldHoldsOffDestruction) {
  create();
  put(1);
  lull_graph_hold* hold = nullptr;
  lull_graph_hold* nested = nullptr;
  EXPECT_EQ(lull_graph_hold_count(), 0U);
  ASSERT_EQ(lull_graph_hold_create(LULL_FOREVER, &hold), LULL_OK);
  ASSERT_EQ(lull_graph_hold_create(0, &nested), LULL_OK);
  EXPECT_EQ(lull_graph_hold_count(), 2U);
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), nullptr), LULL_OK);
  lull_graph_hold_destroy(nested);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  lull_graph_hold_destroy(hold);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(lull_graph_hold_count(), 0U);
}

TEST_F(CGraphCache, TheSleeperClears) {
  create();
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  EXPECT_EQ(lull_sleeper_manage_graphs(sleeper, cache_, -1), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("clear_timeout_ns is -1"));
  ASSERT_EQ(lull_sleeper_manage_graphs(sleeper, cache_, 0), LULL_OK);
  lull_graph_pin pin = get(1);
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_ERROR_TIMED_OUT);
  lull_graph_pin_release(&pin);
  put(2);
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_OK) << lull_last_error_message();
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U, 1002U));
  EXPECT_EQ(lull_sleeper_wake(sleeper, LULL_FOREVER, nullptr), LULL_OK);
  put(1);
  EXPECT_EQ(look_up(number(1)), 1001U);
  lull_sleeper_destroy(sleeper);
}

TEST_F(CGraphCache, TheSleeperSweepsWhileAwake) {
  options_.limits.idle_time_ns = 1;
  create();
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  ASSERT_EQ(lull_sleeper_manage_graphs(sleeper, cache_, 0), LULL_OK);
  put(1);
  std::int64_t in_ns = -1;
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper, &in_ns), LULL_OK);
  EXPECT_GE(in_ns, 0);
  EXPECT_TRUE(eventually([&] {  // on the sleeper's thread
    std::int32_t started = 1;
    EXPECT_EQ(lull_sleeper_poll(sleeper, &started), LULL_OK);
    EXPECT_EQ(started, 0);
    return stats().destroyed != 0;
  }));
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(stats().evicted_idle, 1U);
  lull_sleeper_destroy(sleeper);
}

}  // namespace
