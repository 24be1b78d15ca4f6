// Graph caches over the devices of the modules.

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using cache = graph_cache<int, void*>;

/// A machine whose first device has a context, and graphs that an engine would capture there.
class GraphDevice : public Vendor {
 protected:
  void* instantiate(std::uint64_t bytes = 1_MiB) {
    void* graph = nullptr;
    EXPECT_EQ(here.gpu().graph_create(0, bytes, &graph), simgpu::code::ok);
    return graph;
  }
  cache::handle capture(cache& where, int key, std::uint64_t bytes = 1_MiB) {
    return where.get_or_capture(key, [&] { return instantiate(bytes); }, {.bytes = bytes});
  }
  [[nodiscard]] int live_graphs() const { return here.gpu().take_stock().graphs; }
  [[nodiscard]] std::uint64_t used_bytes() const { return here.gpu().take_stock().used_bytes; }

  machine here{GetParam()};
  const device which = [this] {
    const device first = here.device();
    first.context_create();
    return first;
  }();
  const std::uint64_t used_before = used_bytes();
};

INSTANTIATE_TEST_SUITE_P(Modules, GraphDevice, testing::ValuesIn(vendor_cases()), case_name);

TEST_P(GraphDevice, EveryGraphIsDestroyedOnce) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  {
    cache graphs(make_graph_driver(which), {.limits = {.entries = 8, .bytes = 12_MiB}});
    for (int i = 0; i < 500; ++i) {
      const auto used =
          capture(graphs, static_cast<int>(random() % 24), (1 + random() % 3) * 1_MiB);
      ASSERT_EQ(here.gpu().graph_launch(*used), simgpu::code::ok);
      if (random() % 16 == 0) graphs.erase(static_cast<int>(random() % 24));
      if (random() % 64 == 0) graphs.trim();
      if (random() % 8 == 0) which.synchronize();
    }
    const graph_cache_stats stats = graphs.stats();
    EXPECT_LE(stats.peak_bytes, 12_MiB);
    EXPECT_EQ(static_cast<std::uint64_t>(live_graphs()), stats.entries);
    which.synchronize();
    EXPECT_EQ(used_bytes() - used_before, stats.bytes);
  }
  which.synchronize();
  EXPECT_EQ(live_graphs(), 0);
  EXPECT_EQ(used_bytes(), used_before);
}

TEST_P(GraphDevice, NoGraphGoesBeforeTheWorkThatUsesItIsDone) {
  cache graphs(make_graph_driver(which));
  {
    const auto used = capture(graphs, 1);
    ASSERT_EQ(here.gpu().graph_launch(*used), simgpu::code::ok);
  }
  // The handle is back and the graph still runs: what a server's stream looks like at any time.
  EXPECT_TRUE(graphs.erase(1));
  EXPECT_EQ(live_graphs(), 0);
  if (GetParam().which == simgpu::vendor::cuda) {
    EXPECT_EQ(used_bytes() - used_before, 1_MiB) << "CUDA frees it when it has finished";
  }
  which.synchronize();
  EXPECT_EQ(used_bytes(), used_before);
}

TEST_P(GraphDevice, NothingIsDestroyedWhileAStreamIsCaptured) {
  cache graphs(make_graph_driver(which));
  const auto stream = which.stream_create();
  (void)capture(graphs, 1);
  (void)capture(graphs, 2);
  {
    // A capture that does not go through a cache.
    const graph_hold capturing;
    ASSERT_EQ(here.gpu().capture_begin(stream.value), simgpu::code::ok);
    EXPECT_TRUE(graphs.erase(1));
    EXPECT_EQ(graphs.trim(), 1u);
    EXPECT_EQ(live_graphs(), 2);
    EXPECT_EQ(graphs.stats().leaving_entries, 2u);
    ASSERT_EQ(here.gpu().capture_end(stream.value), simgpu::code::ok);
  }
  EXPECT_EQ(live_graphs(), 0);
  which.stream_destroy(stream);
}

TEST_P(GraphDevice, AResetClearsTheCacheFirst) {
  cache graphs(make_graph_driver(which));
  for (int key = 0; key < 5; ++key) (void)capture(graphs, key);
  const reset_report report = dev_reset(which);
  EXPECT_TRUE(report.was_reset);
  EXPECT_THAT(report.problems, IsEmpty());
  const graph_cache_stats stats = graphs.stats();
  EXPECT_EQ(stats.destroyed, 5u) << "by the vendor, while they could be";
  EXPECT_EQ(stats.dropped, 0u);
  EXPECT_FALSE(graphs.find(1));
  (void)capture(graphs, 1);
  EXPECT_EQ(live_graphs(), 1);
}

