// Lookup, capture, bounds, pins: what a graph cache does for one thread.

#include <lull/graph_cache.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/host_graph.hpp"

namespace {

using namespace std::chrono_literals;
using lull::graph_eviction;
using lull::status;
using lull::test::error_of;
using lull::test::host_graph;
using lull::test::page;
using testing::HasSubstr;

class GraphCache : public testing::Test {
 protected:
  using cache = lull::graph_cache<std::uint64_t, host_graph*>;

  void make(lull::graph_limits limits, bool filter = false) {
    cache_ = std::make_unique<cache>(
        driver_,
        lull::graph_cache_options{.limits = limits, .frequency_filter = filter, .clock = &clock_});
  }
  cache::handle get(std::uint64_t key, std::uint64_t bytes = page) {
    return cache_->get_or_capture(key, [&] { return driver_->capture(bytes, key); },
                                  {.bytes = bytes});
  }
  std::uint64_t evicted(graph_eviction cause) const { return cache_->stats().evicted(cause); }

  std::shared_ptr<lull::test::host_graph_driver> driver_ =
      std::make_shared<lull::test::host_graph_driver>();
  lull::manual_clock clock_;
  std::unique_ptr<cache> cache_;
};

TEST_F(GraphCache, FindsWhatWasCaptured) {
  make({});
  EXPECT_FALSE(cache_->find(7));
  EXPECT_EQ((*get(7))->value, 7U);
  const auto found = cache_->find(7);
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)->value, 7U);
  EXPECT_EQ(found.key(), 7U);
  EXPECT_EQ(driver_->captured, 1U);
  const auto stats = cache_->stats();
  EXPECT_EQ(stats.hits, 1U);
  EXPECT_EQ(stats.misses, 2U);
  EXPECT_EQ(stats.captures, 1U);
  EXPECT_EQ(stats.entries, 1U);
  EXPECT_EQ(stats.bytes, page);
  EXPECT_EQ(stats.handles, 1U);
}

TEST_F(GraphCache, EvictsTheLeastRecentlyUsed) {
  make({.entries = 3});
  for (const std::uint64_t key : {1, 2, 3}) get(key);
  EXPECT_TRUE(cache_->find(1));
  get(4);
  EXPECT_TRUE(cache_->find(1));
  EXPECT_FALSE(cache_->find(2));
  EXPECT_TRUE(cache_->find(3));
  EXPECT_EQ(evicted(graph_eviction::entries), 1U);
  EXPECT_EQ(driver_->live(), 3U);
}

TEST_F(GraphCache, BoundsBytesAtThePeakToo) {
  make({.bytes = 8 * page});
  for (std::uint64_t key = 0; key < 50; ++key) get(key, page * (1 + key % 5));
  EXPECT_LE(driver_->peak_bytes, 8 * page);
  EXPECT_LE(cache_->stats().peak_bytes, 8 * page);
  EXPECT_EQ(cache_->stats().bytes, driver_->live_bytes);
  EXPECT_GT(evicted(graph_eviction::bytes), 0U);
}

TEST_F(GraphCache, WhatIsInUseIsEvictedAtItsRelease) {
  make({.entries = 2});
  auto first = get(1);
  get(2);
  get(3);
  EXPECT_EQ(driver_->destroyed, 1U) << "2 goes, though 1 was used before it";
  EXPECT_FALSE(cache_->find(2));
  EXPECT_TRUE(cache_->find(1));

  EXPECT_TRUE(cache_->erase(1));
  EXPECT_FALSE(cache_->erase(1));
  EXPECT_FALSE(cache_->find(1));
  EXPECT_EQ(driver_->destroyed, 1U);
  EXPECT_EQ((*first)->value, 1U) << "still there for who has it";
  EXPECT_EQ(cache_->stats().leaving_entries, 1U);
  first.release();
  EXPECT_EQ(driver_->destroyed, 2U);
  EXPECT_EQ(cache_->stats().leaving_entries, 0U);
}

TEST_F(GraphCache, AHandleKeepsItsEntryForAllItsCopies) {
  make({});
  get(1);
  std::vector<cache::handle> many;
  for (int i = 0; i < 20; ++i) many.push_back(cache_->find(1));
  EXPECT_EQ(cache_->stats().handles, 20U);
  EXPECT_EQ(cache_->trim(), 0U) << "what is in use is not trimmed";
  cache_->erase(1);
  while (many.size() > 1) {
    many.pop_back();
    ASSERT_EQ(driver_->destroyed, 0U);
  }
  cache::handle moved = std::move(many.front());
  many.clear();
  EXPECT_EQ(driver_->destroyed, 0U);
  moved = {};
  EXPECT_EQ(driver_->destroyed, 1U);
  EXPECT_EQ(cache_->stats().handles, 0U);
}

