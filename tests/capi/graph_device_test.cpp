// Graph caches over a device by the C API.

#include <lull/backend.hpp>
#include <lull/lull.h>

#include <cstdint>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"
#include "host/host.hpp"

namespace {

using lull::test::sized;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t node_bytes = 1000;
constexpr lull_graph_key a_key{1, 2};

/// What the device below was asked to do, by the one test that runs.
struct requests {
  std::vector<std::uintptr_t> destroyed;
  std::vector<std::size_t> destroyed_before_reset;  ///< how many were, at each reset
  bool has_context = true;
};

requests& asked() {
  static requests all;
  return all;
}

lull_status describe(lull_backend* backend, std::uint32_t device, lull_backend_device* out,
                     lull_backend_error* error) {
  const lull_status code = lull::backends::host_ops().device_describe(backend, device, out, error);
  lull::backends::copy_text(out->name, "GRAPHS0");
  out->capabilities |= LULL_CAP_GRAPHS | LULL_CAP_CONTEXT | LULL_CAP_RESET;
  out->graph_node_bytes = node_bytes;
  return code;
}

/// What it has beside the host backend's own operations, of which it needs no state.
struct graph_device {
  void context_create(std::uint32_t) { asked().has_context = true; }
  void context_alive(std::uint32_t, lull_tristate* alive) {
    *alive = asked().has_context ? LULL_TRISTATE_YES : LULL_TRISTATE_NO;
  }
  void synchronize(std::uint32_t) {}
  void reset(std::uint32_t) {
    asked().destroyed_before_reset.push_back(asked().destroyed.size());
    asked().has_context = false;
  }
  void graph_destroy(std::uint32_t, void* graph) {
    asked().destroyed.push_back(reinterpret_cast<std::uintptr_t>(graph));
  }
  void graph_node_count(std::uint32_t, void* graph, std::uint64_t* nodes) {
    *nodes = reinterpret_cast<std::uintptr_t>(graph);
  }
};

/// The host backend, with a context that can be reset and graphs that are numbers: the one of so
/// many nodes.
const lull_backend_ops& graph_ops() {
  static const lull_backend_ops ops = [] {
    lull_backend_ops table = lull::backends::host_ops();
    table.name = "graphs";
    table.device_describe = describe;
    table.context = &lull::backends::group_of<lull_context_ops, graph_device>;
    table.reset = &lull::backends::group_of<lull_reset_ops, graph_device>;
    table.graphs = &lull::backends::group_of<lull_graphs_ops, graph_device>;
    return table;
  }();
  return ops;
}

class CDeviceGraphs : public testing::Test {
 protected:
  CDeviceGraphs() {
    asked() = {};
    lull_registry_options options;
    lull_registry_options_init(&options);
    options.search = 0;
    EXPECT_EQ(lull_registry_create(&options, &registry_), LULL_OK);
    auto module = sized<lull_module_info>();
    EXPECT_EQ(lull_registry_add(registry_, &graph_ops(), &module), LULL_OK);
    EXPECT_EQ(module.state, LULL_MODULE_ACTIVE) << module.reason;
    EXPECT_EQ(lull_registry_find(registry_, "GRAPHS0", &device_), LULL_OK);
    lull_graph_cache_options_init(&options_);
    options_.device = device_;
  }
  ~CDeviceGraphs() override {
    lull_graph_cache_destroy(cache_);
    lull_device_destroy(device_);
    lull_registry_destroy(registry_);
  }

  void create() {
    ASSERT_EQ(lull_graph_cache_create(&options_, &cache_), LULL_OK) << lull_last_error_message();
  }

  /// Captures as with a vendor: the template is counted, the executable handed over.
  static lull_status capture(void* user, lull_captured_graph* captured) {
    auto& self = *static_cast<CDeviceGraphs*>(user);
    void* const graph = reinterpret_cast<void*>(7);
    captured->graph = graph;
    EXPECT_EQ(captured->nodes, LULL_UNKNOWN);
    return lull_device_graph_node_count(self.device_, graph, &captured->nodes);
  }
  lull_graph_pin get() {
    lull_graph_pin pin{};
    EXPECT_EQ(lull_graph_cache_get_or_capture(cache_, a_key, capture, this, nullptr, &pin), LULL_OK)
        << lull_last_error_message();
    return pin;
  }
  void put() {
    lull_graph_pin pin = get();
    lull_graph_pin_release(&pin);
  }
  lull_graph_stats stats() {
    auto seen = sized<lull_graph_stats>();
    EXPECT_EQ(lull_graph_cache_stats(cache_, &seen), LULL_OK);
    return seen;
  }

