// suspend, resume and ps as programs, one after the other, on a simulated GPU whose processes are
// real: what it knows of them stands in files.

#include <lull/bytes.hpp>
#include <lull/process.hpp>

#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/run_shell.hpp"
#include "support/scratch_folder.hpp"

namespace {

using namespace lull::literals;
using lull::test::shell_result;
using testing::HasSubstr;

class SuspendCommands : public testing::Test {
 protected:
  SuspendCommands() {
    lull::process_options options;
    options.arguments = {"sleep", "1000"};
    child.emplace(std::move(options));
    hold(child->id(), 500_MiB);
  }

  void hold(int id, std::uint64_t bytes) const {
    std::ofstream(processes.path() / std::to_string(id)) << "0 0 0 " << bytes << '\n';
  }
  [[nodiscard]] int state_of(int id) const {
    int state = -1;
    std::ifstream(processes.path() / std::to_string(id)) >> state;
    return state;
  }

  /// @param errors what becomes of standard error
  [[nodiscard]] shell_result run(const std::string& arguments, const char* errors = "2>&1",
                                 const std::string& settings = "") const {
    return lull::test::run_shell("LD_LIBRARY_PATH=" LULL_TEST_SIMGPU
                                 ":$LD_LIBRARY_PATH SIMGPU_VENDORS=cuda SIMGPU_PROCESSES=" +
                                 processes.path().string() + " " + settings + " " LULL_CLI " " +
                                 arguments + " --pid-dir " + files.path().string() + " " + errors);
  }
  [[nodiscard]] std::string id() const { return std::to_string(child->id()); }

  lull::test::scratch_folder processes;
  lull::test::scratch_folder files;
  std::optional<lull::process> child;
};

TEST_F(SuspendCommands, AProcessIsSuspendedListedAndResumed) {
  EXPECT_EQ(run("ps").output, "no process is suspended\n");
  const auto [code, output] = run("suspend " + id());
  EXPECT_EQ(code, 0) << output;
  EXPECT_THAT(output, HasSubstr("locked " + id() + " in "));
  EXPECT_THAT(output, HasSubstr("suspended " + id() + ": 500 MiB in "));
  EXPECT_EQ(state_of(child->id()), 2);

  const auto listed = run("ps");
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_THAT(listed.output, HasSubstr("500 MiB"));
  EXPECT_THAT(listed.output, HasSubstr("sleep"));
  const nlohmann::json all = nlohmann::json::parse(run("ps --json").output);
  ASSERT_EQ(all.at("processes").size(), 1u) << all;
  const nlohmann::json& one = all.at("processes")[0];
  EXPECT_EQ(one.at("pid"), child->id());
  EXPECT_EQ(one.at("state"), "suspended");
  EXPECT_EQ(one.at("device_bytes"), 500_MiB);
  EXPECT_EQ(one.at("devices")[0].at("device"), "CUDA1");
  EXPECT_TRUE(one.at("since").is_string());
  EXPECT_TRUE(one.at("by_user").is_string());
  EXPECT_TRUE(one.at("host_bytes").is_number());

  const nlohmann::json back =
      nlohmann::json::parse(run("resume --json " + id(), "2>/dev/null").output);
  EXPECT_EQ(back.at("resumed"), nlohmann::json::array({child->id()}));
  EXPECT_EQ(state_of(child->id()), 0);
  EXPECT_EQ(run("ps").output, "no process is suspended\n");
}

TEST_F(SuspendCommands, WhatIsRefusedIsRefusedWithItsReason) {
  const auto twice = [&](const std::string& what) {
    const auto refused = run(what);
    EXPECT_EQ(refused.exit_code, 1) << what;
    return refused.output;
  };
  EXPECT_THAT(twice("resume " + id()), HasSubstr("is not suspended"));
  EXPECT_THAT(twice("suspend 8388608"), HasSubstr("there is no process 8388608"));
  EXPECT_THAT(twice("suspend " + std::to_string(::getpid())), HasSubstr("does not use a GPU"));
  EXPECT_THAT(twice("suspend " + id() + " --host-margin 1000TiB"), HasSubstr("are missing"));
  EXPECT_EQ(run("suspend " + id()).exit_code, 0);
  EXPECT_THAT(twice("suspend " + id()), HasSubstr("is suspended already"));
  EXPECT_EQ(state_of(child->id()), 2);
}

TEST_F(SuspendCommands, AResumeThatDoesNotFitIsRefusedWithTheArithmetic) {
  ASSERT_EQ(run("suspend " + id()).exit_code, 0);
  const auto [code, output] = run("resume " + id(), "2>&1", "SIMGPU=total=8GiB,foreign=7900MiB");
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("takes 500 MiB on CUDA1, and 256 MiB are to be left there; 292 MiB "
                                "are free: 464 MiB are missing"));
  EXPECT_EQ(state_of(child->id()), 2);
  EXPECT_EQ(run("resume " + id()).exit_code, 0);
}

TEST_F(SuspendCommands, WhatAnotherProgramSuspendedIsResumedByItsSize) {
  std::ofstream(processes.path() / id()) << "2 0 0 " << 500_MiB << '\n';
  // As large as the process is, and no more is known.
  EXPECT_EQ(run("resume " + id() + " --device-bytes 9GiB").exit_code, 1);
  EXPECT_EQ(state_of(child->id()), 2);
  EXPECT_EQ(run("resume " + id()).exit_code, 0);
  EXPECT_EQ(state_of(child->id()), 0);
}

TEST_F(SuspendCommands, OneThatEndedIsListedNoMore) {
  ASSERT_EQ(run("suspend " + id()).exit_code, 0);
  child.reset();
  EXPECT_EQ(run("ps").output, "no process is suspended\n");
}

TEST_F(SuspendCommands, AnObserverAnswersEachLine) {
  const auto [code, output] = lull::test::run_shell(
      "printf 'free\\nfree\\n' | LD_LIBRARY_PATH=" LULL_TEST_SIMGPU
      ":$LD_LIBRARY_PATH SIMGPU_VENDORS=cuda SIMGPU=total=1GiB " LULL_CLI " observe");
  EXPECT_EQ(code, 0);
  EXPECT_EQ(output,
            "CUDA0 1073741824 CUDA1 1073741824\n"
            "CUDA0 1073741824 CUDA1 1073741824\n");
}

}  // namespace
