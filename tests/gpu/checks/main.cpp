// Runs every check of the bundle that it lies in on this machine's GPU.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "claims.hpp"
#include "plan.hpp"
#include "report.hpp"
#include "runner.hpp"

namespace {

namespace fs = std::filesystem;
using namespace gpu_checks;

enum exit_code : int { exit_passed = 0, exit_failed = 1, exit_usage = 2, exit_no_gpu = 77 };

struct arguments {
  std::string output = ".";
  bool quick = false;
  std::vector<std::string> only;
};

/// The folder of this program, also where there is no /proc.
fs::path own_folder(const char* called) {
  std::error_code failed;
  fs::path self = fs::read_symlink("/proc/self/exe", failed);
  if (failed) self = fs::absolute(called);
  return self.parent_path();
}

json read_manifest(const fs::path& bundle) {
  std::ifstream from(bundle / "bundle.json");
  json manifest = json::parse(from, nullptr, false);
  if (manifest.is_discarded() || !manifest.contains("programs")) {
    throw std::runtime_error(
        fmt::format("'{}' is no bundle: its bundle.json cannot be read", bundle.string()));
  }
  return manifest;
}

/// The checks of one run, in order, written down after each.
class session {
 public:
  session(const fs::path& bundle, const arguments& given)
      : bundle_(bundle), given_(given), output_(fs::absolute(given.output)) {
    report_.bundle = read_manifest(bundle);
    fs::create_directories(output_);
    std::set<std::string> programs = report_.bundle.at("programs");
    runner_ = std::make_unique<runner>(runner::options{
        bundle, output_ / "gpu-checks", std::move(programs), {{"LULL_REQUIRE_GPU", "1"}}});
  }

  exit_code run() {
    choose_runtime();
    for (const std::string name : report_.bundle.at("programs")) record(start_check(name));
    const check_result devices = record(devices_check());
    report_.gpu = judge_gpu(devices, kernel_has_gpu());
    if (report_.gpu.is == gpu_verdict::answer::present) {
      for (const check& each : plan(given_.quick, free_bytes(devices))) {
        if (wanted(each.name)) record(each);
      }
    }
    return conclude();
  }

 private:
  [[nodiscard]] bool wanted(const std::string& name) const {
    return given_.only.empty() ||
           std::find(given_.only.begin(), given_.only.end(), name) != given_.only.end();
  }

  /// The machine's C++ runtime where that is new enough, else the bundle's.
  void choose_runtime() {
    const check first = start_check("lull");
    if (runner_->run(first).state == check_state::passed) return;
    const fs::path fallback = bundle_ / "fallback";
    runner trial = *runner_;
    trial.add_library_folder(fallback);
    if (trial.run(first).state != check_state::passed) return;
    runner_->add_library_folder(fallback);
    report_.bundle["runtime"] = "fallback";
  }

  const check_result& record(const check& what) {
    report_.checks.push_back(runner_->run(what));
    const check_result& done = report_.checks.back();
    fmt::print("{}", to_text(done));
    std::fflush(stdout);
    write();
    return done;
  }

  void write() const { write_json(output_ / "gpu-checks.json", to_json(report_)); }

  exit_code conclude() {
    const bool failed =
        std::any_of(report_.checks.begin(), report_.checks.end(), [](const check_result& each) {
          return each.state == check_state::failed || each.state == check_state::not_run;
        });
    exit_code code = exit_passed;
    report_.verdict = "passed";
    if (failed || report_.gpu.is == gpu_verdict::answer::unknown) {
      code = exit_failed;
      report_.verdict = "failed";
    } else if (report_.gpu.is == gpu_verdict::answer::absent) {
      code = exit_no_gpu;
      report_.verdict = "no GPU";
    }
    write();
    const auto rows = claims_of(report_.checks);
    if (!rows.empty()) fmt::print("\n{}", to_table(rows));
    fmt::print("\n{}{}{}; results: {}\n", report_.verdict, report_.gpu.reason.empty() ? "" : ": ",
               report_.gpu.reason, (output_ / "gpu-checks.json").string());
    return code;
  }

  fs::path bundle_;
  arguments given_;
  fs::path output_;
  report report_;
  std::unique_ptr<runner> runner_;
};

/// @throws CLI::ValidationError a check that there is not
void refuse_unknown(const arguments& given) {
  const std::vector<check> all = plan(given.quick, 0);
  for (const std::string& name : given.only) {
    const auto is = [&](const check& each) { return each.name == name; };
    if (std::any_of(all.begin(), all.end(), is)) continue;
    std::string names;
    for (const check& each : all) names += ' ' + each.name;
    throw CLI::ValidationError("--only", fmt::format("there is no {}; there is:{}", name, names));
  }
}

void on_signal(int) {
  stop_running();
}

}  // namespace

int main(int argc, char** argv) {
  arguments given;
  CLI::App app(
      "Runs every check of this bundle on this machine's GPU, in under nine minutes.\n"
      "Needs a driver, and nothing that is installed.");
  app.add_option("--output", given.output,
                 "Folder for gpu-checks.json and the logs in gpu-checks/ [here]");
  app.add_flag("--quick", given.quick, "Smaller sizes, no comparisons");
  app.add_option("--only", given.only, "Names of checks, separated by commas")->delimiter(',');
  app.footer(
      "Exit status: 0 all passed (what a program of this machine is missing for is skipped);\n"
      "1 something failed or could not start; 2 wrong usage; 77 there is no GPU here.\n"
      "Aims that are missed are in the table and change nothing of that.");
  try {
    app.parse(argc, argv);
    refuse_unknown(given);
  } catch (const CLI::ParseError& mistake) {
    return app.exit(mistake) == 0 ? exit_passed : exit_usage;
  }
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  try {
    return session(own_folder(argv[0]), given).run();
  } catch (const std::exception& failure) {
    fmt::print(stderr, "run-gpu-checks: {}\n", failure.what());
    return exit_failed;
  }
}
