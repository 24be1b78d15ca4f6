// Resetting devices: what it refuses, what it releases, what it reports, and what is told about it.

#include <atomic>
#include <thread>

#include "support/expect_error.hpp"
#include "support/no_threads.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

class Reset : public Vendor {};

/// What a simulated machine with a per-process view says is left.
std::optional<std::uint64_t> if_known(std::uint64_t bytes) {
  return Reset::GetParam().per_process ? std::optional{bytes} : std::nullopt;
}

TEST_P(Reset, TakesTheContextAwayAndMeasuresThatNothingIsLeft) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  which.context_create();
  const reset_report report = dev_reset(which);
  EXPECT_TRUE(report.was_reset);
  EXPECT_EQ(report.device, GetParam().device);
  EXPECT_EQ(report.generation, first_generation + 1);
  EXPECT_EQ(which.generation(), first_generation + 1);
  EXPECT_EQ(report.residue_bytes(), if_known(0));
  if (GetParam().per_process) {
    EXPECT_EQ(report.freed_bytes(), here.gpu().made().context_bytes);
  }
  EXPECT_THAT(report.problems, IsEmpty());
  std::vector<std::string> steps;
  for (const step_report& each : report.steps) steps.push_back(each.name);
  EXPECT_THAT(steps,
              ElementsAre("hooks before", "drain", "release", "reset", "hooks after", "settle"));
  EXPECT_EQ(here.gpu().take_stock(), simgpu::books{});
  EXPECT_EQ(here.gpu().contexts_created(), 1) << "measuring made none";
  EXPECT_NE(which.context_alive(), tristate::yes);
}

TEST_P(Reset, TenTimesWithUseInBetweenLeavesNoDrift) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  for (std::uint64_t round = 1; round <= 10; ++round) {
    void* const address = which.allocate(8_MiB);
    const auto stream = which.stream_create();
    which.stream_destroy(stream);
    which.deallocate(address, 8_MiB);
    EXPECT_EQ(dev_reset(which).generation, first_generation + round);
    EXPECT_EQ(here.gpu().take_stock(), simgpu::books{});
  }
}

TEST_P(Reset, OfADeviceWithoutAContextDoesNothingAndSaysSo) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  if (which.context_alive() == tristate::cannot_tell)
    GTEST_SKIP() << "in a container HIP cannot tell";
  int called = 0;
  const reset_hook hook(
      which, "h", [&](const auto&) { ++called; }, [&](const auto&) { ++called; });
  const reset_report report = dev_reset(which);
  EXPECT_FALSE(report.was_reset);
  EXPECT_EQ(report.generation, first_generation);
  EXPECT_EQ(called, 0);
  EXPECT_EQ(here.gpu().contexts_created(), 0);
}

TEST_P(Reset, IsRefusedWhileSomethingLivesAndSaysWhat) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  void* const address = which.allocate(2_MiB);
  const auto stream = which.stream_create();
  memory arena;
  std::optional<region> weights = arena.allocate(which, 4_MiB);
  const auto before = here.gpu().take_stock();

  const error failure = error_of([&] { dev_reset(which); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr(GetParam().device));
  EXPECT_THAT(failure.what(), HasSubstr("1 allocation (2 MiB), 1 stream, "
                                        "1 piece of stable-address memory (4 MiB)"));
  EXPECT_EQ(here.gpu().take_stock(), before);
  EXPECT_EQ(which.generation(), first_generation);

  which.deallocate(address, 2_MiB);
  which.stream_destroy(stream);
  weights.reset();
  EXPECT_TRUE(dev_reset(which).was_reset);
}

