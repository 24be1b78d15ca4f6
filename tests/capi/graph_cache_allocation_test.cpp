// What a hit of a graph cache costs, counted.

#include <lull/lull.h>

#include <cstdint>

#include <gtest/gtest.h>

#include "graph_cache_fixture.hpp"
#include "support/failing_allocations.hpp"

namespace {

using lull::test::allocations_of_this_thread;
using lull::test::CGraphCache;
using lull::test::number;
using lull::test::recipe;

TEST_F(CGraphCache, AHitAllocatesNothing) {
  create();
  put(1);
  recipe unused;
  EXPECT_EQ(look_up(number(1)), 1001U);
  const std::uint64_t before = allocations_of_this_thread();
  for (int i = 0; i < 100; ++i) {
    lull_graph_pin found{};
    lull_graph_pin got{};
    const lull_status first = lull_graph_cache_find(cache_, number(1), &found);
    const lull_status second =
        lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &unused, nullptr, &got);
    if (first != LULL_OK || second != LULL_OK || found.graph != got.graph) ADD_FAILURE();
    lull_graph_pin_release(&got);
    lull_graph_pin_release(&found);
  }
  EXPECT_EQ(allocations_of_this_thread() - before, 0U);
  put(2);
  EXPECT_GT(allocations_of_this_thread(), before) << "the counter counts";
  EXPECT_EQ(unused.calls, 0);
}

}  // namespace
