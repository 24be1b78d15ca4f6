// Child processes by the C API.

#include <lull/lull.h>

#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"
#include "support/scratch_folder.hpp"

namespace {

using lull::test::sized;
using testing::ElementsAre;
using testing::HasSubstr;

/// A shell that runs `script`.
class shell {
 public:
  explicit shell(const char* script) : words_{"sh", "-c", script} {
    lull_process_options_init(&options);
    options.arguments = words_.data();
    options.argument_count = words_.size();
  }
  ~shell() { lull_process_destroy(process); }
  shell(const shell&) = delete;
  shell& operator=(const shell&) = delete;

  lull_status start() { return lull_process_start(&options, &process); }

  /// Reads standard output to its end, or until it holds `text`.
  std::string read(const std::string& text = "") {
    if (output_ == -1) {
      EXPECT_EQ(lull_process_take_pipe(process, LULL_STANDARD_OUTPUT, &output_), LULL_OK);
    }
    std::string seen;
    char byte = 0;
    while ((text.empty() || seen.find(text) == seen.npos) && ::read(output_, &byte, 1) == 1) {
      seen += byte;
    }
    return seen;
  }

  lull_exit_status wait() {
    lull_exit_status status{};
    EXPECT_EQ(lull_process_wait(process, LULL_FOREVER, nullptr, &status), LULL_OK);
    if (output_ != -1) ::close(output_);
    return status;
  }

  lull_process_options options{};
  lull_process* process = nullptr;

