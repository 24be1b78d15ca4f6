// Children that behave badly, each in its own way. Real processes and short real waits.

#include <lull/error.hpp>
#include <lull/process.hpp>
#include <lull/settle.hpp>

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "process/child.hpp"
#include "process/proc_stat.hpp"
#include "support/children.hpp"
#include "support/expect_error.hpp"
#include "support/no_threads.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using lull::exit_status;
using lull::process_event;
using lull::process_state;
using lull::status;
using lull::test::child_options;
using lull::test::error_of;
using lull::test::eventually;
using lull::test::line_source;
using lull::test::patience;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr exit_status killed_by(int signal) {
  return {exit_status::kind::signalled, signal, false};
}
constexpr exit_status exited_with(int code) {
  return {exit_status::kind::exited, code, false};
}

lull::stop_options grace(lull::duration span) {
  lull::stop_options how;
  how.grace = span;
  return how;
}

bool is_alive(int id) {
  const auto now = lull::detail::read_proc_stat(id);
  return now && now->alive();
}

/// Every test with the kernel's process descriptors and with the thread that stands in for them.
class Process : public testing::TestWithParam<bool> {
 protected:
  void TearDown() override {
    EXPECT_FALSE(lull::test::has_children()) << "a child or zombie was left";
    // Eventually, because one test leaves a thread behind that closes its own in a moment.
    EXPECT_TRUE(eventually([&] { return lull::test::open_descriptors() == descriptors_before_; }))
        << "a descriptor was left";
  }

  static lull::process start(lull::process_options options) {
    return lull::detail::process_access::start(std::move(options), {.use_pidfd = GetParam()});
  }

  /// A child that has said its first line, so that it is in its mode.
  static lull::process start_in_mode(lull::process_options options) {
    lull::process child = start(std::move(options));
    line_source output(child.take_output());
    EXPECT_TRUE(output.next()) << "the child says nothing";
    return child;
  }

 private:
  std::size_t descriptors_before_ = lull::test::open_descriptors();
};
INSTANTIATE_TEST_SUITE_P(, Process, testing::Bool(),
                         [](const auto& which) { return which.param ? "Pidfd" : "WaitingThread"; });

TEST_P(Process, AChildThatEndsPolitelyIsNotKilled) {
  lull::process child = start_in_mode(child_options({"sleep"}));
  EXPECT_FALSE(child.observe().ended);
  const auto result = child.stop();
  EXPECT_EQ(result.status, killed_by(SIGTERM));
  EXPECT_FALSE(result.killed);
  EXPECT_LT(result.elapsed, patience);
  EXPECT_EQ(child.observe().ended, killed_by(SIGTERM));
}

TEST_P(Process, OneThatIgnoresSigtermIsKilledAfterTheGracePeriod) {
  lull::process child = start_in_mode(child_options({"ignore-sigterm"}));
  const auto result = child.stop(grace(100ms));
  EXPECT_EQ(result.status, killed_by(SIGKILL));
  EXPECT_TRUE(result.killed);
  EXPECT_GE(result.elapsed, 100ms);
  EXPECT_LT(result.elapsed, patience);
}

TEST_P(Process, TheGracePeriodIsOnTheInjectedClock) {
  lull::manual_clock clock;
  auto options = child_options({"ignore-sigterm"});
  options.clock = &clock;
  lull::process child = start_in_mode(std::move(options));
  auto stopping = std::async(std::launch::async, [&] { return child.stop(grace(1h)); });
  EXPECT_EQ(stopping.wait_for(50ms), std::future_status::timeout);
  clock.advance(1h);
  const auto result = stopping.get();
  EXPECT_TRUE(result.killed);
  EXPECT_EQ(result.elapsed, 1h);
}

TEST_P(Process, NoGraceKillsWithoutAsking) {
  lull::process child = start_in_mode(child_options({"sleep"}));
  const auto result = child.stop(grace(0s));
  EXPECT_EQ(result.status, killed_by(SIGKILL));
  EXPECT_TRUE(result.killed);
}

