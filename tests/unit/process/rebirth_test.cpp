// A process whose image is replaced: with real processes, and what must go wrong before anything is
// touched in this one.

#include <lull/process.hpp>
#include <lull/rebirth.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "process/rebirth_record.hpp"
#include "support/expect_error.hpp"
#include "support/run_shell.hpp"
#include "support/scratch_folder.hpp"
#include "vocabulary/unique_fd.hpp"

namespace lull::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string program = LULL_TEST_REBORN;

// --- real processes -----------------------------------------------------------------------------

std::string read_line(int from) {
  std::string line;
  char each = 0;
  while (::read(from, &each, 1) == 1 && each != '\n') line += each;
  return line;
}

/// What the server says: of which process and image, how many it has answered, and how many
/// descriptors are open at its beginning.
struct answer {
  int pid = 0;
  std::uint64_t rebirths = 0;
  std::uint64_t answered = 0;
  std::size_t descriptors = 0;
};

/// @return nothing when the connection was lost
std::optional<answer> ask(int port) {
  const int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  std::optional<answer> result;
  if (::connect(connection, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 &&
      ::send(connection, "?\n", 2, MSG_NOSIGNAL) == 2) {
    std::istringstream words(read_line(connection));
    answer got;
    if (words >> got.pid >> got.rebirths >> got.answered >> got.descriptors) result = got;
  }
  ::close(connection);
  return result;
}

TEST(Rebirth, TwoHundredTimesUnderLoadNoConnectionIsLostAndNoDescriptorLeaks) {
  constexpr std::uint64_t times = 200;
  constexpr int clients = 4;
  process_options options;
  options.arguments = {program, "serve", std::to_string(times)};
  options.output = child_stream::pipe;
  options.state_pipe = false;
  process server(std::move(options));
  const detail::unique_fd said(server.take_output());
  const int port = std::atoi(read_line(said.get()).c_str());
  ASSERT_GT(port, 0);

  std::atomic<std::uint64_t> answered{0};
  std::atomic<int> lost{0};
  std::atomic<bool> done{false};
  std::mutex mutex;
  std::set<int> pids;
  std::map<std::uint64_t, std::size_t> descriptors;  // of each image
  std::uint64_t most_answered = 0;
  std::vector<std::thread> askers;
  for (int i = 0; i < clients; ++i) {
    askers.emplace_back([&] {
      while (!done && lost == 0) {
        const auto got = ask(port);
        if (!got) {
          ++lost;
          break;
        }
        ++answered;
        const std::lock_guard lock(mutex);
        pids.insert(got->pid);
        descriptors[got->rebirths] = got->descriptors;
        most_answered = std::max(most_answered, got->answered);
        if (got->rebirths == times) done = true;
      }
    });
  }
  for (std::thread& each : askers) each.join();
  EXPECT_EQ(lost, 0) << "of those that waited in the queue";
  EXPECT_EQ(pids, std::set<int>{server.id()});
  EXPECT_EQ(descriptors.size(), times + 1) << "each image has answered";
  EXPECT_EQ(descriptors[times], descriptors[0]);
  EXPECT_EQ(most_answered, answered) << "the counter went on";
}

TEST(Rebirth, ArgumentsAndEnvironmentComeAlong) {
  const auto [code, output] = run_shell(program + " environment 2>&1");
  EXPECT_EQ(code, 0);
  EXPECT_EQ(output, "12 of 12 variables, 4 arguments, 3000000 bytes, gone 1, kept 1, own 0\n");
}

TEST(Rebirth, SignalsWaitForTheNextImageWhichBeginsAsTheFirstDid) {
  const auto [code, output] = run_shell(program + " signals 2>&1");
  EXPECT_EQ(code, 0);
  // Processors: those of the main thread, not of the one that was tied to a single one.
  EXPECT_EQ(output, "blocked at first 1, pending 1, blocked 1, SIGTERM blocked 0, name " +
                        fs::path(program).filename().string().substr(0, 15) +
                        "\ntied at first 0, by signal " + std::to_string(SIGUSR2) + "; " +
                        std::to_string(std::thread::hardware_concurrency()) + " processors\n");
}

TEST(Rebirth, AnotherProgramCanBeNamed) {
  const auto [code, output] = run_shell(program + " program /bin/sh 2>&1");
  EXPECT_EQ(code, 0);
  const std::string pid = output.substr(8, output.find('\n') - 8);
  EXPECT_THAT(output, HasSubstr("replaced by a shell, process " + pid + "\n"));
}

TEST(Rebirth, ItIsTheFileThatRunsWhateverHasItsNameMeanwhile) {
  const scratch_folder folder;
  const std::string copy = (folder.path() / "copy").string();
  for (const std::string& change :
       {"rm " + copy,
        "rm " + copy + "; printf '#!/bin/sh\\nexit 7\\n' >" + copy + "; chmod +x " + copy}) {
    fs::remove(copy);
    fs::copy_file(program, copy);
    process_options options;
    options.arguments = {copy, "itself"};
    options.input = options.output = child_stream::pipe;
    process child(std::move(options));
    ASSERT_EQ(run_shell(change).exit_code, 0);
    const detail::unique_fd to(child.take_input());
    const detail::unique_fd from(child.take_output());
    ASSERT_EQ(::write(to.get(), "\n", 1), 1);
    EXPECT_EQ(read_line(from.get()), "reborn 1") << change;
    EXPECT_TRUE(child.wait()->success()) << change;
  }
}

// --- in this process ----------------------------------------------------------------------------

/// Number and flags of all that are open.
std::map<int, int> descriptors_of_this_process() {
  std::map<int, int> all;
  for (int number = 0; number < 256; ++number) {
    const int flags = ::fcntl(number, F_GETFD);
    if (flags >= 0) all[number] = flags;
  }
  return all;
}

class NoRebirth : public testing::Test {
 protected:
  NoRebirth() { static_cast<void>(take_rebirth()); }

  /// Fails, with everything as before.
  error refused(const rebirth_options& how, const rebirth_handover& left = {}) {
    const auto before = descriptors_of_this_process();
    sigset_t mask_before;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask_before);
    const error failure = error_of([&] { rebirth(left, how); });
    EXPECT_EQ(descriptors_of_this_process(), before);
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    EXPECT_EQ(::sigismember(&mask, SIGTERM), ::sigismember(&mask_before, SIGTERM));
    return failure;
  }

  scratch_folder folder;
};

