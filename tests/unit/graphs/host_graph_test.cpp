#include <lull/host_graph.hpp>
#include <lull/lull.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/rss.hpp"

namespace {

using namespace lull::literals;
using lull::status;
using lull::test::error_of;
using lull::test::resident_bytes;
using testing::ElementsAre;
using testing::HasSubstr;

class HostGraph : public testing::Test {
 protected:
  lull::registry registry_{[] {
    lull::registry_options options;
    options.search = false;
    return options;
  }()};
  lull::device host_ = registry_.find("HOST");
  lull::host_graph_builder builder_;
};

TEST_F(HostGraph, NodesRunInOrderAtEveryLaunch) {
  std::vector<int> ran;
  for (int node = 0; node < 3; ++node) builder_.add([&ran, node] { ran.push_back(node); });
  const auto graph = builder_.instantiate();
  EXPECT_EQ(graph->node_count(), 3U);
  EXPECT_THAT(ran, ElementsAre()) << "recording is not running";
  graph->launch();
  EXPECT_THAT(ran, ElementsAre(0, 1, 2));
  graph->launch();
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 0, 1, 2));
}

TEST_F(HostGraph, ItsWorkspaceIsResidentFromRecordingUntilDestruction) {
  const auto before = resident_bytes();
  (void)builder_.workspace(32_MiB);
  auto graph = builder_.instantiate();
  const auto captured = resident_bytes();
  EXPECT_EQ(graph->bytes(), 32_MiB);
  EXPECT_GE(captured, before + 24_MiB) << "nobody has written to it but the graph itself";
  graph.reset();
  EXPECT_LE(resident_bytes(), captured - 24_MiB);
}

TEST_F(HostGraph, WhatWasNotInstantiatedGoesWithTheBuilder) {
  const auto before = resident_bytes();
  {
    lull::host_graph_builder builder;
    (void)builder.workspace(32_MiB);
    EXPECT_GE(resident_bytes(), before + 24_MiB);
  }
  EXPECT_LE(resident_bytes(), before + 8_MiB);
}

TEST_F(HostGraph, WorkspacesAreZeroedAndCountedInWholePages) {
  const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto small = builder_.workspace(100);
  const auto large = builder_.workspace(page_bytes + 1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(small) % page_bytes, 0U);
  EXPECT_TRUE(std::all_of(large, large + page_bytes + 1, [](auto b) { return b == std::byte{0}; }));
  std::memset(small, 1, 100);
  EXPECT_EQ(*large, std::byte{0}) << "they do not overlap";
  EXPECT_EQ(builder_.instantiate()->bytes(), 3 * page_bytes);
}

TEST_F(HostGraph, ABuilderIsEmptyAfterInstantiating) {
  builder_.add([] {});
  (void)builder_.workspace(1);
  const auto first = builder_.instantiate();
  const auto second = builder_.instantiate();
  EXPECT_EQ(first->node_count(), 1U);
  EXPECT_EQ(second->node_count(), 0U);
  EXPECT_EQ(second->bytes(), 0U);
  second->launch();
}

TEST_F(HostGraph, ANodeThatThrowsEndsTheLaunchAndNoMore) {
  bool broken = true;
  int reached = 0;
  builder_.add([&] {
    if (broken) throw std::runtime_error("a node fails");
  });
  builder_.add([&] { ++reached; });
  const auto graph = builder_.instantiate();
  EXPECT_THROW(graph->launch(), std::runtime_error);
  EXPECT_EQ(reached, 0);
  broken = false;
  graph->launch();
  EXPECT_EQ(reached, 1);
}