TEST_P(Process, OneThatDiesAtOnceIsReapedByItself) {
  std::atomic<int> releases = 0;
  auto options = child_options({"exit", "3"});
  options.on_release = [&](lull::time_point) { ++releases; };
  lull::process child = start(std::move(options));
  EXPECT_EQ(child.wait(), exited_with(3));
  EXPECT_EQ(releases, 1);
  const auto result = child.stop();
  EXPECT_EQ(result.status, exited_with(3)) << "stopping what has ended says how it ended";
  EXPECT_FALSE(result.killed);
  EXPECT_FALSE(child.send_signal(SIGTERM));
  EXPECT_EQ(releases, 1);
}

TEST_P(Process, ItsEndMarksTheDevicesThatItHadMemoryOn) {
  lull::release_clock named;
  lull::release_clock everywhere;
  auto options = child_options({"exit", "0"});
  options.on_release = lull::mark_on_release(named, {"CUDA0", "CUDA1"});
  lull::process child = start(std::move(options));
  const auto before = lull::steady_clock().now();
  child.wait();
  ASSERT_NE(named.last("CUDA0"), std::nullopt);
  EXPECT_LE(*named.last("CUDA0"), lull::steady_clock().now());
  EXPECT_EQ(named.last("CUDA0"), named.last("CUDA1"));
  EXPECT_EQ(named.last("CUDA2"), std::nullopt);

  lull::mark_on_release(everywhere)(before);
  ASSERT_NE(everywhere.last("CUDA2"), std::nullopt);
  EXPECT_GE(*everywhere.last("CUDA2"), before) << "known to no name, it counts for each";
}

TEST_P(Process, OneThatIsStoppedBySigstopCanStillEndPolitely) {
  lull::process child = start_in_mode(child_options({"stop-itself"}));
  ASSERT_TRUE(eventually([&] { return lull::detail::read_proc_stat(child.id())->state == 'T'; }));
  const auto result = child.stop();
  EXPECT_EQ(result.status, exited_with(7)) << "its handler ran";
  EXPECT_FALSE(result.killed);
}

TEST_P(Process, AStoppedOneIsKilledByTheDestructor) {
  int id = 0;
  {
    lull::process child = start_in_mode(child_options({"stop-itself"}));
    id = child.id();
    ASSERT_TRUE(eventually([&] { return lull::detail::read_proc_stat(id)->state == 'T'; }));
  }
  EXPECT_FALSE(lull::detail::read_proc_stat(id)) << "not even a zombie";
}

TEST_P(Process, AGrandchildThatHoldsThePipeIsKilledWithTheGroup) {
  lull::process child = start(child_options({"grandchild"}));
  line_source output(child.take_output());
  const int grandchild = std::stoi(output.next().value());
  ASSERT_TRUE(is_alive(grandchild));
  const auto result = child.stop(grace(100ms));
  EXPECT_EQ(result.status, killed_by(SIGTERM)) << "the child itself ended politely";
  EXPECT_FALSE(is_alive(grandchild));
  EXPECT_TRUE(output.ends()) << "nobody holds the pipe";
}

TEST_P(Process, WhatALeaderLeavesBehindIsKilledBeforeTheReleaseIsAnnounced) {
  std::promise<lull::time_point> released;
  std::atomic<int> grandchild = 0;
  std::atomic<bool> alive_at_release = true;
  auto options = child_options({"grandchild-and-exit"});
  options.on_release = [&](lull::time_point when) {
    alive_at_release = grandchild != 0 && is_alive(grandchild);
    released.set_value(when);
  };
  lull::process child = start(std::move(options));
  line_source output(child.take_output());
  grandchild = std::stoi(output.next().value());
  EXPECT_EQ(child.wait(), exited_with(0));
  EXPECT_FALSE(alive_at_release);
  EXPECT_LE(released.get_future().get(), lull::steady_clock().now());
  EXPECT_TRUE(output.ends());
}

TEST_P(Process, ADescendantThatLeftTheGroupDelaysNothing) {
  lull::process child = start(child_options({"grandchild-leaves-and-exit"}));
  line_source output(child.take_output());
  const int escaped = std::stoi(output.next().value());
  EXPECT_EQ(child.wait(lull::steady_clock().deadline_in(patience)), exited_with(0))
      << "although the state pipe is still open";
  EXPECT_TRUE(is_alive(escaped));
  ::kill(escaped, SIGKILL);
  EXPECT_TRUE(output.ends());
}

