// Every vendor call of every operation is made to fail in turn. Afterwards nothing is leaked, all
// is as it was, and the error names the call, the vendor's code and the device.

#include <optional>
#include <set>
#include <string>

#include "support/expect_error.hpp"
#include "vendor/operations.hpp"

namespace lull::test {
namespace {

/// No vendor has a meaning of its own for it that a module would act on.

class Sweep : public Vendor {
 protected:
  /// Lets the n-th call fail. @return whether there was one
  static bool fail_call(const operation& what, std::uint64_t n, std::set<std::string>& tolerated) {
    bench b(GetParam());
    what.prepare(b);
    const simgpu::books before = b.here.gpu().take_stock();
    b.here.gpu().script.fail_nth(n, injected_code);
    std::optional<error> failure;
    try {
      what.run(b);
    } catch (const error& thrown) {
      failure = thrown;
    }
    const std::string failed = b.here.gpu().script.failed_function();
    b.here.gpu().script.fail_nth(0, 0);

    // What the arena keeps for the next transfer is no leak. What it lost count of would stay
    // registered when it gives back all that it has.
    b.arena.arena().trim();
    if (failure) {
      EXPECT_EQ(b.here.gpu().take_stock(), before)
          << to_string(b.here.gpu().take_stock()) << "\ninstead of " << to_string(before);
      EXPECT_NE(failure->vendor(), nullptr) << failure->what();
      if (failure->vendor() != nullptr) {
        EXPECT_EQ(failure->vendor()->call, failed) << failure->what();
        EXPECT_EQ(failure->vendor()->code, injected_code);
      }
      EXPECT_EQ(failure->device(), b.which.name()) << failure->what();
      what.run(b);  // and nothing stands in the way of another attempt
    } else if (!failed.empty()) {
      tolerated.insert(failed);
      expect_told(b.report, failed);
    }
    what.finish(b);
    if (what.name != "dev_reset") expect_nothing_left(b);
    return !failed.empty();
  }

 private:
  /// A transfer goes on without pinned memory, but not in silence.
  static void expect_told(const transfer_report& report, const std::string& failed) {
    if (!failed.ends_with("HostRegister") || report.devices.empty()) return;
    EXPECT_GT(report.devices.front().staged_bytes, 0U);
    EXPECT_THAT(report.devices.front().staged_because, testing::HasSubstr(failed));
  }
};

/// What may fail without failing the operation: looking (figures become unknown), clearing up, and
/// in a reset what only prepares it (reported among its problems).
std::set<std::string> may_be_tolerated(const std::string& operation) {
  std::set<std::string> allowed{
      "cuCtxPopCurrent_v2", "cudaGetLastError", "hipGetLastError",
      "musaGetLastError",   "hipSetDevice",     "muCtxPopCurrent_v2",
  };
  if (operation == "memory" || operation == "evict" || operation == "restore" ||
      operation == "dev_reset") {
    allowed.insert({"nvmlInit_v2", "nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetMemoryInfo",
                    "nvmlDeviceGetComputeRunningProcesses_v3", "mtmlLibraryInit",
                    "mtmlLibraryInitDeviceByPciSbdf", "mtmlDeviceInitMemory", "mtmlMemoryGetTotal",
                    "mtmlMemoryGetUsed", "mtmlDeviceFreeMemory", "mtmlLibraryFreeDevice",
                    "cuDevicePrimaryCtxGetState", "muDevicePrimaryCtxGetState"});
  }
  // Without pinned memory a transfer is slower, and its report says why. The streams and events
  // that it copied with are its own, and given back at the second attempt: one that stayed would be
  // found by expect_nothing_left.
  if (operation == "evict" || operation == "restore") {
    for (const std::string vendor : {"cuda", "hip", "musa"}) {
      for (const char* const call : {"HostRegister", "EventDestroy", "StreamDestroy"}) {
        allowed.insert(vendor + call);
      }
    }
    allowed.insert(
        {"cuCtxPushCurrent_v2", "hipGetDevice", "muCtxPushCurrent_v2"});  // on their behalf
  }
  if (operation == "dev_reset") {
    allowed.insert({"cudaDeviceSynchronize", "hipDeviceSynchronize", "musaDeviceSynchronize",
                    "cudaDeviceGetDefaultMemPool", "cudaMemPoolTrimTo", "cudaDeviceGraphMemTrim",
                    "hipDeviceGetDefaultMemPool", "hipMemPoolTrimTo", "musaDeviceGetDefaultMemPool",
                    "musaMemPoolTrimTo", "cuCtxPushCurrent_v2", "cuDevicePrimaryCtxRelease_v2",
                    "hipGetDevice", "muCtxPushCurrent_v2", "muDevicePrimaryCtxRelease_v2",
                    "hipHostUnregister"});
  }
  return allowed;
}

TEST_P(Sweep, EveryCallOfEveryOperation) {
  int calls = 0;
  for (const operation& what : all_operations()) {
    SCOPED_TRACE(what.name);
    std::set<std::string> tolerated;
    std::uint64_t n = 1;
    while (fail_call(what, n, tolerated)) {
      ++n;
      ASSERT_LT(n, 1000u);
      if (HasFatalFailure()) return;
    }
    calls += static_cast<int>(n - 1);
    const std::set<std::string> allowed = may_be_tolerated(what.name);
    for (const std::string& each : tolerated) {
      EXPECT_TRUE(allowed.contains(each)) << each << " failed, and nobody was told";
    }
    EXPECT_THAT(simgpu::world::of(GetParam().which).misuse(), testing::IsEmpty());
  }
  std::printf("%d calls of %zu operations were made to fail\n", calls, all_operations().size());
  EXPECT_GT(calls, 50);
}

/// What lives on a device that is reset nevertheless.
struct lives {
  explicit lives(bench& on) : b(on) {
    regions.push_back(b.arena.allocate(b.which, piece, {.name = "w"}));
    regions.push_back(b.arena.allocate(b.which, piece, {.name = "away"}));
    allocated = b.which.allocate(piece);
    pinned = b.which.pinned_allocate(piece);
    stream = b.which.stream_create();
    event = b.which.event_create();
    EXPECT_EQ(b.here.gpu().graph_create(1, 1_MiB, &graph), simgpu::code::ok);
    b.which.graph_adopt(graph);
    b.which.host_register(b.pages.data(), piece);
  }