  lull_registry* registry_ = nullptr;
  lull_device* device_ = nullptr;
  lull_graph_cache_options options_{};
  lull_graph_cache* cache_ = nullptr;
};

TEST_F(CDeviceGraphs, TheDeviceDestroysAndEstimates) {
  create();
  lull_device_destroy(std::exchange(device_, nullptr));
  ASSERT_EQ(lull_registry_find(registry_, "GRAPHS0", &device_), LULL_OK);
  put();
  EXPECT_EQ(stats().bytes, 7 * node_bytes);
  EXPECT_EQ(lull_graph_cache_trim(cache_, nullptr), LULL_OK);
  EXPECT_THAT(asked().destroyed, ElementsAre(7U));
}

TEST_F(CDeviceGraphs, WhatANodeHoldsCanBeSaid) {
  options_.bytes_per_node = 3;
  create();
  put();
  EXPECT_EQ(stats().bytes, 21U);
  lull_graph_cache_destroy(std::exchange(cache_, nullptr));
  options_.bytes_per_node = 0;
  create();
  put();
  EXPECT_EQ(stats().bytes, 0U);
  EXPECT_EQ(stats().unknown_footprints, 1U) << "0: no estimates";
}

TEST_F(CDeviceGraphs, AResetClearsTheCacheFirst) {
  create();
  put();
  EXPECT_EQ(lull_device_reset(device_, nullptr, nullptr), LULL_OK) << lull_last_error_message();
  EXPECT_THAT(asked().destroyed_before_reset, ElementsAre(1U));
  EXPECT_EQ(stats().entries, 0U);
  put();
  EXPECT_EQ(stats().entries, 1U);
}

TEST_F(CDeviceGraphs, AResetWaitsForGraphsInUseOnlySoLong) {
  options_.clear_timeout_ns = LULL_MILLISECOND;
  create();
  lull_graph_pin pin = get();
  EXPECT_NE(lull_device_reset(device_, nullptr, nullptr), LULL_OK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("graph"));
  EXPECT_THAT(asked().destroyed_before_reset, IsEmpty());

  lull_reset_options drop;
  lull_reset_options_init(&drop);
  drop.drop = 1;
  put();
  EXPECT_EQ(lull_device_reset(device_, &drop, nullptr), LULL_OK) << lull_last_error_message();
  lull_graph_pin_release(&pin);
  EXPECT_EQ(asked().destroyed, std::vector<std::uintptr_t>({7U}))
      << "the one in use died with the context";
}

TEST_F(CDeviceGraphs, BadArgumentsAreRefused) {
  const auto refused = [this](const lull_graph_cache_options& options, const char* words) {
    EXPECT_EQ(lull_graph_cache_create(&options, &cache_), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(lull_last_error_message(), HasSubstr(words));
    EXPECT_EQ(cache_, nullptr);
  };
  lull_graph_cache_options both = options_;
  auto driver = sized<lull_graph_driver>();
  driver.destroy = [](void*, void*) { return LULL_OK; };
  both.driver = &driver;
  refused(both, "not both");
  lull_graph_cache_options neither = options_;
  neither.device = nullptr;
  refused(neither, "both are null");
  for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}}) {
    lull_graph_cache_options timed = options_;
    timed.clear_timeout_ns = bad;
    refused(timed, "options->clear_timeout_ns");
  }

  std::uint64_t nodes = 4711;
  void* const graph = reinterpret_cast<void*>(7);
  EXPECT_EQ(lull_device_graph_node_count(nullptr, graph, &nodes), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "device is null");
  EXPECT_EQ(lull_device_graph_node_count(device_, nullptr, &nodes), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "graph is null");
  EXPECT_EQ(lull_device_graph_node_count(device_, graph, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "nodes is null");
  EXPECT_EQ(nodes, 4711U);
}

}  // namespace