TEST_F(GraphCache, SaysWhenAllIsInUse) {
  make({.entries = 2});
  const auto one = get(1);
  auto two = get(2);
  const auto failure = error_of([&] { get(3); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("in use"));
  EXPECT_EQ(driver_->captured, 2U) << "room is made before a capture, or it does not begin";
  two.release();
  EXPECT_TRUE(get(3));
  EXPECT_FALSE(cache_->find(2));
}

TEST_F(GraphCache, RejectsAFootprintAboveTheWholeBudget) {
  make({.bytes = 4 * page});
  for (std::uint64_t key = 0; key < 4; ++key) get(key);
  const auto failure = error_of([&] { get(9, 5 * page); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_THAT(failure.what(), HasSubstr("20 KiB"));
  EXPECT_THAT(failure.what(), HasSubstr("16 KiB"));
  EXPECT_EQ(driver_->captured, 4U);
  EXPECT_EQ(driver_->destroyed, 0U) << "nothing is evicted for it";
  EXPECT_EQ(cache_->stats().rejected, 1U);
}

TEST_F(GraphCache, RejectsWhatTurnsOutToBeTooLarge) {
  make({.bytes = 4 * page});
  get(1);
  const auto failure = error_of(
      [&] { (void)cache_->get_or_capture(9, [&] { return driver_->capture(5 * page); }); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_EQ(driver_->destroyed, 1U) << "itself";
  EXPECT_TRUE(cache_->find(1));
  EXPECT_EQ(cache_->stats().leaving_bytes, 0U);
}

TEST_F(GraphCache, AFailedCaptureLeavesNothing) {
  make({.entries = 2});
  EXPECT_THROW((void)cache_->get_or_capture(
                   1, []() -> host_graph* { throw std::runtime_error("capture was invalidated"); }),
               std::runtime_error);
  EXPECT_EQ(cache_->size(), 0U);
  EXPECT_EQ(cache_->stats().failed_captures, 1U);
  EXPECT_EQ(lull::graph_hold::count(), 0U);
  EXPECT_TRUE(get(1)) << "the next one tries again";
  EXPECT_TRUE(get(2)) << "no room stays reserved";
  EXPECT_EQ(cache_->size(), 2U);
}

TEST_F(GraphCache, ACaptureMayUseOtherKeysButNotItsOwn) {
  make({});
  const auto outer = cache_->get_or_capture(1, [&] {
    EXPECT_TRUE(get(2));
    EXPECT_EQ(error_of([&] { get(1); }).code(), status::invalid_argument);
    return driver_->capture(page, 1);
  });
  EXPECT_TRUE(outer);
  EXPECT_EQ(cache_->size(), 2U);
}

TEST_F(GraphCache, LimitsCanBeChanged) {
  make({});
  for (std::uint64_t key = 0; key < 10; ++key) get(key);
  const auto pinned = cache_->find(0);
  cache_->set_limits({.entries = 4});
  EXPECT_EQ(cache_->size(), 4U);
  EXPECT_EQ(driver_->live(), 4U);
  EXPECT_TRUE(cache_->find(0)) << "in use, and used last";
  EXPECT_TRUE(cache_->find(9));
  EXPECT_FALSE(cache_->find(6));
  cache_->set_limits({.bytes = 2 * page});
  EXPECT_EQ(cache_->size(), 2U);
  EXPECT_EQ(cache_->limits().bytes, 2 * page);
  EXPECT_FALSE(cache_->limits().entries);
}

TEST_F(GraphCache, RefusesLimitsThatBoundNothing) {
  EXPECT_EQ(error_of([&] { make({.entries = 0}); }).code(), status::invalid_argument);
  EXPECT_EQ(error_of([&] { make({.bytes = 0}); }).code(), status::invalid_argument);
  EXPECT_EQ(error_of([&] { make({.idle_time = 0s}); }).code(), status::invalid_argument);
  EXPECT_EQ(error_of([] { lull::graph_budget(0); }).code(), status::invalid_argument);
  EXPECT_EQ(error_of([] { cache(nullptr); }).code(), status::invalid_argument);
}

TEST_F(GraphCache, ShrinksByTimeAlone) {
  make({.idle_time = 80s});
  EXPECT_FALSE(cache_->next_deadline());
  for (std::uint64_t key = 0; key < 10; ++key) get(key);
  const auto begin = clock_.now();
  std::uint64_t sweeps = 0;
  while (const auto next = cache_->next_deadline()) {
    ASSERT_LT(++sweeps, 20U);
    clock_.advance(*next - clock_.now());
    cache_->sweep(clock_.now());
    if (clock_.now() - begin == 40s) {
      EXPECT_TRUE(cache_->find(3));  // the only lookup
    } else if (clock_.now() - begin == 80s) {
      EXPECT_EQ(cache_->size(), 1U);
    }
  }
  EXPECT_EQ(driver_->live(), 0U);
  EXPECT_EQ(evicted(graph_eviction::idle), 10U);
  EXPECT_GE(clock_.now() - begin, 120s) << "never early";
  EXPECT_LE(clock_.now() - begin, 130s) << "at most an eighth late";
  EXPECT_GT(driver_->trims, 0U);
}

TEST_F(GraphCache, WhatIsInUseIsNotIdle) {
  make({.idle_time = 10s});
  auto handle = get(1);
  clock_.advance(100s);
  EXPECT_EQ(cache_->sweep(clock_.now()), 0U);
  handle.release();
  clock_.advance(10s);
  EXPECT_EQ(cache_->sweep(clock_.now()), 1U);
}

TEST_F(GraphCache, KeepsTheWorkingSetFromOneShotKeys) {
  const auto hits_of_working_set = [&](bool filter) {
    make({.entries = 64}, filter);
    std::uint64_t fresh = 1000;
    std::uint64_t hits = 0;
    for (std::uint64_t round = 0; round < 200; ++round) {
      for (std::uint64_t key = 0; key < 48; ++key) {
        if (cache_->find(key)) ++hits;
        get(key);
        get(++fresh);
      }
    }
    EXPECT_LE(cache_->stats().peak_entries, 64U);
    return hits;
  };
  EXPECT_EQ(hits_of_working_set(false), 0U) << "plain LRU is washed out";
  EXPECT_GT(hits_of_working_set(true), 200 * 48 * 9 / 10);
}

TEST_F(GraphCache, TheFilterCanBeSwitched) {
  make({.entries = 8}, true);
  for (std::uint64_t key = 0; key < 20; ++key) get(key);
  cache_->set_frequency_filter(false);
  for (std::uint64_t key = 100; key < 108; ++key) get(key);
  for (std::uint64_t key = 100; key < 108; ++key) EXPECT_TRUE(cache_->find(key)) << "plain LRU";
  cache_->set_frequency_filter(true);
  get(200);
  EXPECT_TRUE(cache_->find(200));
  EXPECT_EQ(cache_->size(), 8U);
}

TEST_F(GraphCache, AsksTheDriverForFootprintsAndLearns) {
  make({});
  driver_->measures = true;
  driver_->estimate_divisor = 4;  // claims a quarter of the truth
  const auto capture = [&](std::uint64_t key) {
    (void)cache_->get_or_capture(key, [&] { return driver_->capture(16 * page); });
  };
  capture(0);
  EXPECT_EQ(cache_->stats().bytes, 4 * page);
  for (std::uint64_t key = 1; key < 60; ++key) {
    cache_->clear();
    capture(key);
  }
  EXPECT_NEAR(cache_->stats().footprint_correction, 4, 0.1);
  EXPECT_NEAR(static_cast<double>(cache_->stats().bytes), 16 * page, page);
  EXPECT_EQ(cache_->stats().measured_returned_bytes, 59 * 16 * page);
}

TEST_F(GraphCache, MeasuresWhatTheDriverCannotEstimate) {
  make({});
  driver_->knows_footprints = false;
  driver_->measures = true;
  (void)cache_->get_or_capture(1, [&] { return driver_->capture(3 * page); });
  EXPECT_EQ(cache_->stats().bytes, 3 * page);
  driver_->measures = false;
  (void)cache_->get_or_capture(2, [&] { return driver_->capture(3 * page); });
  EXPECT_EQ(cache_->stats().bytes, 3 * page);
  EXPECT_EQ(cache_->stats().unknown_footprints, 1U) << "unknown is said, not guessed";
  (void)cache_->get_or_capture(3, [&] {
    return lull::captured_graph<host_graph*>{driver_->capture(page), page};
  });
  EXPECT_EQ(cache_->stats().bytes, 4 * page);
}

TEST_F(GraphCache, AThreadMayTurnBetweenManyCaches) {
  std::vector<std::unique_ptr<cache>> caches;
  for (std::uint64_t i = 0; i < 20; ++i) {
    caches.push_back(std::make_unique<cache>(
        driver_, lull::graph_cache_options{.limits = {.entries = 2}, .clock = &clock_}));
    for (const std::uint64_t key : {i, i + 100}) {
      (void)caches[i]->get_or_capture(key, [&] { return driver_->capture(page, key); });
    }
  }
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t i = 0; i < caches.size(); ++i) {
      const auto found = caches[i]->find(i);
      ASSERT_TRUE(found);
      EXPECT_EQ((*found)->value, i);
      EXPECT_FALSE(caches[i]->find(i + 1));
    }
  }
  for (std::uint64_t i = 0; i < caches.size(); ++i) {
    EXPECT_EQ(caches[i]->stats().hits, 3U);
    (void)caches[i]->get_or_capture(200, [&] { return driver_->capture(page, 200); });
    EXPECT_TRUE(caches[i]->find(i)) << "used after the other";
    EXPECT_FALSE(caches[i]->find(i + 100));
  }
}

}  // namespace