  bench& b;
  std::vector<region> regions;
  void* allocated = nullptr;
  void* pinned = nullptr;
  void* graph = nullptr;
  stream_handle stream;
  event_handle event;
};

// A reset that drops may have dropped things before it fails; what it has not is still whole, and
// the next one finds nothing in its way.
TEST_P(Sweep, EveryCallOfAResetThatDrops) {
  int failures = 0;
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    ASSERT_LT(n, 1000u);
    bench b(GetParam());
    const lives all(b);
    const std::uint64_t generation = b.which.generation();
    b.here.gpu().script.fail_nth(n, injected_code);
    std::optional<error> failure;
    reset_report report;
    try {
      report = dev_reset(b.which, {.drop = true});
    } catch (const error& thrown) {
      failure = thrown;
    }
    const std::string failed = b.here.gpu().script.failed_function();
    b.here.gpu().script.fail_nth(0, 0);
    SCOPED_TRACE(failed);
    if (failure) {
      ++failures;
      EXPECT_THAT(failure->what(), testing::HasSubstr(failed));
      // Nobody writes it again, so what is brought back after a discard has no contents.
      EXPECT_NE(all.regions[0].state(), residency::offloaded);
      report = dev_reset(b.which, {.drop = true});
    }
    EXPECT_TRUE(report.was_reset);
    EXPECT_GT(b.which.generation(), generation);
    EXPECT_EQ(error_of([&] { b.which.stream_synchronize(all.stream); }).code(), status::stale);
    EXPECT_EQ(error_of([&] { b.which.deallocate(all.allocated, piece); }).code(), status::stale);
    b.arena.restore();
    for (const region& each : all.regions) EXPECT_EQ(each.state(), residency::unfilled);
    if (failed.empty()) break;
  }
  EXPECT_GT(failures, 3);
}

// A module that is opened on a machine in trouble.
TEST_P(Sweep, OpeningFailsWithAReasonOrNotAtAll) {
  std::string path;
  {
    machine here(GetParam());
    path = here.registry().modules().back().path;
  }
  simgpu::world& gpu = simgpu::world::of(GetParam().which);
  for (std::uint64_t n = 1;; ++n) {
    gpu.restart({});
    gpu.script.fail_nth(n, injected_code);
    registry_options options;
    options.search = false;
    options.module_paths = {path};
    const registry opened(options);
    const std::string failed = gpu.script.failed_function();
    gpu.script.fail_nth(0, 0);
    if (failed.empty()) break;
    const module_info info = opened.modules().back();
    if (info.state != module_state::active) {
      EXPECT_THAT(info.reason, testing::HasSubstr(failed));
    }
    EXPECT_EQ(gpu.take_stock(), simgpu::books{});
    EXPECT_EQ(gpu.contexts_created(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Modules, Sweep, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
