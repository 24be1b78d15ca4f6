// Memory that comes back late: settle() and those who mark releases, on the simulated GPU. And the
// commands that look at devices from outside.

#include <stdio.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "support/expect_error.hpp"
#include "support/run_shell.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

constexpr std::uint64_t released_bytes = 2048_MiB;

class Settle : public Vendor {
 protected:
  static simgpu::scenario late(std::chrono::milliseconds by) {
    simgpu::scenario made;
    made.reclaim_delay = by;
    return made;
  }
};

/// Takes memory and gives it back.
struct release {
  std::uint64_t free_before = 0;
  time_point at;  ///< no later than the simulator's own moment

  explicit release(const device& which) {
    void* const address = which.allocate(released_bytes);
    free_before = *which.memory().free_bytes;
    at = steady_clock().now();
    which.deallocate(address, released_bytes);
  }
};

/// Keeps the simulated kernel's files up to date while memory comes back: no call of ours does.
class file_writer {
 public:
  explicit file_writer(simgpu::world& gpu)
      : thread_([&gpu](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            gpu.set_foreign_bytes(0, 0);
            std::this_thread::sleep_for(1ms);
          }
        }) {}

 private:
  std::jthread thread_;
};

// The sample before the last one was taken too early to see it: it came back in between, and so
// within one interval.
TEST_P(Settle, ReturnsWithinOneIntervalOfTheTrueMoment) {
  for (const auto delay : {60ms, 175ms, 410ms}) {
    machine here(GetParam(), late(delay));
    const file_writer writer(here.gpu());
    const device which = here.device();
    const release done(which);
    release_clock releases;
    releases.mark_at(which.name(), done.at);
    settle_options options;
    options.releases = &releases;
    options.expected = {{which.name(), released_bytes, done.free_before}};
    std::vector<std::pair<time_point, std::uint64_t>> seen;
    options.on_sample = [&, started = steady_clock().now()](const settle_sample& sample) {
      seen.emplace_back(started + sample.since_start, *sample.readings.at(0).memory.free_bytes);
    };
    const settle_result result = settle({which}, options);
    EXPECT_EQ(result.status, settle_status::settled);
    EXPECT_EQ(result.devices.at(0).gain, settle_gain::arrived);
    EXPECT_EQ(result.devices.at(0).gained_bytes(), static_cast<std::int64_t>(released_bytes));
    ASSERT_GE(seen.size(), 2u);
    EXPECT_GE(steady_clock().now(), done.at + delay) << "too early";
    for (std::size_t i = 0; i + 1 < seen.size(); ++i) EXPECT_EQ(seen[i].second, done.free_before);
    EXPECT_EQ(seen.back().second, done.free_before + released_bytes);
  }
}

TEST_P(Settle, WithoutAnExpectedGainItIsNotEarlyEither) {
  machine here(GetParam(), late(400ms));
  const file_writer writer(here.gpu());
  const device which = here.device();
  const release done(which);
  settle_options options;
  options.released_at = done.at;
  const settle_result result = settle({which}, options);
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::stable);
  EXPECT_EQ(result.devices.at(0).after_bytes, done.free_before + released_bytes);
}

TEST_P(Settle, MakesNoContext) {
  simgpu::scenario busy;
  busy.foreign_bytes = 1024_MiB;  // so that something might come back
  machine here(GetParam(), busy);
  settle_options options;
  options.released_at = steady_clock().now();
  options.max_wait = 50ms;
  EXPECT_EQ(settle(here.registry().devices(), options).status, settle_status::timed_out);
  EXPECT_EQ(here.gpu().contexts_created(), 0);
}

// --- who marks
// --------------------------------------------------------------------------------------

TEST_P(Settle, AResetMarksItsDevice) {
  machine here(GetParam());
  const device which = here.device();
  release_clock releases;
  reset_options options;
  options.releases = &releases;
  if (which.context_alive() == tristate::no) {
    EXPECT_FALSE(dev_reset(which, options).was_reset);
    EXPECT_EQ(releases.latest(), std::nullopt) << "there was nothing to release";
  }

  void* const address = which.allocate(1_MiB);
  EXPECT_EQ(error_of([&] { dev_reset(which, options); }).code(), status::busy);
  EXPECT_EQ(releases.latest(), std::nullopt) << "refused before anything was released";
  which.deallocate(address, 1_MiB);

  bool marked_before_hooks_end = false;
  const reset_hook hook(which, "after", {}, [&](const reset_event&) {
    marked_before_hooks_end = releases.last(which.name()).has_value();
  });
  EXPECT_TRUE(dev_reset(which, options).was_reset);
  EXPECT_TRUE(marked_before_hooks_end);
  EXPECT_EQ(releases.last(here.device(1).name()), std::nullopt);
}