TEST_P(GraphDevice, AResetIsRefusedWhileAGraphIsInUse) {
  cache graphs(make_graph_driver(which, {.clear_timeout = std::chrono::milliseconds{1}}));
  auto used = capture(graphs, 1);
  const error failure = error_of([&] { dev_reset(which); });
  EXPECT_EQ(failure.code(), status::timed_out) << failure.what();
  EXPECT_THAT(failure.what(), HasSubstr("1 graphs are in use"));
  EXPECT_EQ(here.gpu().graph_use(*used), simgpu::code::ok);
  used.release();
  EXPECT_TRUE(dev_reset(which).was_reset);
}

TEST_P(GraphDevice, AResetIsRefusedWhenAGraphWasCapturedAgainMeanwhile) {
  std::optional<cache> graphs;
  // Hooks before run in the reverse order of registration: this one after the cache's.
  const reset_hook warm_up(which, "warm-up", [&](const reset_event&) { (void)capture(*graphs, 7); },
                           {});
  graphs.emplace(make_graph_driver(which));
  const error failure = error_of([&] { dev_reset(which); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("captured again"));
  EXPECT_EQ(live_graphs(), 1);
  graphs.reset();
  EXPECT_EQ(live_graphs(), 0);
}

TEST_P(GraphDevice, AResetThatDropsLeavesNothingToDestroy) {
  cache graphs(make_graph_driver(which));
  auto used = capture(graphs, 1);
  (void)capture(graphs, 2);
  const reset_report report = dev_reset(which, {.drop = true});
  EXPECT_TRUE(report.was_reset);
  EXPECT_EQ(report.dropped, "1 graph");
  EXPECT_EQ(live_graphs(), 0);
  used.release();
  const graph_cache_stats stats = graphs.stats();
  EXPECT_EQ(stats.destroyed, 1u) << "the one that was not in use";
  EXPECT_EQ(stats.dropped, 1u);
  EXPECT_EQ(stats.entries + stats.leaving_entries, 0u);
}

TEST_P(GraphDevice, AResetThatFailsHalfWayLeavesNoGraphToDestroyTwice) {
  cache graphs(make_graph_driver(which));
  auto used = capture(graphs, 1);
  reset_options options;
  options.drop = true;
  options.reset = [](const device&) { throw error(status::backend, "the driver is gone"); };
  EXPECT_EQ(error_of([&] { dev_reset(which, options); }).code(), status::backend);
  EXPECT_EQ(live_graphs(), 0) << "given up before the reset";
  EXPECT_FALSE(graphs.find(1));
  used.release();
  EXPECT_EQ(graphs.stats().dropped, 1u);
}

TEST_P(GraphDevice, AResetDuringACaptureLeavesNothingOnTheBooks) {
  cache graphs(make_graph_driver(which));
  const error failure = error_of([&] {
    (void)graphs.get_or_capture(1, [&] {
      void* const graph = instantiate();
      EXPECT_TRUE(dev_reset(which, {.drop = true}).was_reset);
      return captured_graph<void*>{graph, 1_MiB};
    });
  });
  EXPECT_EQ(failure.code(), status::stale);
  which.context_create();
  EXPECT_TRUE(dev_reset(which).was_reset) << "nothing lives there";
}

TEST_P(GraphDevice, WhatCannotBeDestroyedNowIsDestroyedLater) {
  cache graphs(make_graph_driver(which));
  (void)capture(graphs, 1);
  (void)capture(graphs, 2);
  // As when a stream is being captured and nobody told lull.
  constexpr int stream_capture_unsupported = 900;
  const std::string call = GetParam().which == simgpu::vendor::cuda
                               ? "cudaGraphExecDestroy"
                               : GetParam().name + "DeviceSynchronize";
  here.gpu().script.fail(call, 1, stream_capture_unsupported);
  EXPECT_TRUE(graphs.erase(1));
  EXPECT_EQ(live_graphs(), 2);
  EXPECT_EQ(graphs.stats().leaving_entries, 1u);
  EXPECT_EQ(graphs.stats().failed_destructions, 0u);
  EXPECT_TRUE(graphs.erase(2));
  EXPECT_EQ(live_graphs(), 0);
  EXPECT_EQ(graphs.stats().destroyed, 2u);
}

TEST_P(GraphDevice, AResetBetweenEvictionAndDestructionDropsTheGraph) {
  cache graphs(make_graph_driver(which));
  (void)capture(graphs, 1);
  {
    const graph_hold capturing;
    EXPECT_TRUE(graphs.erase(1));
    EXPECT_TRUE(dev_reset(which, {.drop = true}).was_reset);
  }
  EXPECT_EQ(graphs.stats().dropped, 1u);
  EXPECT_EQ(graphs.stats().failed_destructions, 0u);
}

TEST_P(GraphDevice, AGraphOfAnOlderGenerationIsNeverHandedToTheVendor) {
  void* const graph = instantiate();
  const std::uint64_t before = which.generation();
  which.graph_adopt(graph);
  EXPECT_TRUE(dev_reset(which, {.drop = true}).was_reset);
  const error failure = error_of([&] { which.graph_destroy(graph, before); });
  EXPECT_EQ(failure.code(), status::stale);
}

TEST_P(GraphDevice, AGraphIsUpdatedInPlaceOrReplaced) {
  cache graphs(make_graph_driver(which));
  const auto entry = graphs.get_or_insert(1);
  graphs.recapture(entry, [&] { return captured_graph<void*>{instantiate(), 1_MiB}; });
  void* const first = *entry;
  graphs.recapture(entry, [&] { return captured_graph<void*>{first, 2_MiB}; });
  EXPECT_EQ(*entry, first);
  EXPECT_EQ(live_graphs(), 1);
  EXPECT_EQ(graphs.stats().bytes, 2_MiB);
  graphs.recapture(entry, [&] { return captured_graph<void*>{instantiate(), 1_MiB}; });
  EXPECT_NE(*entry, first);
  EXPECT_EQ(live_graphs(), 1) << "the first was destroyed";
  EXPECT_TRUE(graphs.erase(1));
  EXPECT_EQ(live_graphs(), 1) << "in use";
}

TEST_P(GraphDevice, FootprintsAreGivenElseEstimatedElseMeasured) {
  cache graphs(make_graph_driver(which));
  (void)capture(graphs, 1, 3_MiB);
  EXPECT_EQ(graphs.stats().bytes, 3_MiB) << "given";
  graphs.clear();

  (void)graphs.get_or_capture(2, [&] {
    return captured_graph<void*>{.graph = instantiate(2_MiB), .bytes = {}, .nodes = 100};
  });
  const auto per_node = which.graph_node_bytes();
  EXPECT_EQ(per_node.has_value(), GetParam().which == simgpu::vendor::cuda);
  const bool measures = which.memory().used_by_process_bytes.has_value();
  EXPECT_EQ(graphs.stats().bytes, per_node ? 100 * *per_node : measures ? 2_MiB : 0);
  graphs.clear();

  cache by_option(make_graph_driver(which, {.bytes_per_node = 5000}));
  (void)by_option.get_or_capture(
      3, [&] { return captured_graph<void*>{.graph = instantiate(), .bytes = {}, .nodes = 10}; });
  EXPECT_EQ(by_option.stats().bytes, 50'000u);

  cache without(make_graph_driver(which, {.bytes_per_node = 0}));
  (void)without.get_or_capture(4, [&] { return instantiate(2_MiB); });
  EXPECT_EQ(without.stats().bytes, measures ? 2_MiB : 0);
  EXPECT_EQ(without.stats().unknown_footprints, measures ? 0u : 1u);
}

TEST_P(GraphDevice, EstimatesLearnFromWhatEvictionReturns) {
  if (!which.memory().used_by_process_bytes) GTEST_SKIP() << "the vendor does not say";
  // Graphs of 2 MiB that are taken for 1 MiB.
  cache graphs(make_graph_driver(which, {.bytes_per_node = 1_MiB}));
  for (int round = 0; round < 40; ++round) {
    (void)graphs.get_or_capture(round, [&] {
      return captured_graph<void*>{.graph = instantiate(2_MiB), .bytes = {}, .nodes = 1};
    });
    graphs.trim();
  }
  EXPECT_NEAR(graphs.stats().footprint_correction, 2, 0.02);
}

TEST_P(GraphDevice, AVendorThatFailsToDestroyCostsOneGraph) {
  std::vector<std::string> lines;
  graph_cache_options options;
  options.log = log_sink([&](log_level, std::string_view line) { lines.emplace_back(line); });
  cache graphs(make_graph_driver(which), options);
  for (int key = 0; key < 3; ++key) (void)capture(graphs, key);
  here.gpu().script.fail(GetParam().name + "GraphExecDestroy", 2, 1);
  graphs.clear();
  const graph_cache_stats stats = graphs.stats();
  EXPECT_EQ(stats.destroyed, 2u);
  EXPECT_EQ(stats.failed_destructions, 1u);
  EXPECT_EQ(stats.entries + stats.leaving_entries, 0u);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("GraphExecDestroy"));
  EXPECT_TRUE(dev_reset(which).was_reset) << "and does not stand in the way of a reset";
}

TEST_P(GraphDevice, TrimReturnsTheVendorsGraphMemory) {
  if (!which.supports(capability::graph_trim)) GTEST_SKIP() << "the vendor has none";
  cache graphs(make_graph_driver(which));
  (void)capture(graphs, 1);
  const std::string call = GetParam().name + "DeviceGraphMemTrim";
  EXPECT_EQ(here.gpu().script.calls(call), 0u);
  graphs.trim();
  EXPECT_EQ(here.gpu().script.calls(call), 1u);
}

TEST_P(GraphDevice, ATimeoutOfNothingIsRefused) {
  EXPECT_EQ(error_of([&] { (void)make_graph_driver(which, {.clear_timeout = {}}); }).code(),
            status::invalid_argument);
}

}  // namespace
}  // namespace lull::test
