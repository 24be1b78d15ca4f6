// When graphs are destroyed: never in use, never during a capture, never after a reset.

#include <lull/graph_cache.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
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

class GraphDestruction : public testing::Test {
 protected:
  using cache = lull::graph_cache<std::uint64_t, host_graph*>;

  lull::graph_cache_options options(lull::graph_limits limits = {}) {
    return {.limits = limits,
            .clock = &clock_,
            .log = lull::log_sink(
                [this](lull::log_level, std::string_view line) { lines_.emplace_back(line); })};
  }
  cache::handle get(cache& where, std::uint64_t key) {
    return where.get_or_capture(key, [&] { return driver_->capture(page, key); }, {.bytes = page});
  }
  void fill(cache& where, std::uint64_t entries) {
    for (std::uint64_t key = 0; key < entries; ++key) get(where, key);
  }

  std::shared_ptr<lull::test::host_graph_driver> driver_ =
      std::make_shared<lull::test::host_graph_driver>();
  lull::manual_clock clock_;
  std::vector<std::string> lines_;
};

TEST_F(GraphDestruction, WaitsForTheEndOfEveryCapture) {
  cache here(driver_, options());
  cache elsewhere(driver_, options());
  fill(here, 4);
  {
    const lull::graph_hold outer;
    EXPECT_EQ(here.trim(), 4U);
    EXPECT_EQ(driver_->destroyed, 0U);
    EXPECT_EQ(here.stats().leaving_entries, 4U);
    {
      const lull::graph_hold inner;
      get(elsewhere, 1);
    }
    EXPECT_EQ(driver_->destroyed, 0U);
  }
  EXPECT_EQ(driver_->destroyed, 4U) << "at the end of the last one";
  EXPECT_EQ(driver_->synchronizations, 1U) << "once for all of them";
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
  EXPECT_EQ(here.stats().leaving_entries, 0U);
  EXPECT_EQ(here.stats().returned_bytes, 4 * page);
}

TEST_F(GraphDestruction, ReleasingInsideACaptureDestroysAfterIt) {
  cache here(driver_, options());
  auto handle = get(here, 1);
  here.erase(1);
  (void)here.get_or_capture(2, [&] {
    handle.release();
    EXPECT_EQ(driver_->destroyed, 0U);
    return driver_->capture(page, 2);
  });
  EXPECT_EQ(driver_->destroyed, 1U);
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
}

TEST_F(GraphDestruction, ANestedCaptureMayExceedTheBoundRatherThanDestroy) {
  cache here(driver_, options({.entries = 2}));
  fill(here, 2);
  (void)here.get_or_capture(10, [&] {
    get(here, 11);
    EXPECT_EQ(driver_->destroyed, 1U) << "what made room for 10; 11 has to wait";
    return driver_->capture(page, 10);
  });
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
  EXPECT_EQ(here.size(), 2U);
  EXPECT_EQ(driver_->live(), 2U);
}

TEST_F(GraphDestruction, TheDeadlineOfACaptureBoundsTheWaitForOthers) {
  cache here(driver_, options({.entries = 1}));
  fill(here, 1);
  std::unique_ptr<cache> other = std::make_unique<cache>(driver_, options());
  // On a thread without a hold; the hold is this thread's.
  const lull::graph_hold hold;
  lull::error failure(status::ok, "");
  std::thread([&] {
    failure = error_of([&] {
      (void)here.get_or_capture(5, [&] { return driver_->capture(page); },
                                {.bytes = page, .deadline = clock_.now()});
    });
  }).join();
  EXPECT_EQ(failure.code(), status::timed_out);
  EXPECT_EQ(driver_->captured, 1U);
}

TEST_F(GraphDestruction, AfterAResetNothingIsTouched) {
  cache here(driver_, options());
  fill(here, 5);
  auto in_use = here.find(3);
  host_graph* const stale = *in_use;
  auto also_in_use = here.find(4);
  {
    const lull::graph_hold hold;
    here.erase(0);  // waits for the hold when the reset comes
    driver_->raise_generation();
  }
  EXPECT_FALSE(here.find(2)) << "also before reset_generation() is called";
  EXPECT_EQ(here.reset_generation(), 0U) << "the lookup has dropped them";
  EXPECT_EQ(here.stats().evicted(graph_eviction::stale), 4U);
  EXPECT_EQ(here.size(), 0U);
  in_use.release();
  EXPECT_EQ(driver_->destroyed, 0U);
  EXPECT_EQ(here.stats().dropped, 4U) << "all but the one that is in use";
  EXPECT_EQ(here.stats().leaving_entries, 1U);
  also_in_use.release();
  EXPECT_EQ(here.stats().dropped, 5U);
  EXPECT_EQ(driver_->destroyed, 0U);

  EXPECT_EQ((*get(here, 2))->value, 2U) << "captured again";
  EXPECT_EQ(driver_->captured, 6U);
  here.clear(clock_.now());
  EXPECT_EQ(driver_->destroyed, 1U);
  ::munmap(stale, page);  // the stand-ins' memory does not go with a context
}

TEST_F(GraphDestruction, AResetWithoutALookupIsSeenToo) {
  cache here(driver_, options());
  fill(here, 3);
  driver_->raise_generation();
  EXPECT_EQ(here.reset_generation(), 3U);
  EXPECT_EQ(here.reset_generation(), 0U);
  EXPECT_EQ(driver_->destroyed, 0U);
  EXPECT_EQ(here.stats().dropped, 3U);
}

