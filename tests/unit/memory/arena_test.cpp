// The arena, and transfers of several threads through it, on a device whose memory is not the
// CPU's.

#include <lull/lull.hpp>

#include <atomic>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/extent.hpp"
#include "memory/host_claim.hpp"
#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "support/fault_backend.hpp"

namespace {

using namespace lull::literals;
using lull::contents_action;
using lull::status;
using lull::test::error_of;

class Arena : public testing::Test {
 protected:
  Arena() {
    lull::test::fail_operation(0);
    lull::test::set_fault_device({.host_accessible = false});
    EXPECT_EQ(registry_.add(lull::test::fault_ops()).state, lull::module_state::active);
    device_ = registry_.find("FAULT0");
  }

  static lull::host_arena make(std::uint64_t budget_bytes = 256_MiB) {
    return lull::host_arena({.budget_bytes = budget_bytes, .slice_bytes = 2_MiB});
  }
  static lull::memory_options options(const lull::host_arena& arena) {
    lull::memory_options chosen;
    chosen.chunk_bytes = 256_KiB;
    chosen.poison_unfilled = false;
    chosen.arena = arena;
    chosen.threads = 4;
    return chosen;
  }
  static lull::eviction_plan offload() { return {contents_action::offload, {}}; }

  lull::region make_region(lull::memory& of, std::uint64_t bytes, unsigned seed) {
    auto region = of.allocate(*device_, bytes);
    auto* const at = static_cast<unsigned char*>(region.address());
    for (std::uint64_t i = 0; i < bytes; ++i) at[i] = value(i, seed);
    return region;
  }
  static bool holds(const lull::region& region, unsigned seed) {
    const auto lease = region.acquire();
    const auto* const at = static_cast<const unsigned char*>(lease.address());
    for (std::uint64_t i = 0; i < lease.size_bytes(); ++i) {
      if (at[i] != value(i, seed)) return false;
    }
    return true;
  }
  static unsigned char value(std::uint64_t at, unsigned seed) {
    return static_cast<unsigned char>(at * 31 + (at >> 12) * 5 + (at >> 20) * 3 + seed);
  }

