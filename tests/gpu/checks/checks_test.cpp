// What judges lull on a GPU, judged without one.

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "claims.hpp"
#include "libraries.hpp"
#include "plan.hpp"
#include "report.hpp"
#include "runner.hpp"
#include "support/scratch_folder.hpp"

namespace gpu_checks {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

/// Whether it does so soon: it has had its signal. What nobody reaps here has ended too.
bool ends(pid_t process) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (std::chrono::steady_clock::now() < deadline) {
    std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    if (!std::getline(stat, text) || text.find(") Z") != std::string::npos) return true;
    std::this_thread::sleep_for(2ms);
  }
  return false;
}

/// A bundle whose programs are shell scripts.
class Checks : public testing::Test {
 protected:
  void program(const std::string& name, const std::string& script) {
    const fs::path file = bundle_.path() / name;
    std::ofstream(file) << "#!/bin/sh\n" << script << '\n';
    fs::permissions(file, fs::perms::owner_all);
    programs_.insert(name);
  }

  check_result run(const check& what, seconds limit = 60s) {
    runner here({bundle_.path(), bundle_.path() / "logs", programs_, {{"SET", "yes"}}, limit});
    return here.run(what);
  }

  lull::test::scratch_folder bundle_;
  std::set<std::string> programs_;
};

