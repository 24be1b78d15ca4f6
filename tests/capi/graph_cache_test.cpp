// The graph cache by the C API: what C callers rely on. What the cache does in depth is tested in
// C++, in tests/unit/graph_cache_*.cpp.

#include <lull/lull.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph_cache_fixture.hpp"

namespace {

using lull::test::CGraphCache;
using lull::test::MiB;
using lull::test::number;
using lull::test::recipe;
using lull::test::sized;
using lull::test::value;
using testing::ElementsAre;
using testing::HasSubstr;
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

// --- Updating ---------------------------------------------------------------------------------

/// The distance of numbers; keys above 100 cannot be used.
std::uint64_t distance_of_numbers(void* user, lull_graph_key key) {
  const std::uint64_t sought = *static_cast<const std::uint64_t*>(user);
  if (key.low > 100) return UINT64_MAX;
  return key.low > sought ? key.low - sought : sought - key.low;
}

/// A capture that updates what is near, as a vendor's update of an executable does.
struct updating {
  lull_graph_cache* cache;
  std::uint64_t sought;
  bool claims = true;
  std::uint64_t taken_key = 0;

  static lull_status capture(void* user, lull_captured_graph* captured) {
    auto& self = *static_cast<updating*>(user);
    lull_graph_taken taken{};
    EXPECT_EQ(lull_graph_cache_take_nearest(self.cache, distance_of_numbers, &self.sought, &taken),
              LULL_OK);
    self.taken_key = taken.key.low;
    captured->graph = self.claims ? lull_graph_taken_claim(&taken) : reinterpret_cast<void*>(7);
    EXPECT_EQ(taken.graph == nullptr, self.claims);
    lull_graph_taken_release(&taken);
    EXPECT_EQ(taken.graph, nullptr);
    EXPECT_EQ(lull_graph_taken_claim(&taken), nullptr);
    lull_graph_taken_release(&taken);
    return LULL_OK;
  }
};

TEST_F(CGraphCache, TheNearestGraphCanBecomeAnother) {
  create();
  for (const std::uint64_t key : {10U, 20U, 500U}) put(key);
  updating how{cache_, 18};
  lull_graph_pin pin{};
  ASSERT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(18), updating::capture, &how, nullptr, &pin),
      LULL_OK)
      << lull_last_error_message();
  EXPECT_EQ(how.taken_key, 20U);
  EXPECT_EQ(value(pin), 1020U) << "the same executable";
  lull_graph_pin_release(&pin);
  EXPECT_EQ(look_up(number(20)), 0U);
  EXPECT_EQ(look_up(number(18)), 1020U);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  EXPECT_EQ(stats().evicted_updated, 1U);
}

TEST_F(CGraphCache, WhatWasTakenAndNotClaimedIsDestroyed) {
  create();
  put(10);
  updating how{cache_, 18, false};
  lull_graph_pin pin{};
  ASSERT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(18), updating::capture, &how, nullptr, &pin),
      LULL_OK);
  lull_graph_pin_release(&pin);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1010U));
  EXPECT_EQ(look_up(number(18)), 7U);
}

TEST_F(CGraphCache, NothingIsTakenThatIsImpossibleOrInUse) {
  create();
  put(500);
  lull_graph_pin in_use = get(20);
  std::uint64_t sought = 20;
  lull_graph_taken taken{number(1), this, this};
  EXPECT_EQ(lull_graph_cache_take_nearest(cache_, distance_of_numbers, &sought, &taken), LULL_OK);
  EXPECT_EQ(taken.graph, nullptr);
  lull_graph_taken_release(&taken);
  lull_graph_pin_release(&in_use);
  EXPECT_EQ(lull_graph_cache_take_nearest(cache_, distance_of_numbers, &sought, &taken), LULL_OK);
  EXPECT_EQ(taken.graph, reinterpret_cast<void*>(1020));
  EXPECT_EQ(taken.key.low, 20U);
  lull_graph_taken_release(&taken);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1020U));
}

// --- Observing --------------------------------------------------------------------------------

using text_function = lull_status (*)(const lull_graph_cache*, char*, std::size_t, std::size_t*);

std::string text_of(text_function ask, const lull_graph_cache* cache) {
  std::size_t size = 0;
  EXPECT_EQ(ask(cache, nullptr, 0, &size), LULL_OK);
  std::vector<char> room(size + 1, 'x');
  std::size_t written = 0;
  EXPECT_EQ(ask(cache, room.data(), size, &written), LULL_OK);
  EXPECT_EQ(written, size);
  EXPECT_EQ(room[size - 1], '\0');
  EXPECT_EQ(room[size], 'x') << "nothing beyond";

  room.assign(size, 'x');
  EXPECT_EQ(ask(cache, room.data(), size - 1, &written), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(written, size);
  EXPECT_EQ(room[0], 'x') << "nothing is cut";
  EXPECT_EQ(ask(cache, room.data(), size, &written), LULL_OK);
  return room.data();
}

TEST_F(CGraphCache, TextsAreHandedOutWhole) {
  options_.name = "decode";
  create();
  put(1, MiB);
  EXPECT_THAT(text_of(lull_graph_cache_to_json, cache_),
              testing::AllOf(testing::StartsWith("{\"name\":\"decode\""),
                             HasSubstr("\"bytes\":1048576"), testing::EndsWith("}")));
  EXPECT_THAT(text_of(lull_graph_cache_to_prometheus, cache_),
              testing::AllOf(HasSubstr("lull_graph_cache_captures_total{cache=\"decode\"} 1\n"),
                             testing::EndsWith("\n")));
}

TEST_F(CGraphCache, AnOlderStatsStructIsNotWrittenBeyondItsEnd) {
  create();
  put(1);
  auto seen = sized<lull_graph_cache_stats>();
  seen.struct_size = offsetof(lull_graph_cache_stats, captures);
  seen.captures = 4711;
  EXPECT_EQ(lull_graph_cache_get_stats(cache_, &seen), LULL_OK);
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