TEST_P(Reset, ToldToDropTakesEverythingAndHandlesFromBeforeAreStale) {
  machine here(GetParam());
  const device which = here.device();
  void* const address = which.allocate(2_MiB);
  const auto stream = which.stream_create();
  void* const pinned = which.pinned_allocate(4096);
  void* graph = nullptr;
  ASSERT_EQ(here.gpu().graph_create(0, 1_MiB, &graph), simgpu::code::ok);
  which.graph_adopt(graph);
  const std::uint64_t physical = which.vm_create(2_MiB);
  memory arena;
  const region weights = arena.allocate(which, 4_MiB, {.name = "w"});

  const reset_report report = dev_reset(which, {.drop = true});
  EXPECT_THAT(report.dropped, HasSubstr("1 allocation (2 MiB), 1 stream, 1 pinned host buffer"));
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.residue_bytes(), if_known(0));
  simgpu::books left = here.gpu().take_stock();
  EXPECT_EQ(left.reservations, 1) << "a region's address stays";
  left.reservations = 0;
  EXPECT_EQ(left, simgpu::books{});

  const auto stale = [](const auto& work) { return error_of(work).code() == status::stale; };
  EXPECT_TRUE(stale([&] { which.deallocate(address, 2_MiB); }));
  EXPECT_TRUE(stale([&] { which.stream_synchronize(stream); }));
  EXPECT_TRUE(stale([&] { which.stream_destroy(stream); }));
  EXPECT_TRUE(stale([&] { which.pinned_free(pinned); }));
  EXPECT_TRUE(stale([&] { which.graph_destroy(graph); }));
  EXPECT_TRUE(stale([&] { which.vm_destroy(physical); }));
  if (which.supports(capability::graph_upload)) {
    EXPECT_TRUE(stale([&] { which.graph_upload(graph, {}); }));
  }
  EXPECT_EQ(weights.state(), residency::discarded);
  arena.restore();
  EXPECT_EQ(weights.state(), residency::unfilled);
}

TEST_P(Reset, DropsNoRegionThatIsLeased) {
  machine here(GetParam());
  const device which = here.device();
  memory arena;
  const region weights = arena.allocate(which, 4_MiB, {.name = "w"});
  const auto lease = weights.acquire();
  const error failure = error_of([&] { dev_reset(which, {.drop = true}); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("region 'w'"));
  EXPECT_EQ(weights.state(), residency::resident);
}

TEST_P(Reset, ReleasesWhatAVendorsResetLeavesBehind) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  // The program allocates from the vendor's pool itself; freed memory stays in the pool, and the
  // pool outlives the context.
  void* address = nullptr;
  ASSERT_EQ(here.gpu().pool_allocate(0, 32_MiB, &address), simgpu::code::ok);
  ASSERT_EQ(here.gpu().pool_free(address), simgpu::code::ok);
  EXPECT_EQ(here.gpu().take_stock().pool_bytes, 32_MiB);
  EXPECT_EQ(dev_reset(which).residue_bytes(), if_known(0));
  EXPECT_EQ(here.gpu().take_stock(), simgpu::books{});
}

TEST_P(Reset, ReportsTheResidueThatNoResetCanFree) {
  simgpu::scenario stubborn;
  stubborn.residue_bytes = 376_MiB;
  machine here(GetParam(), stubborn);
  const device which = here.device();
  which.context_create();
  for (int round = 0; round < 2; ++round) {
    which.context_create();
    const reset_report report = dev_reset(which);
    EXPECT_TRUE(report.was_reset);
    EXPECT_EQ(report.residue_bytes(), if_known(376_MiB));
  }
}

TEST_P(Reset, WaitsForMemoryThatTheDriverReturnsLate) {
  simgpu::scenario late;
  late.reclaim_delay = 60ms;
  machine here(GetParam(), late);
  const device which = here.device();
  which.context_create();
  EXPECT_EQ(dev_reset(which).residue_bytes(), if_known(0));
}

TEST_P(Reset, CallsHooksInReverseAndForwardOrderAndTellsThem) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  std::vector<std::string> calls;
  const auto hook = [&](const std::string& name) {
    return reset_hook(
        which, name, [&calls, name](const reset_event&) { calls.push_back("before " + name); },
        [&calls, name](const reset_event& event) {
          calls.push_back((event.was_reset ? "after " : "kept ") + name);
        });
  };
  const reset_hook first = hook("a");
  std::optional<reset_hook> second = hook("b");
  dev_reset(which);
  EXPECT_THAT(calls, ElementsAre("before b", "before a", "after a", "after b"));

  calls.clear();
  which.context_create();
  void* const address = which.allocate(1_MiB);
  EXPECT_EQ(error_of([&] { dev_reset(which); }).code(), status::busy);
  EXPECT_THAT(calls, ElementsAre("before b", "before a", "kept a", "kept b"));

  calls.clear();
  which.deallocate(address, 1_MiB);
  second.reset();
  dev_reset(which);
  EXPECT_THAT(calls, ElementsAre("before a", "after a"));
}

