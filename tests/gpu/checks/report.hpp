#ifndef LULL_TESTS_GPU_CHECKS_REPORT_HPP
#define LULL_TESTS_GPU_CHECKS_REPORT_HPP

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"

namespace gpu_checks {

/// Whether there is a GPU to check, as far as our own program has found out.
struct gpu_verdict {
  enum class answer : std::uint8_t {
    present,
    absent,   ///< our program ran, its module was loaded, and there is none
    unknown,  ///< it did not run, or what it says cannot be right
  };
  answer is = answer::unknown;
  std::string reason = {};  ///< where it is not present
};

/// Judges what `lull devices --json` said.
/// @param kernel_has_gpu what the kernel shows: then "none" cannot be right
gpu_verdict judge_gpu(const check_result& devices, bool kernel_has_gpu);

/// What the first CUDA device has free; 0 where it does not say.
double free_bytes(const check_result& devices);

/// Whether the kernel's NVIDIA driver is there and shows a GPU.
bool kernel_has_gpu(const std::filesystem::path& root = "/");

/// Everything that is known so far.
struct report {
  json bundle;  ///< what the bundle says of itself
  std::string verdict = "unfinished";
  gpu_verdict gpu;
  std::vector<check_result> checks;
};

json to_json(const report& of);

/// Replaces the file as a whole, then reads it again.
/// @throws std::runtime_error it cannot be written, or is not read as what was written
void write_json(const std::filesystem::path& file, const json& what);

/// What a person sees of one check: a line, and the end of its output where it failed.
std::string to_text(const check_result& of);

}  // namespace gpu_checks

#endif  // LULL_TESTS_GPU_CHECKS_REPORT_HPP
