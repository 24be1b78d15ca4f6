// settle, run and top as processes, on what every machine has.

#include <lull/process.hpp>

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/eventually.hpp"
#include "support/run_shell.hpp"
#include "support/scratch_folder.hpp"

namespace {

using lull::test::run_shell;
using lull::test::shell_result;
using testing::HasSubstr;
using testing::Not;

shell_result run(const std::string& arguments) {
  return run_shell(std::string(LULL_CLI) + " " + arguments + " 2>&1");
}

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++found;
  return found;
}

/// A tool that is running, and what it prints.
class running_tool {
 public:
  explicit running_tool(std::vector<std::string> arguments)
      : process_(options(std::move(arguments))), output_(process_.take_output()) {}
  ~running_tool() { ::close(output_); }
  running_tool(const running_tool&) = delete;
  running_tool& operator=(const running_tool&) = delete;

  /// Reads until the output holds `text` so often, or ends.
  const std::string& read_until(std::string_view text, std::size_t times = 1) {
    std::array<char, 4096> buffer{};
    while (count(seen_, text) < times) {
      const ssize_t got = ::read(output_, buffer.data(), buffer.size());
      if (got <= 0) break;
      seen_.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return seen_;
  }

  /// The tool alone, as a supervisor or `kill` does it.
  void signal(int number) const { ::kill(process_.id(), number); }
  int exit_code() { return process_.wait()->shell_code(); }

  /// Leaves the output unread until the pipe is full: nothing more comes.
  void fill_output() const {
    ::fcntl(output_, F_SETPIPE_SZ, 4096);
    int last = -1;
    int unread = 0;
    while (::ioctl(output_, FIONREAD, &unread) == 0 && (unread == 0 || unread != last)) {
      last = unread;
      std::this_thread::sleep_for(std::chrono::milliseconds{200});
    }
  }
  bool ends() {
    return lull::test::eventually([this] { return process_.observe().ended.has_value(); });
  }

 private:
  static lull::process_options options(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), LULL_CLI);
    lull::process_options made;
    made.arguments = std::move(arguments);
    made.output = lull::child_stream::pipe;
    return made;
  }

  lull::process process_;
  int output_;
  std::string seen_;
};

// --- run
// --------------------------------------------------------------------------------------------

TEST(RunCommand, EndsWithTheCommandsExitStatus) {
  EXPECT_EQ(run("run -- true").exit_code, 0);
  EXPECT_EQ(run("run -- sh -c 'exit 7'").exit_code, 7);
  EXPECT_EQ(run("run -- sh -c 'kill -9 $$'").exit_code, 128 + SIGKILL);
}

TEST(RunCommand, SaysWhyACommandCannotBeRun) {
  const auto missing = run("run -- lull-no-such-command");
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_THAT(missing.output, HasSubstr("lull-no-such-command"));
  const auto folder = run("run -- /");
  EXPECT_EQ(folder.exit_code, 126);
  EXPECT_THAT(folder.output, HasSubstr("lull run: "));
}

TEST(RunCommand, PassesArgumentsAndStreamsOnAsTheyAre) {
  EXPECT_EQ(run("run -- printf '<%s>' '[1,2]' '' --help -- top").output,
            "<[1,2]><><--help><--><top>");
  EXPECT_EQ(run_shell("echo hello | " LULL_CLI " run -- cat").output, "hello\n");
  EXPECT_EQ(run_shell(LULL_CLI " run -- sh -c 'echo out; echo err >&2' 2>/dev/null").output,
            "out\n");
}

TEST(RunCommand, StopsTheCommandPolitely) {
  for (const int number : {SIGTERM, SIGINT}) {
    running_tool tool(
        {"run", "--", "sh", "-c",
         "trap 'echo told; exit 3' TERM INT; echo ready; while :; do sleep 0.02; done"});
    tool.read_until("ready");
    tool.signal(number);
    EXPECT_EQ(tool.exit_code(), 3);
    EXPECT_THAT(tool.read_until("told"), HasSubstr("told"));
  }
}

TEST(RunCommand, KillsACommandThatDoesNotStop) {
  running_tool tool({"run", "--stop-timeout", "100ms", "--", "sh", "-c",
                     "trap '' TERM; echo ready; while :; do sleep 0.02; done"});
  tool.read_until("ready");
  tool.signal(SIGTERM);
  EXPECT_EQ(tool.exit_code(), 128 + SIGKILL);
}

