// Captured graphs on a real GPU: what they hold, and that a cache keeps that flat.

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "driver.hpp"
#include "gpu_fixture.hpp"
#include "support/rss.hpp"

namespace lull::gpu_test {
namespace {

/// For what fails only where the machine does, not lull.
void expect_success(cudaError_t code) {
  ASSERT_EQ(code, cudaSuccess) << cudaGetErrorString(code);
}
void expect_success(CUresult code) {
  ASSERT_EQ(code, CUDA_SUCCESS);
}

/// Captures graphs of kernel nodes as an engine does: launches into a stream that is being
/// captured.
class Graphs : public Gpu {
 protected:
  void SetUp() override {
    Gpu::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    gpu().context_create();
    expect_success(cudaSetDevice(0));
    // The driver compiles it for whatever GPU this is.
    const char* const ptx =
        ".version 7.0\n.target sm_70\n.address_size 64\n"
        ".visible .entry add(.param .u64 to) {\n"
        "  .reg .b64 %a;\n  .reg .b32 %v;\n"
        "  ld.param.u64 %a, [to];\n  cvta.to.global.u64 %a, %a;\n"
        "  ld.global.u32 %v, [%a];\n  add.u32 %v, %v, 1;\n  st.global.u32 [%a], %v;\n  ret;\n}\n";
    CUmodule loaded = nullptr;
    expect_success(driver_.load(&loaded, ptx));
    expect_success(driver_.function(&add_, loaded, "add"));
    stream_ = static_cast<cudaStream_t>(gpu().stream_create().value);
    counter_ = gpu().allocate(sizeof(std::uint32_t));
    gpu().fill(counter_, std::byte{0}, sizeof(std::uint32_t));
  }

  /// A graph that adds `nodes` to the counter.
  captured_graph<cudaGraphExec_t> capture(std::uint64_t nodes) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    expect_success(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    void* parameters[] = {&counter_};
    for (std::uint64_t i = 0; i < nodes; ++i) {
      expect_success(driver_.launch(add_, 1, 1, 1, 1, 1, 1, 0, stream_, parameters, nullptr));
    }
    expect_success(cudaStreamEndCapture(stream_, &graph));
    expect_success(cudaGraphInstantiate(&exec, graph, 0));
    const std::uint64_t counted = gpu().graph_node_count(graph);
    expect_success(cudaGraphDestroy(graph));
    return {.graph = exec, .bytes = {}, .nodes = counted};
  }

  void launch(cudaGraphExec_t exec) { expect_success(cudaGraphLaunch(exec, stream_)); }

  std::uint32_t counter() {
    gpu().stream_synchronize({stream_});
    std::uint32_t value = 0;
    gpu().copy_to_host(&value, counter_, sizeof value);
    return value;
  }

  /// What the process holds of the device, else what anybody does.
  std::int64_t device_bytes() {
    gpu().synchronize();
    const memory_info seen = gpu().memory();
    if (seen.used_by_process_bytes) return static_cast<std::int64_t>(*seen.used_by_process_bytes);
    return static_cast<std::int64_t>(*seen.total_bytes - *seen.free_bytes);
  }

  static std::int64_t host_bytes() { return static_cast<std::int64_t>(test::resident_bytes()); }