TEST_F(HostGraph, LaunchesDoNotOverlap) {
  lull::host_graph* itself = nullptr;
  std::atomic<bool> inside{false};
  std::atomic<bool> leave{false};
  builder_.add([&] {
    inside = true;
    while (!leave) std::this_thread::yield();
  });
  builder_.add(
      [&] { EXPECT_EQ(error_of([&] { itself->launch(); }).code(), status::busy) << "by itself"; });
  const auto graph = builder_.instantiate();
  itself = graph.get();
  std::jthread other([&] { graph->launch(); });
  while (!inside) std::this_thread::yield();
  const auto failure = error_of([&] { graph->launch(); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("must not overlap"));
  leave = true;
  other.join();
  graph->launch();
}

TEST_F(HostGraph, BadInputIsRefused) {
  EXPECT_EQ(error_of([&] { builder_.add({}); }).code(), status::invalid_argument);
  for (const std::uint64_t bytes : {std::uint64_t{0}, UINT64_MAX, UINT64_MAX / 2}) {
    const auto failure = error_of([&] { (void)builder_.workspace(bytes); });
    EXPECT_EQ(failure.code(), status::invalid_argument) << bytes;
    EXPECT_THAT(failure.what(), HasSubstr(std::to_string(bytes)));
  }
  // More than any machine of today can address.
  EXPECT_EQ(error_of([&] { (void)builder_.workspace(std::uint64_t{1} << 60); }).code(),
            status::out_of_host_memory);
  EXPECT_EQ(builder_.instantiate()->bytes(), 0U);
}

TEST_F(HostGraph, TheDeviceCountsItsNodesAndDestroysIt) {
  ASSERT_TRUE(host_.supports(lull::capability::graphs));
  (void)builder_.workspace(32_MiB);
  const auto alive = std::make_shared<int>(0);
  for (int node = 0; node < 5; ++node) builder_.add([alive] {});
  lull::host_graph* const graph = builder_.instantiate().release();
  EXPECT_EQ(host_.graph_node_count(graph), 5U);
  EXPECT_EQ(alive.use_count(), 6);

  const auto captured = resident_bytes();
  host_.graph_adopt(graph);
  host_.graph_destroy(graph);
  EXPECT_LE(resident_bytes(), captured - 24_MiB);
  EXPECT_EQ(alive.use_count(), 1) << "what the nodes hold goes too";
}

TEST_F(HostGraph, TheDeviceTakesAnybodysGraph) {
  struct own_graph {
    lull_host_graph header;
    int destroyed = 0;
  } graph{{[](lull_host_graph* self) { ++reinterpret_cast<own_graph*>(self)->destroyed; }, 7}};
  EXPECT_EQ(host_.graph_node_count(&graph), 7U);
  host_.graph_adopt(&graph);
  host_.graph_destroy(&graph);
  EXPECT_EQ(graph.destroyed, 1);
}

TEST_F(HostGraph, TheDeviceRefusesWhatIsNoGraph) {
  EXPECT_THAT(error_of([&] { static_cast<void>(host_.graph_node_count(nullptr)); }).what(),
              HasSubstr("null pointer"));
  host_.graph_adopt(nullptr);
  EXPECT_EQ(error_of([&] { host_.graph_destroy(nullptr); }).code(), status::invalid_argument);

  lull_host_graph without{nullptr, 0};
  host_.graph_adopt(&without);
  const auto failure = error_of([&] { host_.graph_destroy(&without); });
  EXPECT_EQ(failure.code(), status::invalid_argument);
  EXPECT_THAT(failure.what(), HasSubstr("no destroy function"));
}

TEST_F(HostGraph, ACacheReturnsItsMemory) {
  lull::graph_cache<int, lull::host_graph*> cache(lull::make_graph_driver(host_),
                                                  {.limits = {.entries = 2}});
  const auto before = resident_bytes();
  int launched = 0;
  for (int key = 0; key < 20; ++key) {
    const auto graph = cache.get_or_capture(key, [&] {
      (void)builder_.workspace(8_MiB);
      builder_.add([&] { ++launched; });
      auto made = builder_.instantiate();
      const std::uint64_t bytes = made->bytes();
      return lull::captured_graph<lull::host_graph*>{made.release(), bytes};
    });
    (*graph)->launch();
    EXPECT_LE(resident_bytes(), before + 48_MiB) << key;
  }
  EXPECT_EQ(launched, 20);
  EXPECT_EQ(cache.stats().bytes, 16_MiB);
  cache.clear();
  EXPECT_LE(resident_bytes(), before + lull::test::rss_slack_bytes);
  EXPECT_EQ(cache.stats().destroyed, 20U);
  EXPECT_FALSE(cache.stats().measured_returned_bytes) << "the device's books do not know graphs";
}

}  // namespace
