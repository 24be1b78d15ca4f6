#ifndef LULL_TESTS_GPU_GPU_FIXTURE_HPP
#define LULL_TESTS_GPU_GPU_FIXTURE_HPP

#include <lull/lull.hpp>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace lull::gpu_test {

inline constexpr std::uint64_t MiB = std::uint64_t{1} << 20;

/// Runs a test on the first CUDA device, and says what is missing where there is none (which is a
/// failure if LULL_REQUIRE_GPU is set). Figures that a test takes are written into the results as
/// properties.
class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    for (const device& each : registry_.devices()) {
      if (each.backend() == "cuda" && !device_) device_ = each;
    }
    if (device_) return;
    std::string why = "there is no CUDA module";
    for (const module_info& each : registry_.modules()) {
      if (each.backend == "cuda") why = each.reason;
    }
    // Where somebody has seen one, its absence is no reason to skip.
    if (std::getenv("LULL_REQUIRE_GPU") != nullptr) FAIL() << why;
    GTEST_SKIP() << why;
  }

  void TearDown() override {
    if (!device_) return;
    try {
      dev_reset(*device_, {.drop = true});
    } catch (const error& failure) {
      ADD_FAILURE() << failure.what();
    }
  }

  [[nodiscard]] const device& gpu() const { return *device_; }

  static void note(const std::string& name, const std::string& value) {
    RecordProperty(name, value);
    fmt::print("  {}: {}\n", name, value);
  }
  static void note(const std::string& name, const std::optional<std::uint64_t>& bytes) {
    note(name, bytes ? std::to_string(*bytes) : "unknown");
  }
  template <class Work>
  static double milliseconds(Work&& work) {
    const auto begun = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
        .count();
  }

 private:
  registry registry_;
  std::optional<device> device_;
};

}  // namespace lull::gpu_test

#endif  // LULL_TESTS_GPU_GPU_FIXTURE_HPP