TEST_P(Reset, AHookCanRefuseAndThoseCalledAlreadyAreToldAgain) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  std::vector<std::string> calls;
  const reset_hook refusing(
      which, "engine", [](const reset_event&) { throw error(status::busy, "a batch is running"); },
      [&](const reset_event&) { calls.emplace_back("engine"); });
  const reset_hook other(which, "other", {}, [&](const reset_event& event) {
    calls.emplace_back(event.was_reset ? "other: reset" : "other: kept");
  });
  const error failure = error_of([&] { dev_reset(which); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("engine"));
  EXPECT_THAT(failure.what(), HasSubstr("a batch is running"));
  EXPECT_THAT(calls, ElementsAre("other: kept"));
  EXPECT_EQ(which.context_alive(), tristate::yes);
}

TEST_P(Reset, AHookThatCameWhileOthersRanCanStillRefuse) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  std::optional<reset_hook> late;
  const reset_hook first(
      which, "first",
      [&](const reset_event&) {
        late.emplace(
            which, "late", [](const reset_event&) {}, [](const reset_event&) {},
            [](const reset_event&) { throw error(status::busy, "a region came meanwhile"); });
      },
      {});
  const error failure = error_of([&] { dev_reset(which, {.drop = true}); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("a region came meanwhile"));
  EXPECT_EQ(which.context_alive(), tristate::yes);
}

TEST_P(Reset, AHookMayTakeLongerThanWorkIsWaitedFor) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  manual_clock time;
  const reset_hook slow(which, "saves", [&](const reset_event&) { time.advance(1h); }, {});
  EXPECT_TRUE(dev_reset(which, {.drain_timeout = 10s, .clock = &time}).was_reset);
}

TEST_P(Reset, WaitsWithoutEndWhenTold) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  EXPECT_TRUE(dev_reset(which, {.drain_timeout = duration::max()}).was_reset);
}

TEST_P(Reset, WhateverAHookThrowsIsAnErrorThatNamesIt) {
  machine here(GetParam());
  const std::vector<device> one{here.device()};
  one[0].context_create();
  const reset_hook odd(one[0], "odd", [](const reset_event&) { throw 1; }, {});
  const auto results = dev_reset_all(one);
  ASSERT_TRUE(results.at(0).failure);
  EXPECT_EQ(results[0].failure->code(), status::callback);
  EXPECT_THAT(results[0].failure->what(), HasSubstr("'odd'"));
}

TEST_P(Reset, ARefusedResetLogsWhatTheHooksAfterThrew) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  const reset_hook refusing(which, "engine",
                            [](const reset_event&) { throw error(status::busy, "no"); }, {});
  const reset_hook failing(which, "cache", {},
                           [](const reset_event&) { throw std::runtime_error("cannot warm up"); });
  std::string logged;
  reset_options options;
  options.log = log_sink([&](log_level, std::string_view line) { logged += line; });
  EXPECT_EQ(error_of([&] { dev_reset(which, options); }).code(), status::busy);
  EXPECT_THAT(logged, HasSubstr("cannot warm up"));
}

TEST_P(Reset, AHookBeforeMayFreeWhatItOwns) {
  machine here(GetParam());
  const device which = here.device();
  auto stream = which.stream_create();
  const reset_hook hook(
      which, "streams", [&](const reset_event& event) { event.device.stream_destroy(stream); },
      [&](const reset_event& event) { stream = event.device.stream_create(); });
  EXPECT_TRUE(dev_reset(which).was_reset);
  EXPECT_NO_THROW(which.stream_synchronize(stream));
  which.stream_destroy(stream);
}

TEST_P(Reset, UsesTheProgramsOwnFunctionWhenGivenOne) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  int called = 0;
  reset_options options;
  options.reset = [&](const device& asked) {
    EXPECT_EQ(asked.name(), GetParam().device);
    ++called;
    EXPECT_EQ(here.gpu().reset(0), simgpu::code::ok);
  };
  EXPECT_TRUE(dev_reset(which, options).was_reset);
  EXPECT_EQ(called, 1);
  // The module's own idea of the context follows: the next use makes another one.
  void* const address = which.allocate(1_MiB);
  which.deallocate(address, 1_MiB);
  EXPECT_EQ(here.gpu().contexts_created(), 2);
}

