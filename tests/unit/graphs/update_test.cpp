// Entries that come before their graphs, and graphs that take the place of others.

#include <lull/graph_cache.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/host_graph.hpp"

namespace {

using lull::status;
using lull::test::error_of;
using lull::test::host_graph;
using lull::test::page;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class GraphUpdates : public testing::Test {
 protected:
  using cache = lull::graph_cache<std::uint64_t, host_graph*>;

  void make(lull::graph_limits limits = {}) {
    lull::graph_cache_options options;
    options.limits = limits;
    options.log = lull::log_sink(
        [this](lull::log_level, std::string_view line) { lines_.emplace_back(line); });
    cache_ = std::make_unique<cache>(driver_, options, [this](const std::uint64_t& key) {
      EXPECT_EQ(lull::graph_hold::count(), 0U);
      gone_.push_back(key);
      if (on_evict_) on_evict_();
    });
  }
  void capture_into(const cache::handle& at, std::uint64_t pages, std::uint64_t value) {
    cache_->recapture(at, [&] { return driver_->capture(pages * page, value); },
                      {.bytes = pages * page});
  }
  void put(std::uint64_t key) {
    (void)cache_->get_or_capture(key, [&] { return driver_->capture(page, key); }, {.bytes = page});
  }

  std::shared_ptr<lull::test::host_graph_driver> driver_ =
      std::make_shared<lull::test::host_graph_driver>();
  std::vector<std::string> lines_;
  std::vector<std::uint64_t> gone_;
  std::function<void()> on_evict_;
  std::unique_ptr<cache> cache_;
};

TEST_F(GraphUpdates, AnEntryComesBeforeItsGraph) {
  make();
  auto entry = cache_->get_or_insert(1);
  ASSERT_TRUE(entry);
  EXPECT_FALSE(entry.captured());
  EXPECT_EQ(*entry, nullptr);
  EXPECT_EQ(entry.key(), 1U);
  EXPECT_FALSE(cache_->find(1)) << "there is no graph";
  EXPECT_EQ(cache_->stats().entries, 1U);
  EXPECT_EQ(cache_->stats().bytes, 0U);

  capture_into(entry, 3, 7);
  EXPECT_TRUE(entry.captured());
  EXPECT_EQ((*entry)->value, 7U);
  EXPECT_EQ(cache_->stats().bytes, 3 * page) << "counted once it is there";
  EXPECT_EQ(*cache_->find(1), *entry);
  EXPECT_EQ(*cache_->get_or_insert(1), *entry);
  entry.release();
  cache_->clear();
  EXPECT_EQ(driver_->destroyed, 1U);
}

TEST_F(GraphUpdates, WhoAsksForTheGraphCapturesIntoTheEntry) {
  make();
  {
    const auto entry = cache_->get_or_insert(1);
    EXPECT_EQ(error_of([&] { put(1); }).code(), status::busy) << "it is another's to capture";
  }
  put(1);
  EXPECT_EQ(cache_->size(), 1U);
  EXPECT_EQ((*cache_->find(1))->value, 1U);
}

TEST_F(GraphUpdates, EntriesWithoutAGraphAreBoundedToo) {
  make({.entries = 2});
  for (const std::uint64_t key : {1, 2, 3}) (void)cache_->get_or_insert(key);
  EXPECT_EQ(cache_->size(), 2U);
  EXPECT_THAT(gone_, ElementsAre(1U)) << "the least recently used";
  EXPECT_EQ(driver_->destroyed, 0U);
  const auto two = cache_->get_or_insert(2);
  const auto three = cache_->get_or_insert(3);
  EXPECT_EQ(error_of([&] { (void)cache_->get_or_insert(4); }).code(), status::busy);
  EXPECT_EQ(cache_->stats().leaving_entries, 0U);
}

TEST_F(GraphUpdates, AnUpdateInPlaceDestroysNothingAndIsCountedAnew) {
  make({.bytes = 4 * page});
  const auto entry = cache_->get_or_insert(1);
  capture_into(entry, 2, 7);
  put(2);
  put(3);
  host_graph* const present = *entry;
  cache_->recapture(entry,
                    [&] {
                      return lull::captured_graph<host_graph*>{present, 3 * page};
                    },
                    {.bytes = 3 * page});
  EXPECT_EQ(*entry, present);
  EXPECT_EQ(cache_->stats().updated, 1U);
  EXPECT_EQ(cache_->stats().bytes, 4 * page);
  EXPECT_THAT(gone_, ElementsAre(2U)) << "room was made for what it grew by";
  EXPECT_EQ(driver_->destroyed, 1U);
  cache_->recapture(entry, [&] { return lull::captured_graph<host_graph*>{present, page}; });
  EXPECT_EQ(cache_->stats().bytes, 2 * page);
  EXPECT_EQ(driver_->destroyed, 1U) << "shrinking takes nothing from others";
}

TEST_F(GraphUpdates, AnotherGraphTakesThePlaceOfTheOldOne) {
  make();
  auto entry = cache_->get_or_insert(1);
  capture_into(entry, 2, 7);
  cache_->recapture(entry, [&] {
    EXPECT_EQ(lull::graph_hold::count(), 1U);
    EXPECT_EQ((*entry)->value, 7U) << "the present one can be read";
    EXPECT_FALSE(cache_->find(1)) << "but not found";
    return driver_->capture(page, 8);
  });
  EXPECT_EQ((*entry)->value, 8U);
  EXPECT_EQ(driver_->live(), 1U) << "the old one is gone";
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
  EXPECT_EQ(cache_->stats().bytes, page);
  EXPECT_EQ(cache_->stats().updated, 0U);
  EXPECT_THAT(gone_, IsEmpty()) << "the entry stayed";

  entry.replace({driver_->capture(5 * page, 9), 5 * page});
  EXPECT_EQ((*entry)->value, 9U);
  EXPECT_EQ(driver_->live(), 1U);
  EXPECT_EQ(cache_->stats().bytes, 5 * page);
}

TEST_F(GraphUpdates, AFailureLeavesTheGraphThatWasThere) {
  make({.bytes = 4 * page});
  const auto entry = cache_->get_or_insert(1);
  EXPECT_THROW(cache_->recapture(entry, []() -> host_graph* { throw std::runtime_error("busy"); }),
               std::runtime_error);
  EXPECT_FALSE(entry.captured());
  capture_into(entry, 1, 7);
  EXPECT_THROW(cache_->recapture(entry, []() -> host_graph* { throw std::runtime_error("busy"); }),
               std::runtime_error);
  EXPECT_EQ(error_of([&] { capture_into(entry, 5, 8); }).code(), status::out_of_device_memory);
  EXPECT_EQ((*entry)->value, 7U);
  EXPECT_EQ(*cache_->find(1), *entry);
  EXPECT_EQ(driver_->captured, 1U) << "the size was known before";
  EXPECT_EQ(cache_->stats().bytes, page);
}

TEST_F(GraphUpdates, WhatTurnsOutToBeTooLargeEvictsTheEntry) {
  make({.bytes = 4 * page});
  auto entry = cache_->get_or_insert(1);
  capture_into(entry, 1, 7);
  const auto failure =
      error_of([&] { cache_->recapture(entry, [&] { return driver_->capture(5 * page); }); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_FALSE(cache_->find(1));
  entry.release();
  EXPECT_EQ(driver_->live(), 0U);
}

TEST_F(GraphUpdates, OnlyWhoHasItAloneMayReplaceIt) {
  make();
  const auto entry = cache_->get_or_insert(1);
  capture_into(entry, 1, 7);
  {
    const auto another = cache_->find(1);
    const auto failure = error_of([&] { capture_into(entry, 1, 8); });
    EXPECT_EQ(failure.code(), status::busy);
    EXPECT_THAT(failure.what(), HasSubstr("others use"));
    EXPECT_EQ(driver_->captured, 1U);
    EXPECT_TRUE(cache_->find(1));
  }
  capture_into(entry, 1, 8);
}

TEST_F(GraphUpdates, OthersWaitForARecapture) {
  make();
  const auto entry = cache_->get_or_insert(1);
  capture_into(entry, 1, 7);
  std::thread asks;
  cache_->recapture(entry, [&] {
    asks = std::thread([&] {
      EXPECT_EQ((*cache_->get_or_capture(1, [&] { return driver_->capture(page, 9); }))->value, 8U);
    });
    return driver_->capture(page, 8);
  });
  asks.join();
  EXPECT_EQ(driver_->captured, 2U);
}

TEST_F(GraphUpdates, AResetDropsTheGraphAndAnotherMayBeCapturedIntoTheSameHandle) {
  make();
  driver_->keep_mapped = true;
  auto entry = cache_->get_or_insert(1);
  capture_into(entry, 1, 7);
  driver_->raise_generation();
  EXPECT_FALSE(cache_->find(1));
  EXPECT_THAT(gone_, ElementsAre(1U));
  capture_into(entry, 1, 8);
  EXPECT_EQ((*entry)->value, 8U);
  EXPECT_EQ(driver_->destroyed, 0U) << "the old one died with its generation";
  EXPECT_EQ(cache_->stats().dropped, 1U);
  EXPECT_FALSE(cache_->find(1)) << "the entry has left";
  entry.release();
  EXPECT_EQ(driver_->destroyed, 1U);
}

TEST_F(GraphUpdates, EveryKeyThatLeavesIsToldOnce) {
  make({.entries = 2});
  for (const std::uint64_t key : {1, 2, 3}) put(key);
  EXPECT_THAT(gone_, ElementsAre(1U));
  auto in_use = cache_->find(2);
  EXPECT_TRUE(cache_->erase(2));
  EXPECT_THAT(gone_, ElementsAre(1U, 2U)) << "when it leaves, not when it is destroyed";
  in_use.release();
  cache_->trim();
  EXPECT_THAT(gone_, ElementsAre(1U, 2U, 3U));
  put(4);
  cache_.reset();
  EXPECT_THAT(gone_, ElementsAre(1U, 2U, 3U)) << "not by the end of the cache";
  EXPECT_EQ(driver_->live(), 0U);
}

TEST_F(GraphUpdates, WhoIsToldMayUseTheCacheAndThrow) {
  make({.entries = 1});
  on_evict_ = [&] {
    EXPECT_EQ(cache_->stats().handles, gone_.size() == 1 ? 2U : 1U) << "who captures, and this";
    throw std::runtime_error("no such key");
  };
  put(1);
  put(2);
  EXPECT_THAT(gone_, ElementsAre(1U));
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_[0], HasSubstr("no such key"));
  EXPECT_EQ(driver_->live(), 1U);
}

TEST_F(GraphUpdates, EntriesCanBeSeenOneByOne) {
  make();
  put(1);
  put(2);
  (void)cache_->get_or_insert(3);
  const auto hits = cache_->stats().hits;
  std::vector<std::uint64_t> seen;
  cache_->for_each([&](const cache::handle& each) {
    EXPECT_EQ(cache_->stats().handles, 1U) << "pinned one at a time";
    EXPECT_EQ(each.captured(), each.key() != 3);
    seen.push_back(each.key());
    if (each.key() == 1) cache_->erase(1);
  });
  EXPECT_THAT(seen, UnorderedElementsAre(1U, 2U, 3U));
  EXPECT_EQ(cache_->stats().hits, hits);
  EXPECT_EQ(cache_->size(), 2U);
}

// What an engine keeps with a graph is the entry; the driver gets the executable.
TEST(GraphEntries, MayHoldMoreThanAnExecutable) {
  struct entry {
    host_graph* exec = nullptr;
    int looks = 0;
    void* executable() const { return exec; }
  };
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  lull::graph_cache<int, entry> cache(driver);
  {
    const auto at = cache.get_or_insert(1);
    EXPECT_EQ(++at->looks, 1);
  }
  {
    const auto at = cache.get_or_insert(1);
    EXPECT_EQ(++at->looks, 2) << "it is kept";
    cache.recapture(at, [&] { return entry{driver->capture(page, 7), at->looks}; });
    EXPECT_EQ(at->exec->value, 7U);
    cache.recapture(at, [&] { return entry{at->exec, 3}; });
    EXPECT_EQ(at->looks, 3);
    EXPECT_EQ(driver->destroyed, 0U);
  }
  (void)cache.get_or_insert(2);
  cache.clear();
  EXPECT_EQ(driver->destroyed, 1U) << "an entry without an executable has nothing to destroy";
}

}  // namespace
