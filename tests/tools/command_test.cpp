// The command line as a process: what it prints and how it ends.

#include <lull/version.h>

#include <sys/wait.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/run_shell.hpp"

namespace {

using testing::HasSubstr;

lull::test::shell_result run_lull(const std::string& arguments) {
  return lull::test::run_shell(std::string(LULL_CLI) + " " + arguments + " 2>&1");
}

TEST(Command, SaysItsVersion) {
  const auto [code, output] = run_lull("--version");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(output, HasSubstr(lull_version_string()));
}

TEST(Command, WrongUsageIsExitCodeTwo) {
  for (const char* arguments : {"",
                                "nonsense",
                                "devices --what",
                                "demo --size lots",
                                "demo --levels deep",
                                "demo --clients 0",
                                "settle --max-wait lots",
                                "settle --max-wait 2h",
                                "settle --max-wait 99999m",
                                "run",
                                "run ls",
                                "run --",
                                "run --stop-timeout nan -- true",
                                "top --interval 1ms",
                                "orphans 1",
                                "orphans --stop-timeout -1s",
                                "suspend",
                                "suspend 1",
                                "suspend 7 --timeout 0",
                                "suspend 7 --host-margin lots",
                                "resume",
                                "resume nobody",
                                "resume 7 --device-bytes -1",
                                "ps 7"}) {
    const auto [code, output] = run_lull(arguments);
    EXPECT_EQ(code, 2) << arguments << ": " << output;
    EXPECT_THAT(output, testing::Not(testing::IsEmpty())) << arguments;
  }
}

TEST(Command, ACommandThatThereIsNotIsNamed) {
  const auto [code, output] = run_lull("nosuch --json");
  EXPECT_EQ(code, 2);
  EXPECT_THAT(output, HasSubstr("no command 'nosuch'"));
  EXPECT_THAT(output, HasSubstr("devices, "));
}

TEST(Command, NumbersThatAreNoneAreWrongUsage) {
  for (const char* arguments :
       {"demo --clients nan", "demo --clients -1", "demo --clients 4294967297", "demo --size nan",
        "demo --size -1", "demo --size inf", "demo --size 1e30", "settle --max-wait nan",
        "settle --max-wait inf", "settle --max-wait -1", "settle --max-wait 1e9",
        "reset-probe --cycles nan", "reset-probe --cycles -1", "reset-probe --cycles 99999999999",
        "top --interval nan", "top --interval -1s"}) {
    const auto [code, output] = run_lull(arguments);
    EXPECT_EQ(code, 2) << arguments << ": " << output;
  }
}

TEST(Command, ARunEndsAlsoWhenNobodyReadsItsErrors) {
  // The pipe is full before the tool has anything to say, and its reader does not read.
  const auto [code, output] =
      lull::test::run_shell("{ ( head -c 65536 /dev/zero; " + std::string(LULL_CLI) +
                            " run -- /nonexistent/command 2>&1; echo $? >&3 ) | sleep 1; } 3>&1");
  EXPECT_EQ(output, "127\n");
}

TEST(Command, OutputThatCannotBeWrittenIsAFailure) {
  for (const char* const arguments : {"devices", "devices --json", "--help", "--version"}) {
    const auto [code, output] =
        lull::test::run_shell(std::string(LULL_CLI) + " " + arguments + " 2>&1 >/dev/full");
    EXPECT_EQ(code, 1) << arguments;
    EXPECT_THAT(output, HasSubstr("the output could not be written"));
  }
}

TEST(Command, WhatIsNotUtf8IsShownAsFarAsItCanBe) {
  const auto [code, output] = lull::test::run_shell(
      "LULL_BACKEND_PATH=$(printf '/nowhere/\\377\\033[2J') " LULL_CLI " devices --json");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(nlohmann::json::parse(output).dump(), HasSubstr("/nowhere/"));
}

TEST(Command, EveryCommandHasHelp) {
  for (const char* arguments :
       {"--help", "devices --help", "demo --help", "orphans --help", "observe --help", "ps --help",
        "resume --help", "run --help", "settle --help", "suspend --help", "top --help"}) {
    const auto [code, output] = run_lull(arguments);
    EXPECT_EQ(code, 0) << arguments;
    EXPECT_THAT(output, HasSubstr("Usage")) << arguments;
  }
}

TEST(Command, DevicesAsATable) {
  const auto [code, output] = run_lull("devices");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(output, HasSubstr("HOST"));
  EXPECT_THAT(output, HasSubstr("stable_addresses"));
}

TEST(Command, DevicesAsJson) {
  const auto [code, output] = run_lull("devices --json");
  EXPECT_EQ(code, 0);
  const auto all = nlohmann::json::parse(output);
  const auto& host = all.at("devices").at(0);
  EXPECT_EQ(host.at("name"), "HOST");
  EXPECT_GT(host.at("memory").at("total_bytes").get<std::uint64_t>(), 0u);
  EXPECT_EQ(host.at("memory").at("used_by_process_bytes"), 0);
  EXPECT_TRUE(host.at("pci_address").is_null());
  EXPECT_EQ(all.at("modules").at(0).at("state"), "active");
}

TEST(Command, AModuleThatCannotBeUsedIsShownWithItsReason) {
  ::setenv("LULL_BACKEND_PATH", "/nonexistent/liblull-backend-none.so", 1);
  const auto [code, output] = run_lull("devices");
  ::unsetenv("LULL_BACKEND_PATH");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(output, HasSubstr("liblull-backend-none.so (refused): No such file"));
}

TEST(Command, ADemoThatCannotRunSaysWhy) {
  const auto [code, output] = run_lull("demo --device CUDA7 --size 1MiB");
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("there is no device 'CUDA7'"));
  const auto missing = run_lull("demo --server /nonexistent --size 1MiB");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.output, HasSubstr("/nonexistent"));
}

}  // namespace