TEST_F(Checks, AProgramThatPassesLeavesItsResult) {
  program("good", R"(echo "{\"set\": \"$SET\"}" >"$1")");
  const check_result done = run({"it", "good", {"SCRATCH/result.json"}, "result.json"});
  EXPECT_EQ(done.state, check_state::passed) << done.reason;
  EXPECT_EQ(done.result.at("set"), "yes");
}

TEST_F(Checks, StandardOutputCanBeTheResultAndErrorsStayInTheLog) {
  program("good", "echo '[1]'; echo careful >&2");
  const check_result done = run({"it", "good", {}, "-"});
  EXPECT_EQ(done.state, check_state::passed) << done.reason;
  EXPECT_EQ(done.result, json::array({1}));
  EXPECT_THAT(last_lines(bundle_.path() / "logs/it.log", 9), Contains("careful"));
}

TEST_F(Checks, AProgramThatHangsIsKilledWithItsChildrenAndItsHalfResultIsNone) {
  program("hangs", R"(
echo '{"half":' >"$1"
echo working
sleep 600 & echo $! >"$2"
sleep 600)");
  const fs::path pid_file = bundle_.path() / "pid";
  const check_result done =
      run({"it", "hangs", {"SCRATCH/r", pid_file.string()}, "r", seconds{0.3}});
  EXPECT_EQ(done.state, check_state::failed);
  EXPECT_EQ(done.reason, "killed after its limit of 0.3 s");
  EXPECT_THAT(done.last_lines, Contains("working"));
  EXPECT_TRUE(done.result.is_null());
  EXPECT_DOUBLE_EQ(done.what.limit.count(), 0.3);
  pid_t child = 0;
  std::ifstream(pid_file) >> child;
  ASSERT_GT(child, 0);
  EXPECT_TRUE(ends(child));
}

TEST_F(Checks, AResultThatIsNoJsonFailsACheckThatWentWell) {
  program("careless", R"(echo '{"seconds": nan}' >"$1")");
  const check_result done = run({"it", "careless", {"SCRATCH/r"}, "r"});
  EXPECT_EQ(done.state, check_state::failed);
  EXPECT_EQ(done.reason, "its result is no JSON");
  program("forgetful", "exit 0");
  EXPECT_EQ(run({"it", "forgetful", {}, "r"}).reason, "it left no result");
}

TEST_F(Checks, ASkipSaysWhy) {
  program("skips", "echo there is no PyTorch here; exit 77");
  const check_result done = run({"it", "skips"});
  EXPECT_EQ(done.state, check_state::skipped);
  EXPECT_EQ(done.reason, "there is no PyTorch here");
}

TEST_F(Checks, AProgramOfTheMachineMayBeMissingOneOfTheBundleMayNot) {
  const check foreign{"it", "no-such-program-anywhere", {}, {}, 1s, true};
  EXPECT_EQ(run(foreign).state, check_state::skipped);
  programs_.insert("lost");
  const check_result lost = run({"it", "lost"});
  EXPECT_EQ(lost.state, check_state::failed);
  EXPECT_EQ(lost.reason, "did not start: No such file or directory");
  EXPECT_EQ(run({"it", "never-built"}).state, check_state::not_built);
}

TEST_F(Checks, ALibraryFolderComesBeforeThoseThatAreThere) {
  program("shows", R"(printf '"%s"' "$LD_LIBRARY_PATH")");
  runner here({bundle_.path(), bundle_.path() / "logs", programs_});
  here.add_library_folder("/fallback");
  check what{"it", "shows", {}, "-"};
  what.library_folder = "/blas";
  EXPECT_THAT(here.run(what).result.get<std::string>(), StartsWith("/blas:/fallback"));
}

TEST(Cublas, IsFoundInAToolkitAndInAPythonEnvironment) {
  const lull::test::scratch_folder root;
  EXPECT_EQ(cublas_folder({root.path()}), std::nullopt);
  const fs::path python = root.path() / "venv/lib/python3.12/site-packages/nvidia/cu13/lib";
  fs::create_directories(python);
  std::ofstream(python / "libcublas.so.13");
  EXPECT_EQ(cublas_folder({root.path(), root.path() / "venv"}), python);
  const fs::path toolkit = root.path() / "cuda-12.4/lib64";
  fs::create_directories(toolkit);
  std::ofstream(toolkit / "libcublas.so.12");
  EXPECT_EQ(cublas_folder({root.path(), root.path() / "venv"}), toolkit);
}

TEST_F(Checks, WhatIsTooLargeForTheDeviceIsSkipped) {
  programs_ = {"bench_sleep", "lull", "lull_gpu_tests", "bench_reset"};
  for (const check& each : plan(false, 24.0 * (1ull << 30))) {
    EXPECT_EQ(each.unfit.empty(), each.name.find("32GiB") == std::string::npos) << each.name;
    if (each.unfit.empty()) continue;
    EXPECT_EQ(run(each).state, check_state::skipped);
  }
}

TEST_F(Checks, AFailureAndASignalAreToldApart) {
  program("fails", "echo why >&2; exit 3");
  const check_result failed = run({"it", "fails"});
  EXPECT_EQ(failed.reason, "exited with code 3");
  EXPECT_THAT(failed.last_lines, Contains("why"));
  program("dies", "kill -SEGV $$");
  EXPECT_THAT(run({"it", "dies"}).reason, HasSubstr("killed by signal 11"));
}

TEST_F(Checks, WithNoTimeLeftACheckFailsUnstarted) {
  program("good", "touch \"$1\"");
  const fs::path mark = bundle_.path() / "ran";
  const check_result done = run({"it", "good", {mark.string()}}, 0s);
  EXPECT_EQ(done.state, check_state::failed);
  EXPECT_EQ(done.reason, "no time was left for it");
  EXPECT_FALSE(fs::exists(mark));
}

TEST_F(Checks, WhatIsNoTextIsStillWrittenAsJson) {
  program("raw", R"(printf 'bad \377 byte\n'; exit 1)");
  report all;
  all.checks.push_back(run({"it", "raw"}));
  const fs::path file = bundle_.path() / "report.json";
  write_json(file, to_json(all));
  write_json(file, to_json(all));  // replaces it
  std::ifstream from(file);
  const json read = json::parse(from);
  EXPECT_EQ(read.at("checks").at(0).at("state"), "failed");
  EXPECT_EQ(read.at("verdict"), "unfinished");
  EXPECT_FALSE(fs::exists(bundle_.path() / "report.json.new"));
}

TEST_F(Checks, AReportThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(write_json(bundle_.path() / "no/folder/report.json", json::object()),
               std::runtime_error);
}

// Whether there is a GPU
// ---------------------------------------------------------------------------

check_result devices_said(const json& what) {
  check_result result{devices_check(), check_state::passed};
  result.result = what;
  return result;
}

json listed(const std::string& state) {
  return {{"devices", {{{"name", "HOST"}, {"backend", "host"}}}},
          {"modules", {{{"backend", "cuda"}, {"state", state}, {"reason", "no driver"}}}}};
}

TEST(Gpu, IsAbsentOnlyWhenOurModuleHasLooked) {
  using answer = gpu_verdict::answer;
  const gpu_verdict absent = judge_gpu(devices_said(listed("unusable")), false);
  EXPECT_EQ(absent.is, answer::absent);
  EXPECT_EQ(absent.reason, "no driver");
  EXPECT_EQ(judge_gpu(devices_said(listed("unusable")), true).is, answer::unknown)
      << "the kernel has one";
  EXPECT_EQ(judge_gpu(devices_said(listed("rejected")), false).is, answer::unknown);
  EXPECT_EQ(
      judge_gpu(devices_said({{"devices", json::array()}, {"modules", json::array()}}), false).is,
      answer::unknown);
  check_result not_started = devices_said(nullptr);
  not_started.state = check_state::failed;
  EXPECT_EQ(judge_gpu(not_started, false).is, answer::unknown);
  json with_gpu = listed("active");
  with_gpu["devices"].push_back({{"name", "CUDA0"}, {"backend", "cuda"}});
  EXPECT_EQ(judge_gpu(devices_said(with_gpu), true).is, answer::present);
}

TEST(Gpu, OfTheKernelIsSeenInItsFiles) {
  const lull::test::scratch_folder root;
  EXPECT_FALSE(kernel_has_gpu(root.path()));
  fs::create_directories(root.path() / "dev");
  std::ofstream(root.path() / "dev/nvidiactl");
  EXPECT_FALSE(kernel_has_gpu(root.path())) << "a driver without a GPU";
  std::ofstream(root.path() / "dev/nvidia0");
  EXPECT_TRUE(kernel_has_gpu(root.path()));
}

// The table
// ----------------------------------------------------------------------------------------

check_result passed(const std::string& name, const json& result) {
  check_result done{{name, name}, check_state::passed};
  done.result = result;
  return done;
}

TEST(Claims, OfAProgramAreTakenAsItWroteThem) {
  const auto rows = claims_of({passed(
      "anything", {{"claims",
                    {{{"claim", "wake"},
                      {"measured", 0.97},
                      {"unit", "of the link"},
                      {"target", 0.95},
                      {"better", "more"}},
                     {{"claim", "looks"}, {"measured", 3}, {"target", 1}, {"better", "less"}},
                     {{"claim", "swap"}, {"measured", nullptr}, {"target", 1.75}}}}})});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].measured, "0.97 of the link");
  EXPECT_EQ(rows[0].target, "at least 0.95 of the link");
  EXPECT_EQ(rows[0].met, true);
  EXPECT_EQ(rows[1].met, false);
  EXPECT_EQ(rows[2].measured, "not measured");
  EXPECT_EQ(rows[2].met, std::nullopt);
}

