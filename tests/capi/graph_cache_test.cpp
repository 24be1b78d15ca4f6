// The graph cache by the C API: what C callers rely on. What the cache does in depth is tested in
// C++, in tests/unit/graph_cache_*.cpp.

#include <lull/lull.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph_cache_fixture.hpp"

namespace {

using lull::test::CGraphCache;
using namespace lull::literals;
using lull::test::number;
using lull::test::recipe;
using lull::test::sized;
using lull::test::value;
using testing::ElementsAre;
using testing::IsEmpty;

// --- Lookup and capture -----------------------------------------------------------------------

TEST_F(CGraphCache, CapturesOnceAndFindsFromThenOn) {
  create();
  EXPECT_EQ(look_up(number(1)), 0U) << "no failure, and nothing there";
  recipe how{7};
  for (int i = 0; i < 3; ++i) {
    lull_graph_pin pin{};
    ASSERT_EQ(
        lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &how, nullptr, &pin),
        LULL_OK);
    EXPECT_EQ(value(pin), 7U);
    lull_graph_pin_release(&pin);
  }
  EXPECT_EQ(how.calls, 1);
  EXPECT_EQ(look_up(number(1)), 7U);
  const auto seen = stats();
  EXPECT_EQ(seen.hits, 3U);
  EXPECT_EQ(seen.misses, 2U);
  EXPECT_EQ(seen.captures, 1U);
  EXPECT_EQ(seen.entries, 1U);
  EXPECT_EQ(seen.unknown_footprints, 1U);
  lull_graph_cache_destroy(std::exchange(cache_, nullptr));
  EXPECT_THAT(vendor_.destroyed, ElementsAre(7U));
}

TEST_F(CGraphCache, BothHalvesOfAKeyCount) {
  create();
  // The last has the hash of the first: high times this factor is taken into low.
  const std::array<lull_graph_key, 5> keys{
      {{0, 0}, {0, 1}, {1, 0}, {UINT64_MAX, UINT64_MAX}, {1, 0xC2B2AE3D27D4EB4FU}}};
  for (std::size_t i = 0; i < keys.size(); ++i) {
    recipe how{10 + i};
    lull_graph_pin pin{};
    ASSERT_EQ(
        lull_graph_cache_get_or_capture(cache_, keys[i], recipe::capture, &how, nullptr, &pin),
        LULL_OK);
    lull_graph_pin_release(&pin);
    EXPECT_EQ(how.calls, 1);
  }
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(look_up(keys[i]), 10 + i);
}

TEST_F(CGraphCache, APinSurvivesEviction) {
  options_.limits.entries = 1;
  create();
  lull_graph_pin pin = get(1);
  int32_t erased = -1;
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), &erased), LULL_OK);
  EXPECT_EQ(erased, 1);
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), &erased), LULL_OK);
  EXPECT_EQ(erased, 0);
  EXPECT_EQ(look_up(number(1)), 0U);
  EXPECT_EQ(value(pin), 1001U);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  EXPECT_EQ(stats().pins, 1U);
  EXPECT_EQ(stats().leaving_entries, 1U);

  lull_graph_pin_release(&pin);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(pin.graph, nullptr);
  lull_graph_pin_release(&pin);
  EXPECT_EQ(vendor_.destroyed.size(), 1U) << "a second release is harmless";
  EXPECT_EQ(stats().pins, 0U);
}

TEST_F(CGraphCache, APinMayBeCopiedAndReleasedOnAnotherThread) {
  create();
  const lull_graph_pin pin = get(1);
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), nullptr), LULL_OK);
  std::thread([copy = pin]() mutable { lull_graph_pin_release(&copy); }).join();
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
}

TEST_F(CGraphCache, APinOutlivesACacheThatWasDestroyedTooEarly) {
  create();
  lull_graph_pin pin = get(1);
  lull_graph_cache_destroy(std::exchange(cache_, nullptr));
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  lull_graph_pin_release(&pin);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
}

// --- Warming up, and updating -----------------------------------------------------------------