TEST_P(Reset, KeepsOtherOperationsOutWhileItRuns) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  which.context_create();
  // The reset is slow; meanwhile another thread allocates, and gets its memory in the new context.
  std::thread other;
  std::atomic<bool> started{false};
  void* address = nullptr;
  reset_options options;
  options.reset = [&](const device&) {
    other = std::thread([&] {
      started = true;
      address = which.allocate(1_MiB);
    });
    while (!started) std::this_thread::yield();
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(here.gpu().take_stock().allocations, 0);
    EXPECT_EQ(here.gpu().reset(0), simgpu::code::ok);
    // Observing is not held up.
    EXPECT_NE(which.memory().free_bytes, std::nullopt);
    EXPECT_EQ(which.context_alive() == tristate::yes, GetParam().which == simgpu::vendor::hip);
  };
  EXPECT_TRUE(dev_reset(which, options).was_reset);
  other.join();
  EXPECT_EQ(which.generation(), first_generation + 1);
  EXPECT_NO_THROW(which.deallocate(address, 1_MiB));
}

TEST_P(Reset, GivesUpOnWorkThatDoesNotEnd) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  which.context_create();
  const std::string synchronize = GetParam().name + "DeviceSynchronize";
  here.gpu().script.hang(synchronize);
  reset_options options;
  options.drain_timeout = 50ms;
  const error failure = error_of([&] { dev_reset(which, options); });
  EXPECT_EQ(failure.code(), status::timed_out);
  EXPECT_EQ(which.generation(), first_generation);
  EXPECT_EQ(which.context_alive(), tristate::yes);
  here.gpu().script.clear();
  while (here.gpu().script.hanging() != 0) std::this_thread::yield();
  EXPECT_TRUE(dev_reset(which).was_reset);
}

TEST_P(Reset, AllAtOnceReportsEachDevice) {
  machine here(GetParam());
  const std::vector<device> both{here.device(0), here.device(1)};
  both[0].context_create();
  both[1].context_create();
  void* const address = both[1].allocate(1_MiB);
  const auto results = dev_reset_all(both);
  ASSERT_EQ(results.size(), 2u);
  ASSERT_FALSE(results[0].failure);
  EXPECT_TRUE(results[0].report.was_reset);
  ASSERT_TRUE(results[1].failure);
  EXPECT_EQ(results[1].failure->code(), status::busy);
  both[1].deallocate(address, 1_MiB);
}

TEST_P(Reset, WithoutThreadsAllAreTriedOneAfterTheOther) {
  machine here(GetParam());
  const std::vector<device> both{here.device(0), here.device(1)};
  for (const device& each : both) {
    each.context_create();
    static_cast<void>(each.memory());  // has its thread
    static_cast<void>(each.context_alive());
  }
  {
    const no_threads now;
    // Waiting for work needs a thread too, which can be given up on.
    for (const reset_result& each : dev_reset_all(both)) {
      ASSERT_TRUE(each.failure);
      EXPECT_EQ(each.failure->code(), status::out_of_host_memory) << each.failure->what();
    }
  }
  for (const reset_result& each : dev_reset_all(both)) {
    EXPECT_FALSE(each.failure);
    EXPECT_TRUE(each.report.was_reset);
  }
}

TEST_P(Reset, IsOneForAllRegistriesOfTheProcess) {
  machine here(GetParam());
  const device which = here.device();
  registry_options options;
  options.search = false;
  options.module_paths = {here.registry().modules().back().path};
  const registry second(options);
  const device same = second.find(which.name());
  which.context_create();
  dev_reset(which);
  EXPECT_EQ(same.generation(), which.generation());
}

TEST_P(Reset, IsRefusedWhenARegionCameBackMeanwhile) {
  machine here(GetParam());
  const device which = here.device();
  memory arena;
  std::function<void()> meanwhile = [] {};
  const reset_hook last(which, "last", [&](const reset_event&) { meanwhile(); }, {});
  const region weights = arena.allocate(which, 4_MiB, {.name = "w"});
  meanwhile = [&] { std::thread([&] { arena.restore(); }).join(); };
  const error failure = error_of([&] { dev_reset(which, {.drop = true}); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("region 'w'"));
  EXPECT_EQ(here.gpu().take_stock().mappings, 1) << "what it thinks it has it has";
}

TEST_P(Reset, AHookIsGoneWhenItsDestructorReturns) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  std::atomic<bool> entered{false};
  std::atomic<bool> left{false};
  std::atomic<bool> gone{false};
  std::optional<reset_hook> hook;
  hook.emplace(
      which, "h",
      [&](const reset_event&) {
        entered = true;
        std::this_thread::sleep_for(20ms);
        left = true;
      },
      [&](const reset_event&) { EXPECT_FALSE(gone); });
  std::thread resetting([&] { dev_reset(which); });
  while (!entered) std::this_thread::yield();
  hook.reset();
  gone = true;
  EXPECT_TRUE(left);
  resetting.join();
}

