// What keys and graphs of a graph cache may be.

#include <lull/graph_cache.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/host_graph.hpp"

namespace {

TEST(GraphCacheKeys, AndGraphsCanBeOfAnyType) {
  struct movable {
    std::unique_ptr<std::string> text;
  };
  std::vector<std::string> destroyed;
  struct driver final : lull::graph_driver {
    explicit driver(std::vector<std::string>& list) : destroyed(list) {}
    void destroy(void* handle, std::uint64_t /*generation*/) override {
      destroyed.push_back(*static_cast<movable*>(handle)->text);
    }
    std::vector<std::string>& destroyed;
  };
  lull::graph_cache<std::string, movable> texts(std::make_shared<driver>(destroyed));
  const auto make_text = [] { return movable{std::make_unique<std::string>("a graph")}; };
  EXPECT_EQ(*texts.get_or_capture("key", make_text)->text, "a graph");
  EXPECT_TRUE(texts.find("key"));
  texts.clear();
  EXPECT_THAT(destroyed, testing::ElementsAre("a graph"));
}

TEST(GraphCacheKeys, ThatCollideAreToldApart) {
  struct bad_hash {
    std::size_t operator()(std::uint64_t /*key*/) const { return 42; }
  };
  const auto driver = std::make_shared<lull::test::host_graph_driver>();
  lull::graph_cache<std::uint64_t, lull::test::host_graph*, bad_hash> colliding(driver);
  for (std::uint64_t key = 0; key < 200; ++key) {
    (void)colliding.get_or_capture(key, [&] { return driver->capture(lull::test::page, key); });
  }
  for (std::uint64_t key = 0; key < 200; ++key) {
    const auto found = colliding.find(key);
    ASSERT_TRUE(found);
    EXPECT_EQ((*found)->value, key);
  }
  for (std::uint64_t key = 0; key < 200; key += 2) EXPECT_TRUE(colliding.erase(key));
  for (std::uint64_t key = 0; key < 200; ++key) {
    EXPECT_EQ(static_cast<bool>(colliding.find(key)), key % 2 == 1);
  }
  EXPECT_EQ(colliding.stats().handles, 0U);
  colliding.clear();
  EXPECT_EQ(driver->live(), 0U);
}

}  // namespace