TEST_F(GraphDestruction, AResetDuringACaptureFailsIt) {
  cache here(driver_, options());
  const auto failure = error_of([&] {
    (void)here.get_or_capture(1, [&] {
      driver_->raise_generation();
      return driver_->capture(page);
    });
  });
  EXPECT_EQ(failure.code(), status::stale);
  EXPECT_EQ(driver_->destroyed, 0U);
  EXPECT_EQ(here.size(), 0U);
}

TEST_F(GraphDestruction, ClearSaysWhatIsInUse) {
  cache here(driver_, options());
  fill(here, 3);
  auto handle = here.find(1);
  const auto failure = error_of([&] { here.clear(clock_.now()); });
  EXPECT_EQ(failure.code(), status::timed_out);
  EXPECT_THAT(failure.what(), HasSubstr("1 graphs are in use"));
  EXPECT_EQ(driver_->destroyed, 2U);
  handle.release();
  EXPECT_EQ(driver_->destroyed, 3U) << "it still goes at its release";
  here.clear(clock_.now());
}

TEST_F(GraphDestruction, ClearInsideACaptureSaysSoAtOnce) {
  cache here(driver_, options());
  fill(here, 1);
  const lull::graph_hold hold;
  EXPECT_EQ(error_of([&] { here.clear(); }).code(), status::busy);
}

TEST_F(GraphDestruction, WhatIsCapturedDuringAClearDoesNotStay) {
  cache here(driver_, options());
  auto handle = here.get_or_capture(1, [&] {
    EXPECT_EQ(error_of([&] { here.clear(); }).code(), status::busy);
    return driver_->capture(page, 1);
  });
  EXPECT_EQ((*handle)->value, 1U);
  EXPECT_EQ(here.size(), 0U);
  handle.release();
  EXPECT_EQ(driver_->live(), 0U);
}

TEST_F(GraphDestruction, AVendorThatFailsIsLoggedAndCounted) {
  cache here(driver_, options());
  fill(here, 2);
  driver_->fail_next = true;
  here.clear();
  EXPECT_EQ(here.stats().failed_destructions, 1U);
  EXPECT_EQ(here.stats().destroyed, 1U);
  EXPECT_EQ(here.stats().leaving_entries, 0U);
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_.front(), HasSubstr("the vendor refuses"));
}

TEST_F(GraphDestruction, PooledMemoryIsTrimmedNowAndThen) {
  auto with_trim = options({.entries = 1});
  with_trim.trim_after_bytes = 4 * page;
  cache here(driver_, with_trim);
  fill(here, 4);
  EXPECT_EQ(driver_->destroyed, 3U);
  EXPECT_EQ(driver_->trims, 0U);
  get(here, 4);
  EXPECT_EQ(driver_->trims, 1U);
  here.sweep(clock_.now());
  EXPECT_EQ(driver_->trims, 1U) << "nothing is left to trim";
  here.trim();
  EXPECT_EQ(driver_->trims, 2U) << "asked for";
}

TEST_F(GraphDestruction, DestroyingTheCacheDestroysItsGraphs) {
  {
    cache here(driver_, options());
    fill(here, 3);
  }
  EXPECT_EQ(driver_->live(), 0U);
  {
    const lull::graph_hold hold;
    {
      cache here(driver_, options());
      fill(here, 3);
    }
    EXPECT_EQ(driver_->live(), 3U) << "not even then during a capture";
  }
  EXPECT_EQ(driver_->live(), 0U);
  EXPECT_EQ(driver_->destroyed_during_capture, 0U);
  EXPECT_TRUE(lines_.empty());
}

TEST_F(GraphDestruction, AHandleThatOutlivesItsCacheIsSafe) {
  cache::handle late;
  {
    cache here(driver_, options());
    fill(here, 3);
    late = here.find(1);
  }
  EXPECT_EQ(driver_->live(), 1U);
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_.front(), HasSubstr("1 graphs in use"));
  EXPECT_EQ((*late)->value, 1U);
  late.release();
  EXPECT_EQ(driver_->live(), 0U);
}

TEST_F(GraphDestruction, CachesOfOneBudgetStayBelowItTogether) {
  const lull::graph_budget budget(10, std::nullopt);
  std::vector<std::unique_ptr<cache>> contexts;
  for (int i = 0; i < 10; ++i) {
    auto with_budget = options();
    with_budget.budget = budget;
    contexts.push_back(std::make_unique<cache>(driver_, with_budget));
  }
  for (std::uint64_t key = 0; key < 300; ++key) {
    get(*contexts[key % 10], key);
    ASSERT_LE(driver_->live(), 10U);
  }
  EXPECT_EQ(budget.entries(), 10U);
  EXPECT_EQ(budget.bytes(), 10 * page);
  EXPECT_TRUE(contexts[0]->find(290));
  get(*contexts[1], 1000);
  EXPECT_TRUE(contexts[0]->find(290)) << "291 was used less recently";
  EXPECT_FALSE(contexts[1]->find(291));

  lull::graph_budget same = budget;
  same.set_limits(std::nullopt, 4 * page);
  EXPECT_EQ(driver_->live(), 4U);
  contexts.clear();
  EXPECT_EQ(budget.entries(), 0U);
  EXPECT_EQ(driver_->live(), 0U);
}

}  // namespace