// With the default timeout of 10 s the test would show it by its length; with this one, by never
// ending.
TEST(RunCommand, ASecondSignalKillsAtOnce) {
  running_tool tool({"run", "--stop-timeout", "1440m", "--", "sh", "-c",
                     "trap 'echo told' TERM; echo ready; while :; do sleep 0.02; done"});
  tool.read_until("ready");
  tool.signal(SIGTERM);
  tool.read_until("told");
  tool.signal(SIGTERM);
  EXPECT_EQ(tool.exit_code(), 128 + SIGKILL);
}

/// Whether a process runs; a zombie does not.
bool runs(int id) {
  std::ifstream file("/proc/" + std::to_string(id) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(") ");
  return name_end != std::string::npos && line[name_end + 2] != 'Z';
}

/// The number that a command which was started as `sh -c 'echo pid $$; ...'` printed.
int printed_pid(running_tool& tool) {
  const std::string& seen = tool.read_until("\n");
  return std::stoi(seen.substr(seen.find("pid ") + 4));
}

const std::vector<std::string> for_ever{"--", "sh", "-c",
                                        "echo pid $$; while :; do sleep 0.02; done"};

TEST(RunCommand, ACommandEndsWithAToolThatIsKilled) {
  const lull::test::scratch_folder folder;
  std::vector<std::string> arguments{"run", "--pid-dir", folder.path()};
  arguments.insert(arguments.end(), for_ever.begin(), for_ever.end());
  running_tool tool(arguments);
  const int id = printed_pid(tool);
  EXPECT_TRUE(runs(id));
  tool.signal(SIGKILL);
  EXPECT_EQ(tool.exit_code(), 128 + SIGKILL);
  EXPECT_TRUE(lull::test::eventually([&] { return !runs(id); }));
  EXPECT_THAT(run("orphans --pid-dir " + folder.path().string()).output, HasSubstr("no orphans"));
}

TEST(OrphansCommand, ListsAndStopsWhatAKilledToolLeft) {
  const lull::test::scratch_folder folder;
  const std::string where = " --pid-dir " + folder.path().string();
  std::vector<std::string> arguments{"run", "--keep", "--pid-dir", folder.path()};
  arguments.insert(arguments.end(), for_ever.begin(), for_ever.end());
  running_tool tool(arguments);
  const int id = printed_pid(tool);
  EXPECT_THAT(run("orphans" + where).output, HasSubstr("no orphans")) << "its parent lives";
  tool.signal(SIGKILL);
  EXPECT_EQ(tool.exit_code(), 128 + SIGKILL);
  EXPECT_TRUE(runs(id));

  const auto listed = run("orphans --json" + where);
  EXPECT_EQ(listed.exit_code, 0);
  const auto orphans = nlohmann::json::parse(listed.output).at("orphans");
  ASSERT_EQ(orphans.size(), 1u);
  EXPECT_EQ(orphans[0].at("pid"), id);
  EXPECT_EQ(orphans[0].at("command"), "sh");
  EXPECT_EQ(orphans[0].at("state"), "runs");

  const auto wrong = run("orphans --stop 999999" + where);
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.output, HasSubstr("999999"));
  EXPECT_TRUE(runs(id));

  const auto stopped = run("orphans --stop " + std::to_string(id) + where);
  EXPECT_EQ(stopped.exit_code, 0);
  EXPECT_THAT(stopped.output, HasSubstr("ended"));
  EXPECT_FALSE(runs(id));
  EXPECT_THAT(run("orphans" + where).output, HasSubstr("no orphans"));
}

// --- settle
// -----------------------------------------------------------------------------------------

TEST(SettleCommand, WaitsForNothingThatIsABook) {
  const auto [code, output] = run("settle --device HOST");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(output, HasSubstr("settled after"));
  const auto unknown = run("settle --device CUDA7");
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.output, HasSubstr("there is no device 'CUDA7'"));
}

#ifdef LULL_TEST_SIMGPU
/// On a simulated GPU that another process uses, so that something might come back.
class SettleOnAGpu : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("LD_LIBRARY_PATH", LULL_TEST_SIMGPU, 1);
    ::setenv("SIMGPU_VENDORS", "cuda", 1);
    ::setenv("SIMGPU", "devices=1,foreign=1GiB", 1);
  }
  void TearDown() override {
    for (const char* each : {"LD_LIBRARY_PATH", "SIMGPU_VENDORS", "SIMGPU"}) ::unsetenv(each);
  }
};

