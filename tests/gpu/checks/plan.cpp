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

/// The same bytes by lull, and by hand on PyTorch where there is one.
void add_sleep(std::vector<check>& checks, int gib, seconds limit) {
  const std::string size = fmt::format("{}GiB", gib);
  checks.push_back({"sleep-" + size,
                    "bench_sleep",
                    {"--device", "CUDA0", "--size", size, "--cycles", "2", "--output", result_path},
                    result_file,
                    limit});
  checks.push_back({"torch-" + size,
                    "python3",
                    {"BUNDLE/torch_sleep.py", "--gib", std::to_string(gib), "--cycles", "2",
                     "--output", result_path},
                    result_file,
                    limit,
                    true});
}

}  // namespace

std::vector<check> plan(bool quick) {
  const std::string demo_size = quick ? "256MiB" : "2GiB";
  std::vector<check> checks{
      {"tests",
       "lull_gpu_tests",
       {"--gtest_output=json:" + result_path},
       result_file,
       seconds{100}},
      reset_probe("reset-probe", {"--cycles", "5"}),
      reset_probe("reset-probe-gemm", {"--cycles", "2", "--gemm"}),
      {"demo",
       "lull",
       {"demo", "--device", "CUDA0", "--size", demo_size, "--output", "SCRATCH"},
       "demo.json",
       seconds{100}},
  };
  if (const auto folder = cublas_folder(usual_roots())) {
    for (check& each : checks) {
      if (each.name == "reset-probe-gemm") each.library_folder = folder->string();
    }
  }
  if (quick) {
    checks.push_back(
        {"sleep-1GiB",
         "bench_sleep",
         {"--device", "CUDA0", "--size", "1GiB", "--cycles", "2", "--output", result_path},
         result_file,
         seconds{60}});
    return checks;
  }
  add_sleep(checks, 8, seconds{60});
  checks.push_back({"reset",
                    "bench_reset",
                    {"--benchmark_out=" + result_path, "--case-seconds=4"},
                    result_file,
                    seconds{60}});
  add_sleep(checks, 32, seconds{110});
  return checks;
}

check start_check(const std::string& program) {
  return {"start-" + program, program, {"--help"}, "", seconds{20}};
}

check devices_check() {
  return {"devices", "lull", {"devices", "--json"}, "-", seconds{60}};
}

}  // namespace gpu_checks
