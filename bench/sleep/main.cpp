// Sleeping and waking with gigabytes on a device, each case beside the limit of the machine: a copy
// of the same bytes from and to memory that is pinned already, taken just before it, in several
// rounds of all cases; medians. bench/torch_sleep.py does by hand what engines on PyTorch do. On
// the simulated GPU (SIMGPU="slowdown=N,scale=M", with --scale M) it shows the pipeline, not a
// machine.

#include <lull/lull.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cases.hpp"
#include "results.hpp"

namespace {

sleep_bench::arguments parse(int argc, char** argv) {
  sleep_bench::arguments given;
  CLI::App app("Times sleeping and waking with gigabytes on a device.");
  app.add_option("--device", given.device, "CUDA0 (default: the first GPU, else HOST)");
  app.add_option("--size", given.size, "of the weights")->capture_default_str();
  app.add_option("--cycles", given.cycles, "rounds of all cases")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  app.add_option("--threads", given.threads, "that populate, pin and stage (0: the default)")
      ->capture_default_str();
  app.add_option(
         "--scale", given.scale,
         "for the simulated GPU: each byte stands for so many; regions, slices and chunks are "
         "smaller by it")
      ->capture_default_str()
      ->check(CLI::IsMember({1, 2, 4, 8, 16, 32}));
  app.add_option("--directory", given.directory, "where the model's file goes")
      ->capture_default_str();
  app.add_option("--output", given.output, "JSON file for the figures");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    std::exit(app.exit(failure) == 0 ? 0 : 2);
  }
  return given;
}

lull::device choose(const lull::registry& all, const std::string& named) {
  if (!named.empty()) return all.find(named);
  for (const lull::device& each : all.devices()) {
    if (each.type() == lull::device_type::gpu) return each;
  }
  return all.find("HOST");
}

}  // namespace

int main(int argc, char** argv) {
  const sleep_bench::arguments given = parse(argc, argv);
  try {
    const lull::registry all;
    const nlohmann::json result = sleep_bench::run_cases(choose(all, given.device), given);
    if (!given.output.empty()) {
      std::ofstream file(given.output);
      file << result.dump(2) << '\n' << std::flush;
      if (!file) throw std::runtime_error("cannot write '" + given.output + "'");
    }
    sleep_bench::print_table(result);
    return 0;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "bench_sleep: {}\n", failure.what());
    return 1;
  }
}