TEST_F(SettleOnAGpu, SaysThatItDidNotSettleByItsExitStatus) {
  const auto [code, output] = run("settle --device CUDA0 --max-wait 0s");
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("timed out"));
}

TEST_F(SettleOnAGpu, PrintsALineOnlyWhenSomethingChanges) {
  const auto [code, output] = run("settle --device CUDA0 --max-wait 100ms --json");
  EXPECT_EQ(code, 1);
  std::vector<nlohmann::json> lines;
  for (std::size_t at = 0, end = 0; (end = output.find('\n', at)) != output.npos; at = end + 1) {
    lines.push_back(nlohmann::json::parse(output.substr(at, end - at)));
  }
  ASSERT_EQ(lines.size(), 2u) << output;
  EXPECT_EQ(lines.front().at("sample").at("device"), "CUDA0");
  EXPECT_GT(lines.front().at("sample").at("free_bytes"), 0);
  const auto& result = lines.back().at("result");
  EXPECT_EQ(result.at("status"), "timed out");
  EXPECT_GT(result.at("devices").at(0).at("samples"), 3);
}

TEST_F(SettleOnAGpu, AWatchGoesOnUntilItIsInterrupted) {
  running_tool tool({"settle", "--device", "CUDA0", "--max-wait", "20ms", "--watch"});
  EXPECT_EQ(count(tool.read_until("timed out after", 3), "timed out after"), 3u);
  tool.signal(SIGINT);
  EXPECT_EQ(tool.exit_code(), 1) << "the last one did not settle";
}
#endif

// --- top
// --------------------------------------------------------------------------------------------

TEST(TopCommand, LooksOnce) {
  const auto [code, output] = run("top --once");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(output, HasSubstr("DEVICE"));
  EXPECT_THAT(output, HasSubstr("HOST"));
  EXPECT_THAT(output, Not(HasSubstr("\x1b")));
  EXPECT_EQ(run("top --once --device CUDA7").exit_code, 1);
}

TEST(TopCommand, RepeatsPlainTablesWhereThereIsNoTerminal) {
  running_tool tool({"top", "--device", "HOST", "--interval", "10ms"});
  EXPECT_THAT(tool.read_until("\n\nDEVICE"), HasSubstr("\n\nDEVICE"));
  tool.signal(SIGINT);
  EXPECT_EQ(tool.exit_code(), 0);
  EXPECT_THAT(tool.read_until("\x1b"), Not(HasSubstr("\x1b")));
}

TEST(TopCommand, EndsAlsoWhenNobodyReadsItsOutput) {
  running_tool tool({"top", "--device", "HOST", "--interval", "10ms"});
  tool.fill_output();
  tool.signal(SIGTERM);
  ASSERT_TRUE(tool.ends());
  // By itself, should it just not have been writing.
  EXPECT_THAT(tool.exit_code(), testing::AnyOf(0, 128 + SIGTERM));
}

TEST(TopCommand, DrawsOverItselfOnATerminal) {
  int terminal = -1;
  const pid_t id = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(id, 0);
  if (id == 0) {
    ::execl(LULL_CLI, LULL_CLI, "top", "--device", "HOST", "--interval", "10ms", nullptr);
    ::_exit(1);
  }
  std::string seen;
  std::array<char, 4096> buffer{};
  while (count(seen, "\x1b[H") < 3) {
    const ssize_t got = ::read(terminal, buffer.data(), buffer.size());
    ASSERT_GT(got, 0) << seen;
    seen.append(buffer.data(), static_cast<std::size_t>(got));
  }
  EXPECT_EQ(count(seen, "\x1b[2J"), 1u) << "cleared once, then drawn over";
  EXPECT_EQ(::write(terminal, "\x03", 1), 1);  // Ctrl-C
  // The terminal must be read for its writer to go on.
  while (::read(terminal, buffer.data(), buffer.size()) > 0) {
  }
  int status = 0;
  ASSERT_EQ(::waitpid(id, &status, 0), id);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ::close(terminal);
}

}  // namespace
