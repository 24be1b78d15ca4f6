// Whatever a graph cache needs of the system fails once: no graph is lost or destroyed twice, and
// the bounds hold.

#include <lull/graph_cache.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/host_graph.hpp"
#include "support/scarcity.hpp"

namespace lull::test {
namespace {

using cache = graph_cache<std::string, host_graph*>;

class GraphScarcity : public testing::TestWithParam<resource> {
 protected:
  static constexpr std::uint64_t bytes = 4096;

  cache::handle get(cache& from, int number) {
    return from.get_or_capture("a key that is longer than a small string " + std::to_string(number),
                               [&] { return driver_->capture(bytes, 0); });
  }
  /// All graphs that there are belong to the cache.
  void expect_none_lost(const cache& of) const {
    const graph_cache_stats seen = of.stats();
    EXPECT_EQ(driver_->live(), seen.entries + seen.leaving_entries);
    EXPECT_EQ(driver_->live() * bytes, seen.bytes + seen.leaving_bytes);
  }

  std::shared_ptr<host_graph_driver> driver_ = std::make_shared<host_graph_driver>();
};

TEST_P(GraphScarcity, OfCapturesAndEvictions) {
  cache graphs(driver_, {.limits = {.entries = 3}});
  int next = 0;
  fail_each(
      GetParam(),
      [&] {
        const auto first = get(graphs, ++next);
        for (int i = 0; i < 4; ++i) static_cast<void>(get(graphs, ++next));
      },
      [&](bool) {
        expect_none_lost(graphs);
        EXPECT_LE(graphs.stats().entries, 3u);
        EXPECT_EQ(graphs.stats().handles, 0u);
        const auto again = get(graphs, ++next);
        EXPECT_NE(*again, nullptr);
      });
  graphs.clear();
  EXPECT_EQ(driver_->live(), 0u);
}

TEST_P(GraphScarcity, OfClearingUnderAHold) {
  cache graphs(driver_, {.frequency_filter = true});
  int next = 0;
  fail_each(
      GetParam(),
      [&] {
        for (int i = 0; i < 4; ++i) static_cast<void>(get(graphs, ++next));
        const graph_hold capturing;
        graphs.trim();
      },
      [&](bool) { expect_none_lost(graphs); });
  graphs.clear();
  EXPECT_EQ(driver_->live(), 0u);
}

TEST_P(GraphScarcity, OfACacheThatComesAndGoes) {
  fail_each(
      GetParam(),
      [&] {
        cache graphs(driver_, {});
        static_cast<void>(get(graphs, 1));
      },
      [&](bool) { EXPECT_EQ(driver_->live(), 0u); });
}

INSTANTIATE_TEST_SUITE_P(Each, GraphScarcity,
                         testing::Values(resource::allocation, resource::thread), name_of);

}  // namespace
}  // namespace lull::test