TEST_F(CGraphCache, AnEntryMayComeBeforeItsGraphAndGetOthersInItsPlace) {
  create();
  lull_graph_pin pin{};
  ASSERT_EQ(lull_graph_cache_get_or_insert(cache_, number(1), nullptr, &pin), LULL_OK);
  EXPECT_EQ(pin.graph, nullptr);
  ASSERT_NE(pin.entry, nullptr);
  EXPECT_EQ(stats().entries, 1U);
  EXPECT_EQ(look_up(number(1)), 0U) << "there is no graph to be found";

  recipe first{7, 1_MiB};
  ASSERT_EQ(lull_graph_pin_recapture(&pin, recipe::capture, &first, nullptr), LULL_OK)
      << lull_last_error_message();
  EXPECT_EQ(value(pin), 7U);
  EXPECT_EQ(stats().bytes, 1_MiB);
  recipe in_place{7, 2_MiB};
  ASSERT_EQ(lull_graph_pin_recapture(&pin, recipe::capture, &in_place, nullptr), LULL_OK);
  EXPECT_EQ(stats().bytes, 2_MiB);
  EXPECT_EQ(stats().updated, 1U);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  recipe anew{8, 1_MiB};
  ASSERT_EQ(lull_graph_pin_recapture(&pin, recipe::capture, &anew, nullptr), LULL_OK);
  EXPECT_EQ(value(pin), 8U);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(7U));

  recipe fails{9, LULL_UNKNOWN, LULL_ERROR_BACKEND};
  EXPECT_EQ(lull_graph_pin_recapture(&pin, recipe::capture, &fails, nullptr), LULL_ERROR_BACKEND);
  EXPECT_EQ(value(pin), 8U);
  lull_graph_pin_release(&pin);
  EXPECT_EQ(look_up(number(1)), 8U) << "a failure leaves it as it was";
  EXPECT_EQ(stats().pins, 0U);
}

TEST_F(CGraphCache, WhatLeavesIsTold) {
  static std::vector<std::uint64_t> gone;
  gone.clear();
  options_.limits.entries = 2;
  options_.evicted = [](void* user, lull_graph_key key) {
    EXPECT_EQ(user, &gone);
    gone.push_back(key.low);
  };
  options_.evicted_user = &gone;
  create();
  for (std::uint64_t key = 1; key <= 3; ++key) put(key);
  EXPECT_THAT(gone, ElementsAre(1U));
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(3), nullptr), LULL_OK);
  EXPECT_THAT(gone, ElementsAre(1U, 3U));
}

TEST_F(CGraphCache, AllEntriesCanBeSeen) {
  create();
  for (std::uint64_t key = 1; key <= 3; ++key) put(key);
  std::vector<std::uintptr_t> seen;
  const auto see = [](void* user, lull_graph_key key, void* graph) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(graph), 1000 + key.low);
    static_cast<std::vector<std::uintptr_t>*>(user)->push_back(key.low);
  };
  EXPECT_EQ(lull_graph_cache_for_each(cache_, see, &seen), LULL_OK);
  EXPECT_THAT(seen, testing::UnorderedElementsAre(1U, 2U, 3U));
}

// --- Observing --------------------------------------------------------------------------------

TEST_F(CGraphCache, AnOlderStatsStructIsNotWrittenBeyondItsEnd) {
  create();
  put(1);
  auto seen = sized<lull_graph_stats>();
  seen.struct_size = offsetof(lull_graph_stats, captures);
  seen.captures = 4711;
  EXPECT_EQ(lull_graph_cache_stats(cache_, &seen), LULL_OK);
  EXPECT_EQ(seen.misses, 1U);
  EXPECT_EQ(seen.captures, 4711U);
}

// --- Threads ----------------------------------------------------------------------------------

TEST_F(CGraphCache, ManyThreadsShareACacheThatIsTooSmall) {
  // The driver's lists are one thread's at a time: the cache destroys on one thread at a time.
  options_.limits.entries = 8;
  create();
  constexpr int threads = 4;
  constexpr int lookups = 500;
  std::vector<std::future<int>> all;
  for (int i = 0; i < threads; ++i) {
    all.push_back(std::async(std::launch::async, [this, i] {
      int wrong = 0;
      for (int n = 0; n < lookups; ++n) {
        const auto key = static_cast<std::uint64_t>((n * 7 + i) % 16);
        lull_graph_pin pin = get(key);
        if (value(pin) != 1000 + key) ++wrong;
        lull_graph_pin_release(&pin);
      }
      return wrong;
    }));
  }
  for (auto& each : all) EXPECT_EQ(each.get(), 0);
  const auto seen = stats();
  EXPECT_EQ(seen.hits + seen.misses, std::uint64_t{threads} * lookups);
  EXPECT_LE(seen.peak_entries, 8U);
  EXPECT_EQ(seen.captures - seen.entries, vendor_.destroyed.size());
  EXPECT_EQ(seen.pins, 0U);
}

}  // namespace
