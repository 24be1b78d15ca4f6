// A program of its own, because it replaces the global operator new: with that, the address
// sanitizer could not tell whether the memory of a new is given back by the right delete.

#include <lull/lull.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "graph_cache_fixture.hpp"

namespace {

thread_local std::uint64_t allocations_of_this_thread = 0;

void* counted_allocation(std::size_t bytes) {
  ++allocations_of_this_thread;
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) {
  return counted_allocation(bytes);
}
void* operator new[](std::size_t bytes) {
  return counted_allocation(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using lull::test::CGraphCache;
using lull::test::number;
using lull::test::recipe;

TEST_F(CGraphCache, AHitAllocatesNothing) {
  create();
  put(1);
  recipe unused;
  EXPECT_EQ(look_up(number(1)), 1001U);
  const std::uint64_t before = allocations_of_this_thread;
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
  EXPECT_EQ(allocations_of_this_thread - before, 0U);
  put(2);
  EXPECT_GT(allocations_of_this_thread, before) << "the counter counts";
  EXPECT_EQ(unused.calls, 0);
}

}  // namespace