TEST_P(Settle, AResetThatFailsLateMarksToo) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  release_clock releases;
  reset_options options;
  options.releases = &releases;
  options.reset = [](const device&) { throw error(status::backend, "not today"); };
  EXPECT_EQ(error_of([&] { dev_reset(which, options); }).code(), status::backend);
  EXPECT_NE(releases.last(which.name()), std::nullopt);
}

TEST_P(Settle, ASleepMarksTheDevicesThatItFreed) {
  machine here(GetParam());
  const device which = here.device();
  memory arena;
  const region weights = arena.allocate(which, 8_MiB);
  release_clock releases;
  sleeper_options options;
  options.releases = &releases;
  std::promise<bool> marked_before_callback;
  options.on_transition = [&](const transition_report& report) {
    if (report.way != transition_report::direction::sleep) return;
    marked_before_callback.set_value(releases.last(which.name()).has_value());
  };
  sleeper model(options);
  model.manage(arena);

  const time_point before = steady_clock().now();
  model.sleep(plan_for(sleep_level::offload));
  const auto marked = releases.last(which.name());
  ASSERT_NE(marked, std::nullopt);
  EXPECT_GE(*marked, before);
  EXPECT_TRUE(marked_before_callback.get_future().get());
  EXPECT_EQ(releases.last(here.device(1).name()), std::nullopt);
  model.wake();
  EXPECT_EQ(releases.last(which.name()), marked) << "waking releases nothing";
}

TEST_P(Settle, AfterASleepOneLookIsEnough) {
  simgpu::scenario busy;
  busy.foreign_bytes = 1024_MiB;  // so that something might come back
  machine here(GetParam(), busy);
  const device which = here.device();
  memory arena;
  const region weights = arena.allocate(which, 64_MiB);
  const char used = 1;  // so that its context is there before anything is measured
  which.copy_from_host(weights.acquire().address(), &used, sizeof used);
  const auto free_before = which.memory().free_bytes;
  release_clock releases;
  sleeper_options options;
  options.releases = &releases;
  sleeper model(options);
  model.manage(arena);
  model.sleep(plan_for(sleep_level::offload));

  const auto mark = releases.last_release(which.name());
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->gain, (release_gain{64_MiB, free_before}));
  const settle_result result = settle({which}, {.releases = &releases});
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::already_there);
  EXPECT_EQ(result.devices.at(0).samples, 1u);
}

class refuses_to_sleep final : public participant {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "model"; }
  void sleep(const sleep_plan&, transition&) override { throw error(status::busy, "not now"); }
  void wake(const lull::sleep_plan&, transition&) override {}
};

TEST_P(Settle, ASleepThatIsTakenBackMarksNothing) {
  machine here(GetParam());
  memory arena;
  const region weights = arena.allocate(here.device(), 8_MiB);
  release_clock releases;
  sleeper_options options;
  options.releases = &releases;
  sleeper model(options);
  model.add(std::make_shared<refuses_to_sleep>());  // sleeps last
  model.manage(arena);
  EXPECT_EQ(error_of([&] { model.sleep(plan_for(sleep_level::offload)); }).code(), status::busy);
  EXPECT_EQ(releases.latest(), std::nullopt);
}

// --- processes
// --------------------------------------------------------------------------------------