  lull::registry registry_{[] {
    lull::registry_options options;
    options.search = false;
    return options;
  }()};
  std::optional<lull::device> device_;
};

// A slice that cannot be unregistered is told, by somebody who may look at the arena meanwhile.
TEST_F(Arena, ItsLogHoldsNobodyUp) {
  std::optional<lull::host_arena> arena;
  std::atomic<int> lines{0};
  const lull::log_sink log([&](lull::log_level, std::string_view) {
    ++lines;
    std::atomic<bool> seen{false};
    std::thread observer([&] {
      static_cast<void>(arena->info());
      seen = true;
    });
    observer.detach();
    ASSERT_TRUE(lull::test::eventually([&] { return seen.load(); }));
  });
  lull::host_arena_options small;
  small.budget_bytes = 8_MiB;
  small.slice_bytes = 2_MiB;
  small.log = log;
  arena.emplace(small);
  lull::memory memory(options(*arena));
  const auto region = make_region(memory, 4_MiB, 1);
  const auto fill_again = [&] {
    memory.evict(offload());
    memory.restore();
    ASSERT_NE(arena->info().held_bytes, 0u);
    lull::test::fail_operations_from(1);
  };
  fill_again();
  arena->trim();
  lull::test::fail_operation(0);
  EXPECT_GT(lines, 0) << "given up by trim";
  lines = 0;
  fill_again();
  arena->set_budget(2_MiB);
  lull::test::fail_operation(0);
  EXPECT_GT(lines, 0) << "given up for a smaller budget";
}

TEST_F(Arena, KeepsWhatASleepUsedForTheNext) {
  const auto arena = make();
  lull::memory memory(options(arena));
  const auto region = make_region(memory, 21_MiB + 5, 1);
  memory.evict(offload());
  const auto asleep = arena.info();
  EXPECT_GE(asleep.used_bytes, 21_MiB);
  EXPECT_EQ(asleep.pinned_bytes, asleep.held_bytes);
  memory.restore();
  EXPECT_EQ(arena.info().used_bytes, 0u);
  EXPECT_EQ(arena.info().held_bytes, asleep.held_bytes);
  EXPECT_TRUE(holds(region, 1));
  EXPECT_EQ(arena.trim(4_MiB), asleep.held_bytes - 4_MiB);
  EXPECT_EQ(arena.info().held_bytes, 4_MiB);
}

TEST_F(Arena, ASmallSleepTakesNoWholeSlice) {
  const lull::host_arena arena;
  lull::memory memory(options(arena));
  const auto region = make_region(memory, 100_KiB, 1);
  memory.evict(offload());
  EXPECT_EQ(arena.info().held_bytes, 2_MiB);
}

TEST_F(Arena, GivesPartsBackAsTheirRegionsReturn) {
  const auto arena = make();
  lull::memory memory(options(arena));
  const auto first = memory.allocate(*device_, 8_MiB, {.tag = "first"});
  const auto second = memory.allocate(*device_, 8_MiB, {.tag = "second"});
  memory.evict(offload());
  EXPECT_EQ(arena.info().used_bytes, 16_MiB);
  memory.restore({"first"});
  EXPECT_EQ(arena.info().used_bytes, 8_MiB);
}

TEST_F(Arena, WithoutABudgetContentsGoIntoPlainMemory) {
  const auto arena = make(0);
  lull::memory memory(options(arena));
  const auto region = make_region(memory, 5_MiB, 2);
  memory.evict(offload());
  EXPECT_EQ(arena.info().held_bytes, 0u);
  memory.restore();
  EXPECT_TRUE(holds(region, 2));
}

/// A container of 128 MiB, of which 64 are free.
class SmallContainer : public Arena {
 protected:
  SmallContainer() {
    lull::detail::set_system_memory_probe([] {
      return std::optional(lull::detail::system_memory{128_MiB, 64_MiB});
    });
  }
  ~SmallContainer() override { lull::detail::set_system_memory_probe(nullptr); }
};

TEST_F(SmallContainer, RefusesWhatItHasNotBeforeAnythingMoves) {
  for (const auto& store : {lull::backing_store::host_memory(), lull::backing_store::memfd(),
                            lull::backing_store::file("/dev/shm")}) {
    lull::memory memory(options(lull::host_arena()));
    const auto region = make_region(memory, 70_MiB, 3);
    const auto failure = error_of([&] { memory.evict(offload(), {store, {}, {}}); });
    EXPECT_EQ(failure.code(), status::out_of_host_memory) << to_string(store.type());
    EXPECT_THAT(failure.what(), testing::HasSubstr("missing"));
    EXPECT_TRUE(holds(region, 3));
  }
}

// A part is kept for everything else, and what was promised to one is not promised to another.
TEST_F(SmallContainer, PromisesNothingTwice) {
  EXPECT_EQ(lull::detail::claimable_bytes(), 62_MiB);
  lull::detail::host_claim first("a test", 40_MiB);
  EXPECT_EQ(error_of([] { lull::detail::host_claim("a test", 23_MiB); }).code(),
            status::out_of_host_memory);
  first.settle(10_MiB);
  EXPECT_EQ(lull::detail::claimable_bytes(), 32_MiB);
  first = {};
  EXPECT_EQ(lull::detail::claimable_bytes(), 62_MiB);
  EXPECT_EQ(lull::detail::default_arena_budget(), 112_MiB);
}

TEST_F(Arena, PreparesAtThePaceItIsTold) {
  lull::manual_clock clock;
  const lull::host_arena arena(
      {.budget_bytes = 64_MiB, .slice_bytes = 2_MiB, .clock = &clock, .log = {}});
  arena.prepare(*device_, 8_MiB, {.threads = 1, .bytes_per_second = 2_MiB});
  while (arena.info().pinned_bytes < 2_MiB) std::this_thread::yield();
  EXPECT_TRUE(arena.info().preparing);
  for (std::uint64_t seconds = 1; seconds <= 3; ++seconds) {
    EXPECT_LE(arena.info().pinned_bytes, seconds * 2_MiB);
    clock.advance(std::chrono::seconds{1});
    while (arena.info().pinned_bytes < (seconds + 1) * 2_MiB) std::this_thread::yield();
  }
  arena.wait_prepared();
  EXPECT_EQ(arena.info().pinned_bytes, 8_MiB);
}

TEST_F(Arena, EndsItsPreparationsWithItself) {
  lull::manual_clock clock;  // which nobody moves
  std::optional<lull::host_arena> arena(
      lull::host_arena({.budget_bytes = 64_MiB, .slice_bytes = 2_MiB, .clock = &clock, .log = {}}));
  arena->prepare(*device_, 32_MiB, {.threads = 2, .bytes_per_second = 1});
  arena.reset();
}

TEST_F(Arena, OptionsOutOfRangeAreRefused) {
  EXPECT_EQ(error_of([] { lull::host_arena({.slice_bytes = 3}); }).code(),
            status::invalid_argument);
  EXPECT_EQ(error_of([] { lull::host_arena({.clock = nullptr}); }).code(),
            status::invalid_argument);
  const auto arena = make();
  EXPECT_EQ(error_of([&] { arena.prepare(*device_, 1_MiB, {.threads = 0}); }).code(),
            status::invalid_argument);
}

// Everything at once: two memories that share an arena, prepared and trimmed meanwhile, regions
// that come and go, and somebody who looks.
TEST_F(Arena, ManyAtOnce) {
  const auto arena = make(24_MiB);
  lull::memory one(options(arena));
  lull::memory other(options(arena));
  std::atomic<bool> done{false};
  std::thread looking([&] {
    while (!done) {
      EXPECT_LE(arena.info().held_bytes, 24_MiB);
      static_cast<void>(one.regions());
      arena.trim(8_MiB);
      std::this_thread::yield();
    }
  });
  std::thread preparing([&] {
    while (!done) {
      arena.prepare(*device_, 6_MiB, {.threads = 2});
      arena.wait_prepared();
    }
  });
  std::thread coming_and_going([&] {
    while (!done) {
      const auto region = one.allocate(*device_, 700, {.tag = "other"});
      const auto large = one.allocate(*device_, 3_MiB, {.tag = "other"});
    }
  });
  const auto cycle = [&](lull::memory& memory, unsigned seed) {
    const auto first = make_region(memory, 9_MiB + 1, seed);
    const auto second = make_region(memory, 600, seed + 1);
    const lull::eviction_plan plan{contents_action::keep, {{"default", contents_action::offload}}};
    for (int i = 0; i < 6; ++i) {
      memory.evict(plan);
      memory.restore({"default"});
      EXPECT_TRUE(holds(first, seed));
      EXPECT_TRUE(holds(second, seed + 1));
    }
  };
  std::thread beside([&] { cycle(other, 50); });
  cycle(one, 7);
  beside.join();
  done = true;
  looking.join();
  preparing.join();
  coming_and_going.join();
  EXPECT_EQ(arena.info().used_bytes, 0u);
}

TEST(Extent, PlacesAreTakenAndGivenBack) {
  const lull::registry all;
  lull::detail::extent extent(all.find("HOST"), 4096, true, "t", {}, 4096, false);
  const auto first = extent.take(1);
  const auto second = extent.take(513);
  const auto third = extent.take(2048);
  EXPECT_EQ(first, 0u);
  EXPECT_EQ(second, 512u);
  EXPECT_EQ(third, 1536u);
  EXPECT_FALSE(extent.take(1024)) << "512 are left";
  extent.give_back(*second, 513);
  EXPECT_EQ(extent.take(1024), 512u);
  extent.give_back(0, 1);
  extent.give_back(512, 1024);
  extent.give_back(1536, 2048);
  EXPECT_EQ(extent.regions, 0u);
  EXPECT_EQ(extent.take(4096), 0u) << "the holes are one again";
}

}  // namespace
