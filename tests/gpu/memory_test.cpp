// Regions, copies and graphs on a real GPU.

#include <cuda_runtime_api.h>

#include <cstring>
#include <vector>

#include "gpu_fixture.hpp"

namespace lull::gpu_test {
namespace {

std::vector<std::byte> pattern(std::size_t bytes) {
  std::vector<std::byte> filled(bytes);
  for (std::size_t i = 0; i < bytes; ++i) filled[i] = static_cast<std::byte>(i * 31 + i / 4096);
  return filled;
}

TEST_F(Gpu, ContentsGoThereAndBack) {
  const auto sent = pattern(3 * MiB + 17);
  void* const address = gpu().allocate(sent.size());
  gpu().copy_from_host(address, sent.data(), sent.size());
  std::vector<std::byte> received(sent.size());
  gpu().copy_to_host(received.data(), address, received.size());
  EXPECT_EQ(received, sent);

  const auto stream = gpu().stream_create();
  void* const pinned = gpu().pinned_allocate(sent.size());
  gpu().fill(address, std::byte{9}, sent.size());
  gpu().copy_to_host_async(stream, pinned, address, sent.size());
  gpu().stream_synchronize(stream);
  EXPECT_EQ(static_cast<std::byte*>(pinned)[sent.size() - 1], std::byte{9});
  gpu().pinned_free(pinned);
  gpu().stream_destroy(stream);
  gpu().deallocate(address, sent.size());
}

class GpuLevels : public Gpu, public testing::WithParamInterface<sleep_level> {};

TEST_P(GpuLevels, GiveTheMemoryBackAndBringTheContentsHome) {
  const auto sent = pattern(512 * MiB);
  memory arena;
  std::vector<region> weights;
  for (int i = 0; i < 8; ++i) {
    const std::byte* const from = sent.data() + static_cast<std::size_t>(i) * 64 * MiB;
    const auto write = [from](const refill_target& to) { to.write(0, from, to.size_bytes()); };
    weights.push_back(arena.allocate(
        gpu(), 64 * MiB, {.tag = "weights", .name = fmt::format("w{}", i), .refill = write}));
    weights.back().refill(write);
  }
  std::vector<void*> addresses;
  for (const region& each : weights) addresses.push_back(each.address());
  sleeper idle;
  idle.manage(arena);
  const memory_info awake = gpu().memory();
  const transition_report slept = idle.sleep(plan_for(GetParam()));
  const memory_info asleep = gpu().memory();
  note("asleep_used_bytes", asleep.used_by_process_bytes);
  note("freed_on_device", *asleep.free_bytes - *awake.free_bytes);
  EXPECT_GE(*asleep.free_bytes, *awake.free_bytes + 512 * MiB);
  const double to_wake = milliseconds([&] { idle.wake(); });
  note("sleep_ms",
       fmt::format("{:.1f}", std::chrono::duration<double, std::milli>(slept.elapsed).count()));
  note("wake_ms", fmt::format("{:.1f}", to_wake));
  std::vector<std::byte> received(64 * MiB);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(weights[i].address(), addresses[i]);
    gpu().copy_to_host(received.data(), weights[i].address(), received.size());
    EXPECT_EQ(std::memcmp(received.data(), sent.data() + i * 64 * MiB, received.size()), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, GpuLevels,
                         testing::Values(sleep_level::offload, sleep_level::discard,
                                         sleep_level::reset),
                         [](const auto& level) { return std::string(to_string(level.param)); });

/// Captures a memset `times` times, by the program's own runtime.
cudaGraphExec_t capture(cudaStream_t stream, void* address, int times, cudaGraph_t* graph) {
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  for (int i = 0; i < times; ++i) {
    EXPECT_EQ(cudaMemsetAsync(address, i + 1, MiB, stream), cudaSuccess);
  }
  EXPECT_EQ(cudaStreamEndCapture(stream, graph), cudaSuccess);
  cudaGraphExec_t made = nullptr;
  EXPECT_EQ(cudaGraphInstantiateWithFlags(&made, *graph, 0), cudaSuccess);
  return made;
}

TEST_F(Gpu, CapturedGraphsAreCountedUploadedAndGoWithTheContext) {
  void* const address = gpu().allocate(MiB);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  cudaGraph_t graph = nullptr;
  const cudaGraphExec_t made = capture(stream, address, 5, &graph);
  EXPECT_EQ(gpu().graph_node_count(graph), 5u);
  gpu().graph_adopt(made);
  gpu().graph_upload(made, gpu().stream_create());
  EXPECT_EQ(cudaGraphLaunch(made, stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  context_bound<cudaGraphExec_t> bound(gpu(), made);
  dev_reset(gpu(), {.drop = true});
  EXPECT_TRUE(bound.stale());
  EXPECT_THROW(gpu().graph_destroy(made), error);
}

}  // namespace
}  // namespace lull::gpu_test
