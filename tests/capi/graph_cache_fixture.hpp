#ifndef LULL_TESTS_CAPI_GRAPH_CACHE_FIXTURE_HPP
#define LULL_TESTS_CAPI_GRAPH_CACHE_FIXTURE_HPP

#include <lull/lull.h>

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"

namespace lull::test {

constexpr lull_graph_key number(std::uint64_t low) {
  return {0, low};
}

inline constexpr lull_graph_limits unbounded{LULL_NO_LIMIT, LULL_NO_LIMIT, LULL_FOREVER};

inline constexpr std::uint64_t vendor_node_bytes = 10;

/// A vendor whose graphs are numbers of its own. Everything it is told is on its lists.
struct vendor {
  std::vector<std::uintptr_t> destroyed;
  int synchronizations = 0;
  int trims = 0;
  lull_status answer = LULL_OK;
  std::uint64_t footprint_bytes = LULL_UNKNOWN;
  std::uint64_t used_bytes = LULL_UNKNOWN;
  bool throws = false;

  static vendor& of(void* user) {
    auto& self = *static_cast<vendor*>(user);
    if (self.throws) throw std::runtime_error("from C++");
    return self;
  }
  [[nodiscard]] lull_graph_driver driver() {
    auto made = sized<lull_graph_driver>();
    made.destroy = [](void* user, void* graph) {
      of(user).destroyed.push_back(reinterpret_cast<std::uintptr_t>(graph));
      return of(user).answer;
    };
    made.before_destroy = [](void* user) {
      ++of(user).synchronizations;
      return of(user).answer;
    };
    made.trim = [](void* user) {
      ++of(user).trims;
      return of(user).answer;
    };
    made.footprint = [](void* user, void*, std::uint64_t nodes) {
      return nodes != LULL_UNKNOWN ? nodes * vendor_node_bytes : of(user).footprint_bytes;
    };
    made.used_bytes = [](void* user) { return of(user).used_bytes; };
    made.user = this;
    return made;
  }
};

/// What a capture is told to do, and how often it ran.
struct recipe {
  std::uintptr_t graph = 0;
  std::uint64_t bytes = LULL_UNKNOWN;
  lull_status answer = LULL_OK;
  std::uint64_t nodes = LULL_UNKNOWN;
  int calls = 0;

  static lull_status capture(void* user, lull_captured_graph* captured) {
    auto& self = *static_cast<recipe*>(user);
    ++self.calls;
    EXPECT_EQ(captured->struct_size, sizeof *captured);
    EXPECT_EQ(captured->graph, nullptr);
    EXPECT_EQ(captured->bytes, LULL_UNKNOWN);
    captured->graph = reinterpret_cast<void*>(self.graph);
    captured->bytes = self.bytes;
    captured->nodes = self.nodes;
    return self.answer;
  }
};

inline std::uintptr_t value(const lull_graph_pin& pin) {
  return reinterpret_cast<std::uintptr_t>(pin.graph);
}

class CGraphCache : public testing::Test {
 protected:
  CGraphCache() {
    lull_graph_cache_options_init(&options_);
    options_.driver = &driver_;
  }
  ~CGraphCache() override { lull_graph_cache_destroy(cache_); }

  void create() {
    lull_graph_cache_destroy(std::exchange(cache_, nullptr));
    ASSERT_EQ(lull_graph_cache_create(&options_, &cache_), LULL_OK) << lull_last_error_message();
  }

  lull_graph_pin get(std::uint64_t key, std::uint64_t bytes = LULL_UNKNOWN) {
    return get_from(cache_, key, bytes);
  }
  static lull_graph_pin get_from(lull_graph_cache* cache, std::uint64_t key, std::uint64_t bytes) {
    recipe how{1000 + key, bytes};
    lull_graph_pin pin{};
    EXPECT_EQ(
        lull_graph_cache_get_or_capture(cache, number(key), recipe::capture, &how, nullptr, &pin),
        LULL_OK)
        << lull_last_error_message();
    return pin;
  }
  /// Captured and in use by nobody.
  void put(std::uint64_t key, std::uint64_t bytes = LULL_UNKNOWN) {
    lull_graph_pin pin = get(key, bytes);
    lull_graph_pin_release(&pin);
  }
  /// 0 when it is not there.
  std::uintptr_t look_up(lull_graph_key key) {
    lull_graph_pin pin{};
    EXPECT_EQ(lull_graph_cache_find(cache_, key, &pin), LULL_OK);
    const std::uintptr_t found = value(pin);
    lull_graph_pin_release(&pin);
    return found;
  }
  lull_graph_stats stats() {
    auto seen = sized<lull_graph_stats>();
    EXPECT_EQ(lull_graph_cache_stats(cache_, &seen), LULL_OK);
    return seen;
  }

  vendor vendor_;
  lull_graph_driver driver_ = vendor_.driver();
  lull_graph_cache_options options_{};
  lull_graph_cache* cache_ = nullptr;
};

}  // namespace lull::test

#endif  // LULL_TESTS_CAPI_GRAPH_CACHE_FIXTURE_HPP
