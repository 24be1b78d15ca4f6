// The driver's checkpoint of another process: it holds nothing of the GPU meanwhile, and goes on
// after.

#include <cuda.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "driver.hpp"
#include "gpu_fixture.hpp"

namespace lull::gpu_test {
namespace {

constexpr std::uint64_t held_bytes = 1024 * MiB;

/// Runs in the child only: holds memory until a line comes, then looks at what is in it.
class GpuChild : public Gpu {};
TEST_F(GpuChild, DISABLED_HoldsMemoryUntilItIsToldToLook) {
  void* const address = gpu().allocate(held_bytes);
  gpu().fill(address, std::byte{0x5A}, held_bytes);
  gpu().synchronize();
  std::cout << "holding" << std::endl;
  std::string line;
  ASSERT_TRUE(std::getline(std::cin, line));
  std::vector<std::byte> received(held_bytes);
  gpu().copy_to_host(received.data(), address, held_bytes);
  EXPECT_EQ(received, std::vector<std::byte>(held_bytes, std::byte{0x5A}));
  gpu().deallocate(address, held_bytes);
}

/// This program again, as that child.
class memory_holder {
 public:
  memory_holder() : child_(options()), input_(child_.take_input()), output_(child_.take_output()) {}
  ~memory_holder() {
    ::close(input_);
    ::close(output_);
  }
  memory_holder(const memory_holder&) = delete;
  memory_holder& operator=(const memory_holder&) = delete;

  [[nodiscard]] int id() const { return child_.id(); }

  /// Whether it says so before it ends.
  [[nodiscard]] bool says(const std::string& word) {
    char part[256];
    while (said_.find(word) == std::string::npos) {
      const ssize_t size = ::read(output_, part, sizeof part);
      if (size <= 0) return false;
      said_.append(part, static_cast<std::size_t>(size));
    }
    return true;
  }
  /// Lets it look, and waits for its end.
  [[nodiscard]] bool finds_its_memory() {
    if (::write(input_, "go\n", 3) != 3) return false;
    const bool passed = says("[  PASSED  ] 1 test");
    const auto ended = child_.wait(steady_clock().deadline_in(std::chrono::seconds{20}));
    return passed && ended && ended->success();
  }
  [[nodiscard]] const std::string& said() const noexcept { return said_; }

 private:
  static process_options options() {
    process_options result;
    result.arguments = {"/proc/self/exe", "--gtest_filter=GpuChild.*",
                        "--gtest_also_run_disabled_tests"};
    result.environment = {{"GTEST_OUTPUT", std::nullopt}};
    result.input = child_stream::pipe;
    result.output = child_stream::pipe;
    result.stopping.grace = duration::zero();
    return result;
  }

  process child_;
  int input_;
  int output_;
  std::string said_;
};

#if CUDA_VERSION >= 12080
TEST_F(Gpu, AnotherProcessIsSuspendedToNothingAndGoesOn) {
  const auto restore =
      driver::symbol<CUresult(int, CUcheckpointRestoreArgs*)>("cuCheckpointProcessRestore");
  const auto unlock =
      driver::symbol<CUresult(int, CUcheckpointUnlockArgs*)>("cuCheckpointProcessUnlock");
  if (!gpu().supports(capability::suspend) || restore == nullptr || unlock == nullptr) {
    GTEST_SKIP() << "the driver is older than that of CUDA 12.8";
  }
  memory_holder other;
  ASSERT_TRUE(other.says("holding")) << other.said();
  const memory_info awake = gpu().memory();
  const double out =
      milliseconds([&] { gpu().checkpoint_process(other.id(), std::chrono::seconds{5}); });
  const memory_info asleep = gpu().memory();
  note("suspend_ms", fmt::format("{:.0f}", out));
  note("suspend_freed_bytes", *asleep.free_bytes - *awake.free_bytes);
  EXPECT_GE(*asleep.free_bytes, *awake.free_bytes + held_bytes);

  CUcheckpointRestoreArgs restore_arguments{};
  CUcheckpointUnlockArgs unlock_arguments{};
  CUresult restored = CUDA_ERROR_UNKNOWN;
  const double back = milliseconds([&] { restored = restore(other.id(), &restore_arguments); });
  ASSERT_EQ(restored, CUDA_SUCCESS);
  ASSERT_EQ(unlock(other.id(), &unlock_arguments), CUDA_SUCCESS);
  note("resume_ms", fmt::format("{:.0f}", back));
  EXPECT_TRUE(other.finds_its_memory()) << other.said();
}
#endif

}  // namespace
}  // namespace lull::gpu_test