TEST_P(Process, OneThatFloodsTheStatePipeIsReadAndStopped) {
  std::atomic<std::uint64_t> rejected = 0;
  std::atomic<int> warnings = 0;
  auto options = child_options({"flood-states"});
  options.on_rejected = [&](const lull::rejected_line&) { ++rejected; };
  options.log = lull::log_sink([&](lull::log_level, std::string_view) { ++warnings; });
  lull::process child = start(std::move(options));
  constexpr std::uint64_t more_than_a_pipe_holds = 10'000;
  ASSERT_TRUE(eventually([&] { return rejected > more_than_a_pipe_holds; }));
  const auto result = child.stop();
  EXPECT_EQ(result.status, killed_by(SIGTERM));
  EXPECT_LT(result.elapsed, patience);
  EXPECT_EQ(child.observe().rejected_lines, rejected);
  EXPECT_LT(warnings, 15) << "the log is not flooded";
}

TEST_P(Process, OneThatFloodsAPipeThatNobodyReadsIsStopped) {
  lull::process child = start(child_options({"flood-output"}));
  const auto result = child.stop();
  EXPECT_EQ(result.status, killed_by(SIGTERM));
  EXPECT_LT(result.elapsed, patience);
}

TEST_P(Process, ReportsWhatTheChildSays) {
  std::mutex mutex;
  std::vector<process_event> events;
  auto options = child_options({"speak"});
  options.on_event = [&](const process_event& event) {
    const std::lock_guard lock(mutex);
    events.push_back(event);
  };
  lull::process child = start(std::move(options));
  ASSERT_TRUE(eventually([&] { return child.observe().events == 5; }));
  EXPECT_EQ(child.observe().last_event, (process_event{process_state::awake, {}}));
  EXPECT_EQ(child.stop().status, exited_with(0));
  using enum process_state;
  EXPECT_THAT(events, ElementsAre(process_event{loading, 0.0}, process_event{loading, 0.5},
                                  process_event{ready, {}}, process_event{sleeping, {}},
                                  process_event{awake, {}}, process_event{stopped, {}}));
  EXPECT_EQ(child.observe().rejected_lines, 0u);
}

TEST_P(Process, GarbageIsReportedAndSkipped) {
  std::vector<process_state> states;
  std::vector<std::string> reasons;
  auto options = child_options({"garbage"});
  options.on_event = [&](const process_event& event) { states.push_back(event.state); };
  options.on_rejected = [&](const lull::rejected_line& line) { reasons.emplace_back(line.reason); };
  lull::process child = start(std::move(options));
  EXPECT_EQ(child.wait(), exited_with(0));
  EXPECT_THAT(states, ElementsAre(process_state::loading, process_state::ready));
  EXPECT_THAT(reasons,
              ElementsAre(HasSubstr("not a JSON object"), HasSubstr("not a JSON object"),
                          HasSubstr("longer"), HasSubstr("version"), HasSubstr("ended within")));
}

TEST_P(Process, CallbacksThatThrowBreakNothing) {
  std::atomic<int> warnings = 0;
  auto options = child_options({"speak"});
  options.on_event = [](const process_event&) { throw std::runtime_error("no"); };
  options.on_release = [](lull::time_point) { throw 1; };
  options.log = lull::log_sink([&](lull::log_level, std::string_view) { ++warnings; });
  lull::process child = start(std::move(options));
  ASSERT_TRUE(eventually([&] { return child.observe().events == 5; }));
  EXPECT_EQ(child.stop().status, exited_with(0));
  EXPECT_EQ(warnings, 7);
}

TEST_P(Process, WaitingFromACallbackIsRefused) {
  std::promise<status> refused;
  std::promise<lull::process*> made;
  auto options = child_options({"exit", "0"});
  options.on_release = [&](lull::time_point) {
    lull::process* const self = made.get_future().get();
    refused.set_value(error_of([&] { self->wait(); }).code());
  };
  lull::process child = start(std::move(options));
  made.set_value(&child);
  EXPECT_EQ(refused.get_future().get(), status::busy);
}