 private:
  std::vector<const char*> words_;
  std::int32_t output_ = -1;
};

TEST(CProcess, EndsWithItsExitStatus) {
  shell child("exit 3");
  ASSERT_EQ(child.start(), LULL_OK) << lull_last_error_message();
  const lull_exit_status status = child.wait();
  EXPECT_EQ(status.how, LULL_EXIT_EXITED);
  EXPECT_EQ(status.value, 3);
  EXPECT_EQ(status.shell_code, 3);
  auto seen = sized<lull_process_snapshot>();
  EXPECT_EQ(lull_process_observe(child.process, &seen), LULL_OK);
  EXPECT_EQ(seen.ended, 1);
  EXPECT_EQ(seen.status.value, 3);
  EXPECT_EQ(seen.has_event, 0);
  std::int32_t sent = -1;
  EXPECT_EQ(lull_process_signal(child.process, SIGTERM, &sent), LULL_OK);
  EXPECT_EQ(sent, 0);
}

TEST(CProcess, GetsEnvironmentAndDirectory) {
  ::setenv("LULL_TEST_GONE", "still here", 1);
  shell child("echo \"$PWD $LULL_TEST_SET ${LULL_TEST_GONE-gone}\"");
  const std::vector<lull_variable> variables{{"LULL_TEST_SET", "set"}, {"LULL_TEST_GONE", nullptr}};
  child.options.environment = variables.data();
  child.options.environment_count = variables.size();
  child.options.directory = "/";
  child.options.output = LULL_STDIO_PIPE;
  ASSERT_EQ(child.start(), LULL_OK);
  EXPECT_EQ(child.read(), "/ set gone\n");
  EXPECT_EQ(child.wait().value, 0);
  ::unsetenv("LULL_TEST_GONE");
}

TEST(CProcess, SaysInWhichStateItIs) {
  struct record {
    std::vector<std::string> lines;
  } seen;
  shell child(
      "printf '%s\\n' '{\"lull\":1,\"state\":\"loading\",\"progress\":0.5}' noise "
      "'{\"lull\":1,\"state\":\"ready\"}' >&3");
  child.options.on_event = [](void* user, lull_process_state state, double progress) {
    static_cast<record*>(user)->lines.push_back(std::to_string(static_cast<int>(state)) + " " +
                                                std::to_string(progress).substr(0, 4));
  };
  child.options.on_event_user = &seen;
  child.options.on_rejected = [](void* user, const char*, const char* text, std::size_t text_size,
                                 std::uint64_t line_size) {
    EXPECT_EQ(line_size, 5u);
    static_cast<record*>(user)->lines.emplace_back(text, text_size);
  };
  child.options.on_rejected_user = &seen;
  ASSERT_EQ(child.start(), LULL_OK);
  child.wait();
  EXPECT_THAT(seen.lines, ElementsAre("0 0.50", "noise", "1 -1.0"));
  auto snapshot = sized<lull_process_snapshot>();
  EXPECT_EQ(lull_process_observe(child.process, &snapshot), LULL_OK);
  EXPECT_EQ(snapshot.last_state, LULL_PROCESS_READY);
  EXPECT_EQ(snapshot.last_progress, LULL_UNKNOWN_PROGRESS);
  EXPECT_EQ(snapshot.events, 2u);
  EXPECT_EQ(snapshot.rejected_lines, 1u);
}

TEST(CProcess, IsStoppedPolitelyOrKilled) {
  for (const bool polite : {true, false}) {
    shell child(polite ? "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done"
                       : "trap '' TERM; echo ready; while :; do sleep 0.02; done");
    child.options.output = LULL_STDIO_PIPE;
    ASSERT_EQ(child.start(), LULL_OK);
    child.read("ready");
    lull_stop_options how;
    lull_stop_options_init(&how);
    if (!polite) how.grace_ns = 50 * LULL_MILLISECOND;
    int asked_before_kill = 0;
    how.before_kill = [](void* user, std::int32_t) {
      ++*static_cast<int*>(user);
      return LULL_OK;
    };
    how.before_kill_user = &asked_before_kill;
    auto result = sized<lull_stop_result>();
    EXPECT_EQ(lull_process_stop(child.process, &how, &result), LULL_OK);
    EXPECT_EQ(result.killed, polite ? 0 : 1);
    EXPECT_EQ(result.status.shell_code, polite ? 4 : 128 + SIGKILL);
    EXPECT_EQ(asked_before_kill, polite ? 0 : 1);
    EXPECT_GT(result.elapsed_ns, 0);
    child.wait();
  }
}

TEST(CProcess, AWaitEndsAtItsTimeoutAndByItsCancelObject) {
  shell child("exec sleep 1000");
  ASSERT_EQ(child.start(), LULL_OK);
  EXPECT_EQ(lull_process_wait(child.process, 5 * LULL_MILLISECOND, nullptr, nullptr),
            LULL_ERROR_TIMED_OUT);
  EXPECT_EQ(lull_process_wait(child.process, -2, nullptr, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  lull_cancel* cancel = nullptr;
  ASSERT_EQ(lull_cancel_create(&cancel), LULL_OK);
  EXPECT_EQ(lull_cancel_request(cancel), LULL_OK);
  EXPECT_EQ(lull_process_wait(child.process, LULL_FOREVER, cancel, nullptr), LULL_ERROR_CANCELLED);
  lull_cancel_destroy(cancel);
}

// The clock's handle goes first; the process keeps what it marks.
TEST(CProcess, ItsEndMarksTheReleaseClock) {
  lull_release_clock* releases = nullptr;
  ASSERT_EQ(lull_release_clock_create(&releases), LULL_OK);
  lull_registry* registry = nullptr;
  lull_device* host = nullptr;
  ASSERT_EQ(lull_registry_shared(&registry), LULL_OK);
  ASSERT_EQ(lull_registry_find(registry, "HOST", &host), LULL_OK);
  shell one("exit 0");
  one.options.releases = releases;
  one.options.devices = &host;
  one.options.device_count = 1;
  ASSERT_EQ(one.start(), LULL_OK);
  one.wait();
  std::int64_t ago_ns = -2;
  EXPECT_EQ(lull_release_clock_last(releases, "HOST", &ago_ns), LULL_OK);
  EXPECT_GE(ago_ns, 0);
  EXPECT_EQ(lull_release_clock_last(releases, "CUDA0", &ago_ns), LULL_OK);
  EXPECT_EQ(ago_ns, LULL_UNKNOWN_NS);

  shell other("read line");
  other.options.input = LULL_STDIO_PIPE;
  other.options.releases = releases;
  ASSERT_EQ(other.start(), LULL_OK);
  lull_release_clock_destroy(releases);
  std::int32_t input = -1;
  EXPECT_EQ(lull_process_take_pipe(other.process, LULL_STANDARD_INPUT, &input), LULL_OK);
  ::close(input);
  EXPECT_EQ(other.wait().value, 1);
  lull_device_destroy(host);
  lull_registry_destroy(registry);
}

TEST(CProcess, WhatCannotBeStartedSaysWhy) {
  lull_process_options options;
  lull_process_options_init(&options);
  lull_process* process = nullptr;
  EXPECT_EQ(lull_process_start(&options, &process), LULL_ERROR_INVALID_ARGUMENT);
  const char* const words[] = {"lull-no-such-command"};
  options.arguments = words;
  options.argument_count = 1;
  EXPECT_EQ(lull_process_start(&options, &process), LULL_ERROR_NOT_FOUND);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("lull-no-such-command"));
  options.output = static_cast<lull_stdio>(3);
  EXPECT_EQ(lull_process_start(&options, &process), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("options->output is 3"));
  options.output = LULL_STDIO_INHERIT;
  auto stopping = sized<lull_stop_options>();
  lull_stop_options_init(&stopping);
  stopping.kill_wait_ns = 0;
  options.stopping = &stopping;
  EXPECT_EQ(lull_process_start(&options, &process), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(process, nullptr);
}

TEST(CProcess, AResultWithoutASizeIsRefusedBeforeAnythingIsStopped) {
  shell child("exit 0");
  ASSERT_EQ(child.start(), LULL_OK);
  lull_stop_result no_size{};
  EXPECT_EQ(lull_process_stop(child.process, nullptr, &no_size), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(child.wait().value, 0);
}

TEST(CProcess, ReportingWithoutAParentIsNoFailure) {
  std::int32_t written = -1;
  EXPECT_EQ(lull_parent_notify(LULL_PROCESS_LOADING, std::nan(""), &written), LULL_OK);
  EXPECT_EQ(written, 0);
  EXPECT_EQ(lull_parent_notify(static_cast<lull_process_state>(9), 0, nullptr),
            LULL_ERROR_INVALID_ARGUMENT);
}

TEST(CProcess, OrphansOfNobodyAreNone) {
  const lull::test::scratch_folder scratch;
  const std::filesystem::path& folder = scratch.path();
  shell child("exec sleep 1000");
  child.options.pid_directory = folder.c_str();
  ASSERT_EQ(child.start(), LULL_OK);
  std::size_t stopped = 7;
  // It has a parent: this test.
  EXPECT_EQ(lull_orphans_stop(folder.c_str(), nullptr, nullptr, &stopped), LULL_OK);
  EXPECT_EQ(stopped, 0u);
  EXPECT_EQ(lull_process_wait(child.process, 0, nullptr, nullptr), LULL_ERROR_TIMED_OUT);
  lull_process_destroy(child.process);
  child.process = nullptr;
}

}  // namespace