TEST_P(Settle, ProcessesAreListedWithoutAContext) {
  machine here(GetParam());
  const device which = here.device();
  if (GetParam().which == simgpu::vendor::musa) {
    EXPECT_FALSE(which.supports(capability::processes));
    EXPECT_EQ(error_of([&] { static_cast<void>(which.processes()); }).code(), status::unsupported);
    return;
  }
  ASSERT_TRUE(which.supports(capability::processes));
  // NVML as simulated always lists one that is not ours; the kernel's files as much as we say. Of
  // the processes in them, those that hold nothing are left out.
  std::vector<device_process> others{{1, 64_MiB}};
  if (GetParam().which == simgpu::vendor::hip) {
    EXPECT_THAT(which.processes(), IsEmpty());
    for (const int ordinal : {0, 1}) here.gpu().set_foreign_bytes(ordinal, 64_MiB);
  }
  EXPECT_EQ(which.processes(), others);
  EXPECT_EQ(here.gpu().contexts_created(), 0);

  void* const address = which.allocate(16_MiB);
  auto with_us = others;
  with_us.push_back({::getpid(), here.gpu().made().context_bytes + 16_MiB});
  EXPECT_EQ(which.processes(), with_us);
  EXPECT_EQ(here.device(1).processes(), others);
  which.deallocate(address, 16_MiB);
}

TEST_P(Settle, TheEndOfAChildThatIsStoppedSaysHowMuchComesBack) {
  machine here(GetParam());
  const device which = here.device();
  release_clock releases;
  process_options options;
  options.arguments = {"sleep", "1000"};
  options.releases = &releases;
  options.devices = {which, here.device(1)};
  process child(options);
  here.gpu().set_foreign_bytes(0, 1024_MiB, child.id());
  const auto free_before = which.memory().free_bytes;
  child.stop();
  here.gpu().set_foreign_bytes(0, 0);

  const auto mark = releases.last_release(which.name());
  ASSERT_TRUE(mark);
  ASSERT_TRUE(releases.last_release(here.device(1).name())) << "it was said to have memory there";
  if (!which.supports(capability::processes)) {
    EXPECT_FALSE(mark->gain.known());
    return;
  }
  EXPECT_EQ(mark->gain, (release_gain{1024_MiB, free_before}));
  EXPECT_FALSE(releases.last_release(here.device(1).name())->gain.known()) << "it had none";
  const settle_result result = settle({which}, {.releases = &releases});
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::already_there);
  EXPECT_EQ(result.devices.at(0).samples, 1u);
}

TEST_P(Settle, AChildThatEndsByItselfMarksWithoutAGain) {
  machine here(GetParam());
  release_clock releases;
  process_options options;
  options.arguments = {"true"};
  options.releases = &releases;
  process child(options);
  child.set_devices({here.device()});
  child.wait();
  const auto mark = releases.last_release(here.device().name());
  ASSERT_TRUE(mark);
  EXPECT_FALSE(mark->gain.known());
}

TEST_P(Settle, AProcessListThatCannotBeHadIsAnError) {
  if (GetParam().which != simgpu::vendor::cuda) GTEST_SKIP() << "only NVML can refuse it";
  const std::string question = "nvmlDeviceGetComputeRunningProcesses_v3";
  simgpu::scenario silent;
  silent.per_process = false;
  machine here(GetParam(), silent);
  const device which = here.device();
  EXPECT_EQ(error_of([&] { static_cast<void>(which.processes()); }).code(), status::unsupported);
  here.gpu().script.hang(question);
  EXPECT_EQ(error_of([&] { static_cast<void>(which.processes(20ms)); }).code(), status::timed_out);
  here.gpu().script.clear();
  while (here.gpu().script.hanging() != 0) std::this_thread::yield();
}

// --- stopping a process that was restored from a checkpoint
// ------------------------------------------

TEST_P(Settle, ARestoredProcessIsCheckpointedBeforeItIsKilled) {
  machine here(GetParam());
  const device which = here.device();
  if (!which.supports(capability::suspend)) {
    EXPECT_EQ(error_of([&] { static_cast<void>(checkpoint_before_kill(which)); }).code(),
              status::unsupported);
    return;
  }
  process_options options;
  options.arguments = {"sleep", "1000"};
  process child(options);
  stop_options how;
  how.grace = std::chrono::milliseconds{0};
  how.before_kill = checkpoint_before_kill(which);
  const int id = child.id();
  EXPECT_TRUE(child.stop(how).killed);
  EXPECT_EQ(here.gpu().process_state(id), 2) << "checkpointed";
  EXPECT_EQ(here.gpu().contexts_created(), 0);
}