TEST_P(Process, TheChildGetsWhatItNeedsAndNoMore) {
  // What a child must not inherit: an open descriptor, a blocked and an ignored signal.
  const int leak = ::open("/dev/null", O_RDONLY);
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  auto options = child_options({"describe"});
  options.environment["LULL_TEST_VARIABLE"] = "a = b";
  options.directory = "/";
  lull::process child = start(std::move(options));
  ::pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
  ::signal(SIGUSR1, SIG_DFL);

  line_source output(child.take_output());
  EXPECT_EQ(output.next(), "open 0 1 2 3");
  EXPECT_EQ(output.next(), "signals");
  EXPECT_EQ(output.next(), "leads its group: yes");
  EXPECT_EQ(output.next(), "directory /");
  EXPECT_EQ(output.next(), "variable a = b");
  EXPECT_EQ(output.next(), "state descriptor 3");
  EXPECT_EQ(child.wait(), exited_with(0));
  ::close(leak);
}

TEST_P(Process, VariablesCanBeRemovedAndNothingInherited) {
  ::setenv("LULL_TEST_VARIABLE", "outer", 1);
  ::setenv(lull::state_descriptor_variable, "77", 1);
  for (const bool inherit : {true, false}) {
    auto options = child_options({"describe"});
    options.state_pipe = false;
    options.inherit_environment = inherit;
    if (inherit) options.environment["LULL_TEST_VARIABLE"] = std::nullopt;
    lull::process child = start(std::move(options));
    line_source output(child.take_output());
    EXPECT_EQ(output.next(), "open 0 1 2");
    for (int i = 0; i < 3; ++i) output.next();
    EXPECT_EQ(output.next(), "variable (none)");
    EXPECT_EQ(output.next(), "state descriptor -1") << "that of its parent is not its own";
  }
  ::unsetenv("LULL_TEST_VARIABLE");
  ::unsetenv(lull::state_descriptor_variable);
}

TEST_P(Process, StandardInputAndOutputArePipes) {
  auto options = child_options({"echo"});
  options.input = lull::child_stream::pipe;
  lull::process child = start(std::move(options));
  const int input = child.take_input();
  EXPECT_EQ(child.take_input(), -1) << "taken once";
  EXPECT_EQ(::write(input, "words\n", 6), 6);
  ::close(input);
  line_source output(child.take_output());
  EXPECT_EQ(output.next(), "words");
  EXPECT_EQ(child.wait(), exited_with(0));
}

TEST_P(Process, OneThatEndsWithItsParentOutlivesTheThreadThatStartedIt) {
  // The kernel's parent is a thread: that of the process object, not whoever made it.
  auto options = child_options({"echo"});
  options.input = lull::child_stream::pipe;
  options.end_with_parent = true;
  std::optional<lull::process> child;
  std::thread([&] { child.emplace(start(std::move(options))); }).join();
  const int input = child->take_input();
  line_source output(child->take_output());
  EXPECT_EQ(::write(input, "alive\n", 6), 6);
  ::close(input);
  EXPECT_EQ(output.next(), "alive");
  EXPECT_EQ(child->wait(), exited_with(0));
}

TEST_P(Process, AProgramIsLookedForInThePath) {
  lull::process child = start({.arguments = {"true"}});
  EXPECT_EQ(child.wait(), exited_with(0));
  EXPECT_EQ(error_of([] { start({.arguments = {"no-such-program-anywhere"}}); }).code(),
            status::not_found);
}

TEST_P(Process, WhatCannotBeStartedSaysWhy) {
  const auto missing = error_of([] { start({.arguments = {"/no/such/program"}}); });
  EXPECT_EQ(missing.code(), status::not_found);
  EXPECT_THAT(missing.what(), HasSubstr("/no/such/program"));
  EXPECT_EQ(error_of([] { start({.arguments = {"/etc/passwd"}}); }).code(), status::io);
  EXPECT_EQ(error_of([] {
              auto options = child_options({"exit", "0"});
              options.directory = "/no/such/directory";
              start(options);
            }).code(),
            status::not_found);
}