TEST_P(Reset, AHookMayRemoveItself) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  std::optional<reset_hook> hook;
  hook.emplace(
      which, "h", [&](const reset_event&) { hook.reset(); },
      [](const reset_event&) { ADD_FAILURE() << "called after its destruction"; });
  EXPECT_TRUE(dev_reset(which).was_reset);
}

TEST_P(Reset, ASleeperCanGoAsDeepAsTheContext) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  EXPECT_THAT(supported_levels({which}), testing::Contains(sleep_level::reset));
  memory arena;
  const region weights = arena.allocate(which, 4_MiB, {.name = "w"});
  const std::vector<std::byte> sent(4_MiB, std::byte{7});
  which.copy_from_host(weights.address(), sent.data(), sent.size());
  sleeper idle;
  idle.manage(arena);

  sleep_plan plan = plan_for(sleep_level::reset);
  plan.contents.otherwise = contents_action::offload;
  const transition_report slept = idle.sleep(plan);
  EXPECT_TRUE(slept.succeeded);
  EXPECT_EQ(slept.devices.at(0).after.used_by_process_bytes, if_known(0));
  EXPECT_EQ(here.gpu().take_stock().used_bytes, 0u);
  EXPECT_EQ(which.generation(), first_generation + 1);

  const auto lease = idle.acquire();
  std::vector<std::byte> received(sent.size());
  which.copy_to_host(received.data(), weights.address(), received.size());
  EXPECT_EQ(received, sent);
}

// A process that sleeps without a context gives up its regions, or ends, without making one.
TEST_P(Reset, WhatIsLeftOfRegionsGoesWithoutAContext) {
  machine here(GetParam());
  const device which = here.device();
  memory arena;
  std::optional<region> weights = arena.allocate(which, 4_MiB, {.name = "w"});
  sleeper idle;
  idle.manage(arena);
  idle.sleep(plan_for(sleep_level::reset));
  const int contexts = here.gpu().contexts_created();
  weights.reset();
  EXPECT_EQ(here.gpu().contexts_created(), contexts);
  EXPECT_EQ(here.gpu().take_stock(), simgpu::books{});
}

TEST_P(Reset, DestroysNoCaptureHalfWay) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  which.context_create();
  constexpr int stream_capture_unsupported = 900;
  here.gpu().script.fail(GetParam().name + "DeviceSynchronize", 1, stream_capture_unsupported);
  EXPECT_EQ(error_of([&] { dev_reset(which); }).code(), status::busy);
  EXPECT_EQ(which.generation(), first_generation);
  EXPECT_TRUE(dev_reset(which).was_reset);
}

TEST_P(Reset, ASleepWhoseResetIsRefusedIsTakenBack) {
  machine here(GetParam());
  const device which = here.device();
  memory arena;
  const region weights = arena.allocate(which, 4_MiB, {.name = "w"});
  void* const stray = which.allocate(1_MiB);
  sleeper idle;
  idle.manage(arena);
  sleep_plan plan = plan_for(sleep_level::reset);
  plan.contents.otherwise = contents_action::offload;
  const error failure = error_of([&] { idle.sleep(plan); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("1 allocation (1 MiB)"));
  EXPECT_EQ(idle.observe().state, sleep_state::awake);
  EXPECT_EQ(weights.state(), residency::resident);
  which.deallocate(stray, 1_MiB);
}

TEST(ResetLevel, IsRefusedWhereNoDeviceHasAContext) {
  registry_options options;
  options.search = false;
  const registry only_host(options);
  const device host = only_host.find("HOST");
  EXPECT_THAT(supported_levels({host}), testing::Not(testing::Contains(sleep_level::reset)));
  EXPECT_EQ(error_of([&] { dev_reset(host); }).code(), status::unsupported);
  memory arena;
  const region weights = arena.allocate(host, 1_MiB);
  sleeper idle;
  idle.manage(arena);
  const error failure = error_of([&] { idle.sleep(plan_for(sleep_level::reset)); });
  EXPECT_EQ(failure.code(), status::unsupported);
  EXPECT_THAT(failure.what(), HasSubstr("HOST"));
  EXPECT_EQ(weights.state(), residency::resident);
}

INSTANTIATE_TEST_SUITE_P(Modules, Reset, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