TEST_F(NoRebirth, WhatIsNoProgramIsRefusedAndAllIsAsBefore) {
  const detail::unique_fd open(::open("/dev/null", O_RDONLY));  // without close-on-exec
  rebirth_options how;
  how.program = folder.path() / "nothing";
  EXPECT_EQ(refused(how).code(), status::not_found);
  how.program = folder.path();
  EXPECT_EQ(refused(how).code(), status::io);
  how.program = folder.path() / "text";
  std::ofstream(how.program) << "hello\n";
  const error not_executable = refused(how);
  EXPECT_EQ(not_executable.code(), status::io);
  EXPECT_THAT(not_executable.what(), HasSubstr("Permission denied"));
}

TEST_F(NoRebirth, WhatOnlyTheKernelRefusesLeavesAllAsBeforeToo) {
  rebirth_options how;
  how.program = folder.path() / "garbage";
  std::ofstream(how.program) << "\x7f garbage";
  fs::permissions(how.program, fs::perms::owner_all);
  EXPECT_NO_THROW(expect_rebirth_possible(how)) << "it cannot be known";
  const error failure = refused(how, {{{"null", STDIN_FILENO}}, 1, "blob"});
  EXPECT_EQ(failure.code(), status::io);
  EXPECT_THAT(failure.what(), HasSubstr("execve"));
  EXPECT_EQ(refused(how).code(), status::io) << "and it can be tried again";
}

TEST_F(NoRebirth, ArgumentsThatTheKernelWouldNotTakeAreRefusedWithTheFigures) {
  rebirth_options how;
  how.environment["LARGE"] = std::string(200000, 'x');
  const error one = error_of([&] { expect_rebirth_possible(how); });
  EXPECT_EQ(one.code(), status::invalid_argument);
  EXPECT_THAT(one.what(), HasSubstr("200006 bytes, and the kernel takes 131071 in one"));
  how.environment.clear();
  how.arguments.assign(1000, std::string(100000, 'x'));
  EXPECT_THAT(refused(how).what(), HasSubstr("arguments and environment take 100"));
}

TEST_F(NoRebirth, ADescriptorThatIsNotOpenIsRefusedByItsName) {
  const error failure = refused({}, {{{"listener", 9999}}, 0, ""});
  EXPECT_EQ(failure.code(), status::invalid_argument);
  EXPECT_THAT(failure.what(), HasSubstr("9999 ('listener')"));
}

TEST_F(NoRebirth, OtherRightsAreRefused) {
  rebirth_options how;
  how.program = folder.path() / "other";
  fs::copy_file("/bin/true", how.program);
  fs::permissions(how.program, fs::perms::owner_all | fs::perms::set_uid);
  EXPECT_EQ(refused(how).code(), status::unsupported);
}

// --- what goes over -----------------------------------------------------------------------------

detail::rebirth_record some_record() {
  return {4711,
          {0x8000000000000001, "name", 9, 4710},
          {{{{"a", 3}, {"", 70000}}, 9, std::string("x\0y", 3)}, 5}};
}

TEST(RebirthRecord, ComesBackAsItWas) {
  const auto back = detail::parse_rebirth_record(to_bytes(some_record()));
  EXPECT_EQ(back.pid, 4711);
  EXPECT_EQ(back.begun.signals, 0x8000000000000001);
  EXPECT_EQ(back.begun.name, "name");
  EXPECT_EQ(back.begun.death_signal, 9);
  EXPECT_EQ(back.begun.parent, 4710);
  EXPECT_EQ(back.left.rebirths, 5u);
  EXPECT_EQ(back.left.version, 9u);
  EXPECT_EQ(back.left.blob, std::string("x\0y", 3));
  EXPECT_EQ(back.left.descriptors, (std::map<std::string, int>{{"a", 3}, {"", 70000}}));
}

TEST(RebirthRecord, IsRefusedWhereAnyByteOfItIsAnotherOrMissing) {
  const std::string whole = to_bytes(some_record());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (i >= 12 && i < 16) continue;  // reserved
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    const error failure =
        error_of([&] { static_cast<void>(detail::parse_rebirth_record(changed)); });
    EXPECT_EQ(failure.code(), status::io) << i;
    EXPECT_THAT(failure.what(), HasSubstr("cannot be read")) << i;
    EXPECT_EQ(error_of([&] {
                static_cast<void>(detail::parse_rebirth_record(whole.substr(0, i)));
              }).code(),
              status::io)
        << i;
  }
  std::string newer = whole;
  newer[8] = 2;
  EXPECT_THAT(error_of([&] { static_cast<void>(detail::parse_rebirth_record(newer)); }).what(),
              HasSubstr("laid out by version 2, and this is version 1"));
}

}  // namespace
}  // namespace lull::test