TEST_P(Process, WithoutAThreadNoneIsStarted) {
  {
    const lull::test::no_threads now;
    const auto failure = error_of([] { start(child_options({"sleep"})); });
    EXPECT_EQ(failure.code(), status::out_of_host_memory);
    EXPECT_THAT(failure.what(), HasSubstr("thread"));
  }
  EXPECT_EQ(start(child_options({"exit", "3"})).wait(), exited_with(3));
}

TEST_P(Process, OptionsOutsideTheirRangeAreRefused) {
  using namespace std::string_literals;
  const auto refusal_of = [](auto change) {
    auto options = child_options({"sleep"});
    change(options);
    return error_of([&] { start(options); }).code();
  };
  using options = lull::process_options;
  for (const auto& change : std::initializer_list<std::function<void(options&)>>{
           [](options& o) { o.arguments.clear(); },
           [](options& o) { o.arguments.push_back("a\0b"s); },
           [](options& o) { o.environment["A=B"] = "C"; },
           [](options& o) { o.environment[""] = "C"; },
           [](options& o) { o.clock = nullptr; },
           [](options& o) { o.stopping.signal = 0; },
           [](options& o) { o.stopping.grace = -1s; },
           [](options& o) { o.stopping.kill_wait = 0s; },
       }) {
    EXPECT_EQ(refusal_of(change), status::invalid_argument);
  }
}

TEST_P(Process, ADeadlineAndAStopTokenEndAWait) {
  lull::process child = start_in_mode(child_options({"sleep"}));
  EXPECT_EQ(child.wait(lull::steady_clock().deadline_in(20ms)), std::nullopt);
  std::stop_source source;
  auto waiting = std::async(std::launch::async,
                            [&] { return child.wait(lull::no_deadline, source.get_token()); });
  EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
  source.request_stop();
  EXPECT_EQ(waiting.get(), std::nullopt);
  EXPECT_EQ(child.wait(lull::no_deadline, source.get_token()), std::nullopt) << "requested before";
}

TEST_P(Process, AHookRunsBeforeAKillAndOnlyThen) {
  std::atomic<int> calls = 0;
  auto how = grace(100ms);
  how.before_kill = [&](int id) {
    EXPECT_TRUE(is_alive(id));
    ++calls;
    throw std::runtime_error("the kill follows all the same");
  };
  lull::process polite = start_in_mode(child_options({"sleep"}));
  polite.stop(how);
  EXPECT_EQ(calls, 0);
  lull::process stubborn = start_in_mode(child_options({"ignore-sigterm"}));
  EXPECT_TRUE(stubborn.stop(how).killed);
  EXPECT_EQ(calls, 1);
}

TEST_P(Process, AHookThatHangsIsLeftBehind) {
  const auto release = std::make_shared<std::promise<void>>();
  const auto returned = std::make_shared<std::promise<void>>();
  auto how = grace(0s);
  how.before_kill = [=](int) {
    release->get_future().wait();
    returned->set_value();
  };
  how.before_kill_timeout = 50ms;
  lull::process child = start_in_mode(child_options({"sleep"}));
  EXPECT_TRUE(child.stop(how).killed);
  release->set_value();
  returned->get_future().wait();
}

TEST_P(Process, OneThatCannotBeKilledIsGivenUpAndReapedLater) {
  // As one that hangs in a driver: signal 9 goes nowhere.
  const auto deaf = [](pid_t to, int signal) { return signal == SIGKILL ? 0 : ::kill(to, signal); };
  std::atomic<int> releases = 0;
  int id = 0;
  {
    auto options = child_options({"ignore-sigterm"});
    options.stopping = {.grace = 20ms, .kill_wait = 50ms};
    options.on_release = [&](lull::time_point) { ++releases; };
    lull::process child = lull::detail::process_access::start(
        std::move(options), {.send = deaf, .use_pidfd = GetParam()});
    id = child.id();
    line_source output(child.take_output());
    ASSERT_TRUE(output.next());
    const auto failure = error_of([&] { child.stop(); });
    EXPECT_EQ(failure.code(), status::timed_out);
    EXPECT_THAT(failure.what(), HasSubstr("state is 'S'"));
  }
  ASSERT_TRUE(is_alive(id));
  ::kill(id, SIGKILL);
  EXPECT_TRUE(eventually([] { return !lull::test::has_children(); })) << "no zombie stays";
  EXPECT_EQ(releases, 0) << "its callbacks went with the process object";
}

