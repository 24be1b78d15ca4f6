// The traffic that took servers down, each against a cache with bounds.

#include <lull/bytes.hpp>
#include <lull/graph_cache.hpp>

#include <cstdint>
#include <memory>
#include <random>
#include <unordered_map>

#include <gtest/gtest.h>

#include "support/host_graph.hpp"
#include "support/rss.hpp"

namespace {

using namespace lull::literals;
using namespace std::chrono_literals;
using lull::test::host_graph;
using lull::test::page;
using lull::test::resident_bytes;

using cache = lull::graph_cache<std::uint64_t, host_graph*>;

// ggml-org/llama.cpp issue 20315: a new key for every token, until memory is out.
TEST(GraphTraffic, ANewKeyPerToken) {
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  cache here(driver, {.limits = {.entries = 128}});
  std::uint64_t after_warm_up = 0;
  for (std::uint64_t token = 0; token < 100'000; ++token) {
    (void)here.get_or_capture(token, [&] { return driver->capture(4 * page, token); });
    if (token == 1000) after_warm_up = resident_bytes();
  }
  EXPECT_EQ(driver->live(), 128U);
  EXPECT_LE(driver->peak_bytes, 128 * 4 * page);
  // The address sanitizer keeps some of what was freed; 100 000 graphs would be 1.6 GiB.
  EXPECT_LT(resident_bytes(), after_warm_up + 128_MiB);
}

TEST(GraphTraffic, TheUnboundedMapGrows) {
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  const std::uint64_t before = resident_bytes();
  std::unordered_map<std::uint64_t, host_graph*> servers_map;
  for (std::uint64_t token = 0; token < 2000; ++token) {
    servers_map[token] = driver->capture(16 * page, token);
  }
  EXPECT_GT(resident_bytes(), before + 100_MiB) << "what the cache is there to prevent";
  for (const auto& [key, graph] : servers_map) driver->destroy(graph, 0);
}

// ggml-org/llama.cpp issue 25082: an idle server never trims, because only lookups do.
TEST(GraphTraffic, AnIdleServerShrinks) {
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  lull::manual_clock clock;
  cache here(driver, {.limits = {.idle_time = 10s}, .clock = &clock});
  for (std::uint64_t key = 0; key < 64; ++key) {
    (void)here.get_or_capture(key, [&] { return driver->capture(1_MiB, key); });
  }
  const std::uint64_t busy = resident_bytes();
  while (const auto next = here.next_deadline()) {
    clock.advance(*next - clock.now());
    here.sweep(clock.now());
  }
  EXPECT_LT(resident_bytes() + 60_MiB, busy);
  EXPECT_EQ(driver->live(), 0U);
}

// 120 variants of a graph in each of 4 slots: a cap per variant would be no cap.
TEST(GraphTraffic, OneBoundForAllVariantsAndSlots) {
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  cache here(driver, {.limits = {.entries = 100, .bytes = 100 * page}});
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t slot = 0; slot < 4; ++slot) {
      for (std::uint64_t variant = 0; variant < 120; ++variant) {
        const std::uint64_t key = (slot << 32U) + variant;
        (void)here.get_or_capture(key, [&] { return driver->capture(page, key); }, {.bytes = page});
        ASSERT_LE(driver->live(), 100U);
      }
    }
  }
  EXPECT_EQ(driver->peak_bytes, 100 * page) << "at no moment, not even while capturing";
}

/// Popular keys among keys that come once, through a cache with the filter.
double hit_rate_with_filter(const lull::graph_limits& limits) {
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  cache here(driver, {.limits = limits, .frequency_filter = true});
  std::mt19937_64 random(3);
  std::uint64_t hits = 0;
  constexpr std::uint64_t lookups = 30'000;
  for (std::uint64_t i = 0; i < lookups; ++i) {
    const double uniform = static_cast<double>(random() >> 11U) * 0x1.0p-53;
    const bool popular = random() % 2 == 0;
    const std::uint64_t key =
        popular ? static_cast<std::uint64_t>(200 * uniform * uniform) : 1'000'000 + i;
    if (here.find(key)) {
      ++hits;
      continue;
    }
    // 4 to 12 pages, 8 on average.
    const std::uint64_t bytes = (4 + key % 9) * page;
    (void)here.get_or_capture(key, [&] { return driver->capture(bytes); }, {.bytes = bytes});
  }
  return static_cast<double>(hits) / lookups;
}

TEST(GraphTraffic, TheFilterPaysUnderABoundOfBytesAsUnderOneOfEntries) {
  const double by_entries = hit_rate_with_filter({.entries = 64});
  const double by_bytes = hit_rate_with_filter({.bytes = 64 * 8 * page});
  EXPECT_GT(by_bytes, 0.95 * by_entries) << by_entries;
}

}  // namespace
