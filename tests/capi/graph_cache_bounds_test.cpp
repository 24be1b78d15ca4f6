// The graph cache by the C API: bounds, and what goes when.

#include <lull/lull.h>

#include <cstdint>

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
using lull::test::unbounded;
using lull::test::value;
using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(CGraphCache, LimitsBoundAndCanBeChanged) {
  options_.limits = {2, 4_MiB, LULL_MINUTE};
  create();
  lull_graph_limits limits{};
  EXPECT_EQ(lull_graph_cache_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(limits.entries, 2U);
  EXPECT_EQ(limits.bytes, 4_MiB);
  EXPECT_EQ(limits.idle_time_ns, LULL_MINUTE);

  for (std::uint64_t key = 1; key <= 3; ++key) put(key, 1_MiB);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U)) << "least recently used";
  EXPECT_EQ(stats().evicted_for_entries, 1U);
  put(4, 4_MiB);
  EXPECT_EQ(stats().entries, 1U);
  EXPECT_GE(stats().evicted_for_bytes, 1U);

  limits = unbounded;
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &limits), LULL_OK);
  for (std::uint64_t key = 5; key < 15; ++key) put(key, 1_MiB);
  EXPECT_EQ(stats().entries, 11U) << "nothing bounds it";
  limits.entries = 3;
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(stats().entries, 3U);
  EXPECT_EQ(lull_graph_cache_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(limits.bytes, LULL_NO_LIMIT);
  EXPECT_EQ(limits.idle_time_ns, LULL_FOREVER);
}

TEST_F(CGraphCache, WhatCannotFitIsRefusedAndWhatIsInUseKeepsItsPlace) {
  options_.limits = {1, 2_MiB, LULL_FOREVER};
  create();
  recipe large{7, 3_MiB};
  lull_graph_pin none{};
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &large, nullptr, &none),
      LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(7U));

  lull_graph_capture_options wishes{};
  lull_graph_capture_options_init(&wishes);
  wishes.bytes = 3_MiB;
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &large, &wishes, &none),
      LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_EQ(large.calls, 1) << "known beforehand, so not captured at all";
  EXPECT_EQ(stats().rejected, 2U);

  lull_graph_pin in_use = get(2, 1_MiB);
  recipe small{8, 1_MiB};
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(3), recipe::capture, &small, nullptr, &none),
      LULL_ERROR_BUSY);
  lull_graph_capture_options_init(&wishes);
  wishes.room_timeout_ns = LULL_MILLISECOND;
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(3), recipe::capture, &small, &wishes, &none),
      LULL_ERROR_BUSY);
  EXPECT_EQ(small.calls, 0);
  lull_graph_pin_release(&in_use);
  lull_graph_pin got = get(3, 1_MiB);
  EXPECT_EQ(value(got), 1003U);
  lull_graph_pin_release(&got);
}

TEST_F(CGraphCache, ABudgetBoundsSeveralCachesAndMayBeDestroyedEarly) {
  lull_graph_budget* budget = nullptr;
  ASSERT_EQ(lull_graph_budget_create(3, LULL_NO_LIMIT, &budget), LULL_OK);
  options_.budget = budget;
  create();
  lull_graph_cache* other = nullptr;
  ASSERT_EQ(lull_graph_cache_create(&options_, &other), LULL_OK);
  put(1, 1_MiB);
  put(2, 1_MiB);
  for (std::uint64_t key = 3; key <= 4; ++key) {
    lull_graph_pin pin = get_from(other, key, 1_MiB);
    lull_graph_pin_release(&pin);
  }
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  EXPECT_EQ(lull_graph_budget_usage(budget, &entries, &bytes), LULL_OK);
  EXPECT_EQ(entries, 3U);
  EXPECT_EQ(bytes, 3_MiB);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U)) << "least recently used of both";
  EXPECT_EQ(lull_graph_budget_usage(budget, nullptr, nullptr), LULL_OK);

  EXPECT_EQ(lull_graph_budget_set_limits(budget, LULL_NO_LIMIT, 2_MiB), LULL_OK);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U, 1002U));
  lull_graph_budget_destroy(budget);
  put(5, 1_MiB);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U, 1002U, 1003U)) << "the bound still holds";
  lull_graph_cache_destroy(other);
}

TEST_F(CGraphCache, TheFrequencyFilterKeepsWhatComesOften) {
  options_.limits.entries = 10;
  options_.frequency_filter = 1;
  create();
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t key = 1; key <= 5; ++key) put(key);
  }
  for (std::uint64_t once = 100; once < 200; ++once) put(once);
  int kept = 0;
  for (std::uint64_t key = 1; key <= 5; ++key) kept += look_up(number(key)) != 0 ? 1 : 0;
  EXPECT_EQ(kept, 5);

  EXPECT_EQ(lull_graph_cache_set_frequency_filter(cache_, 0), LULL_OK);
  for (std::uint64_t once = 200; once < 300; ++once) put(once);
  for (std::uint64_t key = 1; key <= 5; ++key) EXPECT_EQ(look_up(number(key)), 0U) << key;
}

TEST_F(CGraphCache, WhatIsIdleGoesWithASweep) {
  create();
  std::int64_t in_ns = 0;
  EXPECT_EQ(lull_graph_cache_next_deadline(cache_, &in_ns), LULL_OK);
  EXPECT_EQ(in_ns, LULL_FOREVER);
  put(1);
  const lull_graph_limits far{LULL_NO_LIMIT, LULL_NO_LIMIT, 60 * LULL_MINUTE};
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &far), LULL_OK);
  EXPECT_EQ(lull_graph_cache_next_deadline(cache_, &in_ns), LULL_OK);
  EXPECT_GT(in_ns, 0);
  EXPECT_LE(in_ns, 60 * LULL_MINUTE / 8);
  std::uint64_t evicted = 99;
  EXPECT_EQ(lull_graph_cache_sweep(cache_, &evicted), LULL_OK);
  EXPECT_EQ(evicted, 0U);

  const lull_graph_limits near{LULL_NO_LIMIT, LULL_NO_LIMIT, LULL_MILLISECOND};
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &near), LULL_OK);
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(lull_graph_cache_sweep(cache_, &evicted), LULL_OK);
    return evicted != 0;
  }));
  EXPECT_EQ(evicted, 1U);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(stats().evicted_idle, 1U);
  EXPECT_EQ(lull_graph_cache_sweep(cache_, nullptr), LULL_OK);
}

TEST_F(CGraphCache, ClearingWaitsForPins) {
  create();
  lull_graph_pin pin = get(1);
  put(2);
  EXPECT_EQ(lull_graph_cache_clear(cache_, LULL_MILLISECOND), LULL_ERROR_TIMED_OUT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("graphs"));
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1002U));
  lull_graph_pin_release(&pin);
  EXPECT_EQ(lull_graph_cache_clear(cache_, LULL_FOREVER), LULL_OK);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1002U, 1001U));
}

}  // namespace
