#include "plan.hpp"

#include <fmt/format.h>

#include "libraries.hpp"

namespace gpu_checks {
namespace {

const std::string result_file = "result.json";
const std::string result_path = "SCRATCH/" + result_file;

check reset_probe(const std::string& name, std::vector<std::string> more) {
  std::vector<std::string> arguments{"reset-probe", "--device", "CUDA0", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return {name, "lull", std::move(arguments), "-", seconds{60}};
}

constexpr double gib = 1073741824;

/// Sleeping and waking with so much; a swap has it twice on the device.
check sleep(int size_gib, seconds limit, double free_bytes) {
  check result{fmt::format("sleep-{}GiB", size_gib),
               "bench_sleep",
               {"--device", "CUDA0", "--size", fmt::format("{}GiB", size_gib), "--cycles", "2",
                "--directory", "SCRATCH", "--output", result_path},
               result_file,
               limit};
  const double needed_gib = 2 * size_gib + 1;
  if (free_bytes < needed_gib * gib) {
    result.unfit =
        fmt::format("it needs {} GiB of the device, {:.1f} are free", needed_gib, free_bytes / gib);
  }
  return result;
}

/// The same bytes on PyTorch, where there is one: by hand, and over lull.
check torch(int size_gib, seconds limit, double free_bytes) {
  check result{fmt::format("torch-{}GiB", size_gib),
               "python3",
               {"BUNDLE/torch_sleep.py", "--gib", std::to_string(size_gib), "--cycles", "2",
                "--output", result_path},
               result_file,
               limit,
               true};
  if (free_bytes < (size_gib + 1) * gib) result.unfit = "the device has too little memory free";
  return result;
}

check with_cublas(check what) {
  if (const auto folder = cublas_folder(usual_roots())) what.library_folder = folder->string();
  return what;
}

}  // namespace

std::vector<check> plan(bool quick, double free_bytes) {
  const std::string demo_size = quick ? "256MiB" : "2GiB";
  std::vector<check> checks{
      {"tests",
       "lull_gpu_tests",
       {"--gtest_output=json:" + result_path},
       result_file,
       seconds{100}},
      reset_probe("reset-probe", {"--cycles", "5"}),
      with_cublas(reset_probe("reset-probe-gemm", {"--cycles", "2", "--gemm"})),
      {"demo",
       "lull",
       {"demo", "--device", "CUDA0", "--size", demo_size, "--output", "SCRATCH"},
       "demo.json",
       seconds{120}},
  };
  if (quick) {
    checks.push_back(sleep(1, seconds{60}, free_bytes));
    return checks;
  }
  checks.push_back(sleep(8, seconds{80}, free_bytes));
  checks.push_back(torch(8, seconds{90}, free_bytes));
  checks.push_back({"reset",
                    "bench_reset",
                    {"--benchmark_out=" + result_path, "--case-seconds=3"},
                    result_file,
                    seconds{50}});
  checks.push_back(sleep(32, seconds{170}, free_bytes));
  checks.push_back(torch(32, seconds{130}, free_bytes));
  return checks;
}

check start_check(const std::string& program) {
  return {"start-" + program, program, {"--help"}, "", seconds{20}};
}

check devices_check() {
  return {"devices", "lull", {"devices", "--json"}, "-", seconds{60}};
}

}  // namespace gpu_checks