TEST(Claims, OfSleepAreSharesOfThePinnedCopy) {
  const auto cycle = [](double sleep, double wake) {
    return json{{"sleep_s", sleep}, {"wake_s", wake}, {"left_bytes", 0}};
  };
  const auto sleep_case = [](const char* name, const json& share, const json& target) {
    return json{{"case", name}, {"share_of_link", share}, {"gb_per_s", 25}, {"target", target}};
  };
  const json sleep{{"bytes", 8ull << 30},
                   {"cases",
                    {sleep_case("sleep, first", 0.5, 0.45), sleep_case("wake, warm", 0.9, 0.95),
                     sleep_case("load", nullptr, nullptr)}},
                   {"levels", {{"offload", {cycle(1.0, 0.5), cycle(0.5, 0.4)}}}}};
  const auto rows = claims_of({passed("sleep-8GiB", sleep)});
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].text, "sleep, first, 8 GiB");
  EXPECT_EQ(rows[0].measured, "0.5 of the pinned copy (25.0 GB/s)");
  EXPECT_EQ(rows[0].met, true);
  EXPECT_EQ(rows[1].met, false);
  EXPECT_EQ(rows[2].met, std::nullopt) << "it has no target";
  EXPECT_EQ(rows[3].measured, "0 bytes") << "left on the device";
  EXPECT_THAT(to_table(rows), HasSubstr("at least 0.95 of the pinned copy  NOT MET"));
}

TEST(Claims, OfTheDemoSayForEachLevelWhatItLeaves) {
  const auto level = [](const char* name, double asleep_bytes) {
    return json{{"level", name},
                {"cycles",
                 {{{"cause", "idle time"},
                   {"asleep_bytes", asleep_bytes},
                   {"to_wake_seconds", 0.5},
                   {"answers_equal", true},
                   {"wakes_by_observing", 0},
                   {"wakes", 1}}}}};
  };
  const double mib = 1 << 20;
  const auto rows = claims_of({passed(
      "demo",
      {{"levels",
        {level("offload", 518 * mib), level("suspend", 3 * mib), level("reset", 17 * mib)}}})});
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_EQ(rows[0].text, "demo, offload, asleep by idle time: same answers, one wake");
  EXPECT_EQ(rows[0].met, true);
  EXPECT_EQ(rows[1].measured, "518 MiB");
  EXPECT_EQ(rows[1].met, std::nullopt) << "its context stays";
  EXPECT_EQ(rows[3].text, "demo, suspend, asleep by idle time: left on the device");
  EXPECT_EQ(rows[3].measured, "3 MiB");
  EXPECT_EQ(rows[3].met, true);
  EXPECT_EQ(rows[5].met, false);
}

TEST(Claims, OfTestsThatWereSkippedAreNotMet) {
  const json tests{
      {"testsuites",
       {{{"testsuite",
          {{{"name", "AResetLeavesNothing"}, {"result", "COMPLETED"}, {"residue_bytes", "0"}},
           {{"name", "TenCyclesDoNotDrift"}, {"result", "SKIPPED"}}}}}}}};
  const auto rows = claims_of({passed("tests", tests)});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].measured, "1 of 2");
  EXPECT_EQ(rows[0].met, false);
  EXPECT_EQ(rows[1].measured, "0 bytes");
  EXPECT_EQ(rows[1].met, true);
}

TEST(Claims, OfACheckThatDidNotRunSayWhy) {
  check_result lost{
      {"suspend", "bench_suspend"}, check_state::not_built, "this bundle has no bench_suspend"};
  const auto rows = claims_of({lost, passed("tests", {{"testsuites", 7}})});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].measured, "not measured: this bundle has no bench_suspend");
  EXPECT_THAT(rows[1].measured, HasSubstr("not understood"));
}

}  // namespace
}  // namespace gpu_checks