TEST_P(Process, SomebodyElseReapingIsNoticed) {
  ::signal(SIGCHLD, SIG_IGN);  // then the kernel reaps
  std::atomic<int> releases = 0;
  auto options = child_options({"sleep"});
  options.on_release = [&](lull::time_point) { ++releases; };
  lull::process child = start_in_mode(std::move(options));
  const auto result = child.stop();
  ::signal(SIGCHLD, SIG_DFL);
  EXPECT_EQ(result.status.how, exit_status::kind::unknown);
  EXPECT_FALSE(child.send_signal(SIGTERM)) << "the id may be another's";
  EXPECT_EQ(releases, 1);
}

TEST_P(Process, ManyCanStopOneAtTheSameTime) {
  lull::process child = start_in_mode(child_options({"ignore-sigterm"}));
  std::vector<std::future<lull::stop_result>> stops;
  for (int i = 0; i < 4; ++i) {
    stops.push_back(
        std::async(std::launch::async, [&, i] { return child.stop(grace(50ms * (i + 1))); }));
  }
  for (auto& stop : stops) EXPECT_EQ(stop.get().status, killed_by(SIGKILL));
}

TEST_P(Process, AnAssignmentEndsTheChildThatWasThere) {
  lull::process child = start_in_mode(child_options({"ignore-sigterm"}));
  const int first = child.id();
  lull::process other = start_in_mode(child_options({"sleep"}));
  const int second = other.id();
  child = std::move(other);
  EXPECT_FALSE(lull::detail::read_proc_stat(first));
  EXPECT_EQ(child.id(), second);
  EXPECT_EQ(child.stop().status, killed_by(SIGTERM));
}

/// The thread sanitizer makes a fork of each vfork, which copies the tables of its own memory.
#ifdef __SANITIZE_THREAD__
constexpr std::size_t many = 40;
#else
constexpr std::size_t many = 200;
#endif

TEST_P(Process, ManyAtATime) {
  const std::vector<std::vector<std::string>> modes{
      {"sleep"}, {"ignore-sigterm"}, {"exit", "0"}, {"stop-itself"}};
  std::atomic<std::size_t> releases = 0;
  std::vector<lull::process> children;
  for (std::size_t i = 0; i < many; ++i) {
    // Two only that flood: this process has to read it all.
    auto options = child_options(i % 100 == 0 ? std::vector<std::string>{"flood-states"}
                                              : modes[i % modes.size()]);
    options.output = lull::child_stream::null;
    options.on_release = [&](lull::time_point) { ++releases; };
    children.push_back(start(std::move(options)));
  }
  constexpr std::size_t stoppers = 20;
  std::vector<std::future<void>> stops;
  for (std::size_t first = 0; first < stoppers; ++first) {
    stops.push_back(std::async(std::launch::async, [&, first] {
      for (std::size_t i = first; i < many; i += stoppers) children[i].stop(grace(20ms));
    }));
  }
  for (auto& stop : stops) stop.get();
  EXPECT_EQ(releases, many);
}

TEST_P(Process, ManyAreKilledByTheirDestructors) {
  std::vector<lull::process> children;
  for (std::size_t i = 0; i < many; ++i) {
    auto options = child_options({i % 2 == 0 ? "sleep" : "ignore-sigterm"});
    options.output = lull::child_stream::null;
    children.push_back(start(std::move(options)));
  }
}

TEST(ExitStatus, SaysHowAProcessEnded) {
  EXPECT_EQ(to_string(exited_with(3)), "exited with code 3");
  EXPECT_EQ(to_string(killed_by(SIGKILL)), "killed by signal 9 (Killed)");
  EXPECT_EQ(to_string(exit_status{exit_status::kind::signalled, SIGABRT, true}),
            "killed by signal 6 (Aborted), core dumped");
  EXPECT_EQ(exited_with(3).shell_code(), 3);
  EXPECT_EQ(killed_by(SIGTERM).shell_code(), 143);
  EXPECT_EQ(exit_status{}.shell_code(), 255);
  EXPECT_TRUE(exited_with(0).success());
  EXPECT_FALSE(killed_by(SIGTERM).success());
}

}  // namespace