 private:
  driver driver_;
  CUfunction add_ = nullptr;
  cudaStream_t stream_ = nullptr;
  void* counter_ = nullptr;
};

using cache = graph_cache<std::uint64_t, cudaGraphExec_t>;

TEST_F(Graphs, ANodeHoldsAboutWhatIsCountedForIt) {
  constexpr int graphs = 64;
  constexpr std::uint64_t nodes = 1000;
  std::vector<cudaGraphExec_t> all{capture(nodes).graph};
  launch(all.front());
  const std::int64_t before = device_bytes();
  const std::int64_t host_before = host_bytes();
  for (int i = 0; i < graphs; ++i) {
    all.push_back(capture(nodes).graph);
    launch(all.back());  // the first launch uploads it
  }
  const auto per_node = [&](std::int64_t bytes) {
    return static_cast<double>(bytes) / (graphs * static_cast<double>(nodes));
  };
  const double device_per_node = per_node(device_bytes() - before);
  note("device_bytes_per_node", fmt::format("{:.0f}", device_per_node));
  note("host_bytes_per_node", fmt::format("{:.0f}", per_node(host_bytes() - host_before)));
  note("counted_bytes_per_node", gpu().graph_node_bytes());
  for (const cudaGraphExec_t each : all) expect_success(cudaGraphExecDestroy(each));
  gpu().graph_trim();
  note("device_bytes_left", std::to_string(device_bytes() - before));
  EXPECT_LT(device_per_node, 10.0 * static_cast<double>(*gpu().graph_node_bytes()));
}

TEST_F(Graphs, TenThousandThroughACacheOf256StayFlat) {
  constexpr std::uint64_t rounds = 10'000;
  constexpr std::uint64_t warm_up = 1'000;
  constexpr std::uint64_t nodes = 16;
  cache bounded(make_graph_driver(gpu()), {.limits = {.entries = 256}});
  std::int64_t device_before = 0;
  std::int64_t host_before = 0;
  const double bounded_ms = milliseconds([&] {
    for (std::uint64_t key = 0; key < rounds; ++key) {
      if (key == warm_up) {
        device_before = device_bytes();
        host_before = host_bytes();
      }
      launch(*bounded.get_or_capture(key, [&] { return capture(nodes); }));
    }
  });
  const std::int64_t device_growth = device_bytes() - device_before;
  const std::int64_t host_growth = host_bytes() - host_before;
  EXPECT_EQ(counter(), rounds * nodes) << "every graph ran";
  const graph_cache_stats stats = bounded.stats();
  EXPECT_EQ(stats.destroyed, rounds - 256);
  EXPECT_EQ(stats.failed_destructions, 0u);
  note("cache_device_growth_bytes", std::to_string(device_growth));
  note("cache_host_growth_bytes", std::to_string(host_growth));
  note("cache_ms", fmt::format("{:.0f}", bounded_ms));
  note("destroying_ms",
       fmt::format("{:.0f}", std::chrono::duration<double, std::milli>(stats.destroying).count()));
  bounded.clear();

  // What servers have.
  std::unordered_map<std::uint64_t, cudaGraphExec_t> unbounded;
  const double unbounded_ms = milliseconds([&] {
    for (std::uint64_t key = 0; key < rounds; ++key) {
      if (key == warm_up) {
        device_before = device_bytes();
        host_before = host_bytes();
      }
      launch(unbounded[key] = capture(nodes).graph);
    }
  });
  const std::int64_t unbounded_device_growth = device_bytes() - device_before;
  const std::int64_t unbounded_host_growth = host_bytes() - host_before;
  note("map_device_growth_bytes", std::to_string(unbounded_device_growth));
  note("map_host_growth_bytes", std::to_string(unbounded_host_growth));
  note("map_ms", fmt::format("{:.0f}", unbounded_ms));
  for (const auto& [key, each] : unbounded) expect_success(cudaGraphExecDestroy(each));

  constexpr auto flat = static_cast<std::int64_t>(16 * MiB);
  EXPECT_LT(device_growth, flat);
  EXPECT_LT(host_growth, flat);
  EXPECT_GT(unbounded_device_growth + unbounded_host_growth, device_growth + host_growth);
}

TEST_F(Graphs, OneThatStillRunsMayBeEvicted) {
  cache graphs(make_graph_driver(gpu()));
  for (std::uint64_t key = 0; key < 200; ++key) {
    launch(*graphs.get_or_capture(key, [&] { return capture(500); }));
    EXPECT_TRUE(graphs.erase(key));
  }
  EXPECT_EQ(counter(), 200u * 500u);
  EXPECT_EQ(graphs.stats().destroyed, 200u);
}

TEST_F(Graphs, AResetClearsTheCacheAndItIsFilledAgain) {
  cache graphs(make_graph_driver(gpu()));
  for (std::uint64_t key = 0; key < 8; ++key) {
    launch(*graphs.get_or_capture(key, [&] { return capture(4); }));
  }
  EXPECT_EQ(counter(), 32u);
  // The fixture's own stream and buffer are dropped with the context.
  const reset_report report = dev_reset(gpu(), {.drop = true});
  EXPECT_TRUE(report.was_reset);
  EXPECT_EQ(graphs.stats().destroyed, 8u);
  SetUp();
  launch(*graphs.get_or_capture(1, [&] { return capture(4); }));
  EXPECT_EQ(counter(), 4u);
}

}  // namespace
}  // namespace lull::gpu_test