TEST_P(Settle, ACheckpointThatFailsLeavesTheProcessUnlocked) {
  machine here(GetParam());
  const device which = here.device();
  if (!which.supports(capability::suspend)) GTEST_SKIP() << "the vendor has none";
  here.gpu().script.fail("cuCheckpointProcessCheckpoint", 1, 2);
  const error failure = error_of([&] { which.checkpoint_process(4711, std::chrono::seconds{1}); });
  EXPECT_EQ(failure.vendor()->call, "cuCheckpointProcessCheckpoint");
  EXPECT_EQ(here.gpu().process_state(4711), 0) << "running";
  EXPECT_EQ(error_of([&] { which.checkpoint_process(4711, std::chrono::milliseconds{0}); }).code(),
            status::invalid_argument);
}

#ifdef LULL_TEST_TOOL

// --- the command line
// -------------------------------------------------------------------------------

/// Runs the tool on one simulated device.
/// @param wrapper a command that runs the tool
// Where nothing is in use nothing can come back, and nobody waits for it.
constexpr const char* in_use = "devices=1,foreign=1GiB";

/// @param scenario as the simulated machine reads it
shell_result run_on_one_device(const std::string& arguments, const std::string& wrapper = "",
                               const std::string& scenario = "devices=1") {
  return run_shell("env SIMGPU=" + scenario + " SIMGPU_VENDORS=" + Settle::GetParam().name +
                   " LD_LIBRARY_PATH='" LULL_TEST_SIMGPU "' " + wrapper + " '" LULL_TEST_TOOL "' " +
                   arguments + " 2>&1");
}

TEST_P(Settle, TheCommandSettles) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "its files are those of the machine";
  const auto [code, output] = run_on_one_device("settle");
  EXPECT_EQ(code, 0) << output;
  EXPECT_THAT(output, HasSubstr("ms  " + GetParam().device));
  EXPECT_THAT(output, HasSubstr("8 GiB free"));
  EXPECT_THAT(output, HasSubstr("settled after"));
}

// A context would show: the simulated one takes 300 MiB.
TEST_P(Settle, TopShowsDevicesAndProcessesAndMakesNoContext) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "its files are those of the machine";
  const auto [code, output] = run_on_one_device("top --once --device " + GetParam().device);
  EXPECT_EQ(code, 0);
  EXPECT_THAT(output, testing::ContainsRegex(GetParam().device + " +8 GiB +0 B +8 GiB +0.0"));
  if (GetParam().which == simgpu::vendor::cuda) {
    EXPECT_THAT(output, testing::ContainsRegex("CUDA0 +1 +64 MiB"));
  } else {
    EXPECT_THAT(output, testing::Not(HasSubstr("PID")));
  }
}

TEST_P(Settle, RunWaitsForTheMemoryAndKeepsTheExitStatus) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "its files are those of the machine";
  const time_point before = steady_clock().now();
  const auto [code, output] = run_on_one_device("run -- sh -c 'exit 5'", "", in_use);
  EXPECT_EQ(code, 5);
  EXPECT_EQ(output, "");
  // Nothing is known of what the command held, so quiet counts after 1 s only.
  EXPECT_GE(steady_clock().now() - before, 1s);

  const auto impatient = run_on_one_device("run --max-wait 10ms -- sh -c 'exit 5'", "", in_use);
  EXPECT_EQ(impatient.exit_code, 5);
  EXPECT_THAT(impatient.output, HasSubstr("not all memory may be back: timed out"));
  EXPECT_THAT(impatient.output, HasSubstr(GetParam().device));
}

// Who stops the tool, a supervisor, wants the memory too before it starts the next one.
TEST_P(Settle, RunWaitsForTheMemoryOfACommandThatASignalStopped) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "its files are those of the machine";
  const time_point before = steady_clock().now();
  const auto [code, output] = run_on_one_device(
      "run -- sleep 1000", "timeout --foreground --preserve-status -s TERM 1", in_use);
  EXPECT_EQ(code, 128 + SIGTERM);
  EXPECT_EQ(output, "");
  EXPECT_GE(steady_clock().now() - before, 2s) << "1 s until the signal, 1 s of quiet";
}

#endif

INSTANTIATE_TEST_SUITE_P(Modules, Settle, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
