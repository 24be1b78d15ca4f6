// A sleep at level `suspend`: nothing of the process stays on the device, and all that lives there
// is there afterwards.

#include <lull/lull.h>

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <vector>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

// As CUDA numbers them.

class SuspendSleep : public Vendor {
 protected:
  SuspendSleep() : here(GetParam()), which(here.device(0)), other(here.device(1)) {}

  void SetUp() override {
    if (!which.supports(capability::suspend)) GTEST_SKIP() << "the vendor cannot";
    for (const device& each : {which, other}) {
      weights.push_back(mem.allocate(each, 64_MiB, {.tag = "weights"}));
      std::memset(pattern.data(), 0x5a, pattern.size());
      each.copy_from_host(weights.back().acquire().address(), pattern.data(), pattern.size());
    }
    stream = which.stream_create();
    ASSERT_EQ(here.gpu().graph_create(0, 1_MiB, &graph), simgpu::code::ok);
    which.graph_adopt(graph);
  }
  void TearDown() override {
    if (graph != nullptr) {
      here.gpu().script.clear();
      which.graph_destroy(graph);
      which.stream_destroy(stream);
    }
    Vendor::TearDown();
  }

  sleeper_options options() {
    sleeper_options how;
    how.drain_timeout = 200ms;
    how.plan = plan_for(sleep_level::suspend);
    how.suspend.free_bytes = [this] { return free_bytes(); };
    return how;
  }
  /// As somebody outside of the process sees it.
  std::map<std::string, std::uint64_t> free_bytes() {
    std::map<std::string, std::uint64_t> free;
    for (int i = 0; i < 2; ++i) {
      const auto seen = here.gpu().observe(i);
      free[here.device(i).name()] = seen.total_bytes - seen.used_bytes;
    }
    return free;
  }
  [[nodiscard]] int state() const { return here.gpu().process_state(::getpid()); }
  [[nodiscard]] std::uint64_t used() const {
    return here.gpu().observe(0).used_bytes + here.gpu().observe(1).used_bytes;
  }
  /// Contents, graph and stream.
  void expect_all_there() {
    EXPECT_EQ(state(), running);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      std::vector<char> seen(pattern.size());
      const auto lease = weights[i].acquire();
      here.device(static_cast<int>(i)).copy_to_host(seen.data(), lease.address(), seen.size());
      EXPECT_EQ(seen, pattern);
    }
    EXPECT_EQ(here.gpu().graph_use(graph), simgpu::code::ok);
    which.stream_synchronize(stream);
  }

  machine here;
  const device which;
  const device other;
  memory mem;
  std::vector<region> weights;
  std::vector<char> pattern = std::vector<char>(1_MiB);
  stream_handle stream;
  void* graph = nullptr;
};

TEST_P(SuspendSleep, NothingStaysAndEverythingComesBack) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  EXPECT_THAT(supported_levels({which}), testing::Contains(sleep_level::suspend));
  const auto address = weights[0].acquire().address();
  for (int round = 0; round < 3; ++round) {
    const transition_report slept = sleeping.sleep();
    EXPECT_TRUE(slept.succeeded);
    EXPECT_THAT(slept.problems, IsEmpty());
    EXPECT_EQ(state(), suspended);
    EXPECT_EQ(used(), 0u) << "as somebody outside sees it";
    sleeping.wake();
    EXPECT_EQ(weights[0].acquire().address(), address);
    expect_all_there();
  }
}

TEST_P(SuspendSleep, WhatIsKeptTheDriverCarries) {
  sleeper_options how = options();
  how.plan.contents.otherwise = contents_action::keep;
  sleeper sleeping(how);
  sleeping.manage(mem);
  sleeping.sleep();
  EXPECT_EQ(used(), 0u);
  EXPECT_GE(here.gpu().carried_bytes(), 128_MiB);
  sleeping.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, ObserversAnswerAtOnceFromWhatWasKnown) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  const memory_info before = which.memory();
  sleeping.sleep();
  const auto begun = std::chrono::steady_clock::now();
  const memory_info seen = which.memory();
  EXPECT_EQ(which.context_alive(), tristate::cannot_tell);
  EXPECT_EQ(error_of([&] { static_cast<void>(which.processes()); }).code(), status::busy);
  EXPECT_EQ(sleeping.observe().state, sleep_state::asleep);
  EXPECT_EQ(weights[0].state(), residency::offloaded);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 50ms);
  EXPECT_EQ(seen.total_bytes, before.total_bytes);
  EXPECT_EQ(seen.used_by_process_bytes, std::nullopt) << "never a guess";
  EXPECT_EQ(seen.source, memory_source::unknown);
  // And what would wait for the driver is refused.
  const error refused = error_of([&] { which.synchronize(); });
  EXPECT_EQ(refused.code(), status::busy);
  EXPECT_THAT(refused.what(), HasSubstr("wake it first"));
  sleeping.wake();
  EXPECT_EQ(which.memory().source, before.source);
}

TEST_P(SuspendSleep, AFailureAtAnyCallLeavesItAwakeWithAllThere) {
  for (const char* call : {"cuCheckpointProcessGetState", "cuCheckpointProcessLock",
                           "cuCheckpointProcessCheckpoint"}) {
    sleeper sleeping(options());
    sleeping.manage(mem);
    here.gpu().script.fail(call, 1, 999);
    EXPECT_EQ(error_of([&] { sleeping.sleep(); }).code(), status::backend) << call;
    EXPECT_EQ(sleeping.observe().state, sleep_state::awake) << call;
    here.gpu().script.clear();
    expect_all_there();
    sleeping.sleep();
    sleeping.wake();
  }
}

TEST_P(SuspendSleep, WhatTheDriverDoesNotMoveIsToldInWordsAndAllIsAsBefore) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  here.gpu().hold_what_cannot_be_saved(::getpid(), false);
  const error failure = error_of([&] { sleeping.sleep(); });
  EXPECT_EQ(failure.code(), status::unsupported);
  EXPECT_THAT(failure.what(), testing::AllOf(HasSubstr("managed memory"), HasSubstr("exported"),
                                             HasSubstr("cuCheckpointProcessCheckpoint")));
  EXPECT_EQ(sleeping.observe().state, sleep_state::awake);
  EXPECT_TRUE(sleeping.observe().last->rolled_back);
  EXPECT_NE(which.memory().source, memory_source::unknown) << "questions are answered again";
  expect_all_there();
  // By the next rung it is left out.
  sleeping.sleep(plan_for(sleep_level::offload));
  EXPECT_EQ(error_of([&] { sleeping.deepen(plan_for(sleep_level::suspend)); }).code(),
            status::unsupported);
  EXPECT_EQ(sleeping.observe().plan, "offload");
  sleeping.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, ASaveThatRuinsTheProcessIsALossAndSaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto lose = [this] {
    sleeper sleeping(options());
    sleeping.manage(mem);
    here.gpu().hold_what_cannot_be_saved(::getpid(), true);
    const error failure = error_of([&] { sleeping.sleep(); });
    const bool rolled_back = sleeping.observe().last->rolled_back;
    const error again = error_of([&] { sleeping.wake(); });
    const auto tells = [](const error& each) {
      return std::string_view(each.what()).find("this process is lost") != std::string_view::npos;
    };
    const bool says_why =
        std::string_view(failure.what()).find("managed memory") != std::string_view::npos;
    const bool all_told = tells(failure) && says_why && tells(again) && !rolled_back &&
                          which.memory().source == memory_source::unknown;
    ::_exit(all_told ? 7 : 1);
  };
  EXPECT_EXIT(lose(), testing::ExitedWithCode(7), "");
}

TEST_P(SuspendSleep, ALockThatTimesOutLeavesItAwake) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  here.gpu().script.fail("cuCheckpointProcessLock", 1, 600);  // CUDA_ERROR_NOT_READY
  EXPECT_EQ(error_of([&] { sleeping.sleep(); }).code(), status::timed_out);
  EXPECT_EQ(sleeping.observe().state, sleep_state::awake);
  expect_all_there();
}

TEST_P(SuspendSleep, AQuestionThatHangsTimesItOutBeforeAnythingIsLocked) {
  sleeper_options how = options();
  how.plan.contents.otherwise = contents_action::offload;
  sleeper sleeping(how);
  sleeping.manage(mem);
  const std::uint64_t locks = here.gpu().script.calls("cuCheckpointProcessLock");
  here.gpu().script.hang("nvmlDeviceGetMemoryInfo");
  EXPECT_THROW(static_cast<void>(other.memory(10ms)), error);
  EXPECT_EQ(error_of([&] { sleeping.sleep(); }).code(), status::timed_out);
  EXPECT_EQ(here.gpu().script.calls("cuCheckpointProcessLock"), locks);
  here.gpu().script.clear();
  EXPECT_EQ(sleeping.observe().state, sleep_state::awake);
  EXPECT_TRUE(eventually([&] {
    try {
      return which.memory().free_bytes && other.memory().free_bytes;
    } catch (const error&) {
      return false;  // the question from before is being answered
    }
  }));
  expect_all_there();
}

TEST_P(SuspendSleep, ASleeperThatEndsLeavesNoProcessSuspended) {
  {
    sleeper sleeping(options());
    sleeping.manage(mem);
    sleeping.sleep();
    EXPECT_EQ(state(), suspended);
  }
  EXPECT_EQ(state(), running);
  mem.restore();
  expect_all_there();
}

TEST_P(SuspendSleep, WithoutRoomItStaysSuspendedAndWakesLater) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  sleeping.sleep();
  here.gpu().set_foreign_bytes(1, here.gpu().made().total_bytes - 100_MiB);
  const error failure = error_of([&] { sleeping.wake(); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_THAT(failure.what(), HasSubstr("on CUDA1, and 256 MiB are to be left there; 100 MiB are "
                                        "free"));
  EXPECT_EQ(here.gpu().script.calls("cuCheckpointProcessRestore"), 0u) << "never try and see";
  EXPECT_EQ(sleeping.observe().state, sleep_state::asleep);
  here.gpu().set_foreign_bytes(1, 0);
  sleeping.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, ARestoreThatFailsIsALossAndSaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // In a process of its own, since it is lost for good.
  const auto lose = [this] {
    sleeper sleeping(options());
    sleeping.manage(mem);
    sleeping.sleep();
    here.gpu().script.fail("cuCheckpointProcessRestore", 1, 2);
    const error failure = error_of([&] { sleeping.wake(); });
    const error again = error_of([&] { sleeping.wake(); });
    const auto tells = [](const error& each) {
      return each.code() == status::backend &&
             std::string_view(each.what()).find("this process is lost") != std::string_view::npos;
    };
    ::_exit(tells(failure) && tells(again) &&
                    here.gpu().script.calls("cuCheckpointProcessRestore") == 1
                ? 7
                : 1);
  };
  EXPECT_EXIT(lose(), testing::ExitedWithCode(7), "");
}

TEST_P(SuspendSleep, AnUnlockThatFailsIsTriedAgainByTheNextWake) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  sleeping.sleep();
  here.gpu().script.fail("cuCheckpointProcessUnlock", 1, 999);
  EXPECT_EQ(error_of([&] { sleeping.wake(); }).code(), status::backend);
  EXPECT_EQ(error_of([&] { which.synchronize(); }).code(), status::busy) << "it would wait";
  sleeping.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, ASaveThatFailsAndCannotBeUnlockedIsRepairedByTheNextWake) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  here.gpu().script.fail("cuCheckpointProcessCheckpoint", 1, 999);
  here.gpu().script.fail("cuCheckpointProcessUnlock", 1, 999);
  EXPECT_THAT(error_of([&] { sleeping.sleep(); }).what(), HasSubstr("is still locked"));
  EXPECT_EQ(sleeping.observe().state, sleep_state::asleep);
  sleeping.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, ADriverThatHangsIsGivenUpOnAndTheNextWakeGoesOnFromWhatCameOfIt) {
  const auto expect_given_up = [&](sleeper& by, const error& failure) {
    EXPECT_EQ(failure.code(), status::timed_out);
    EXPECT_THAT(failure.what(), HasSubstr("the driver has not returned after 20 ms"));
    EXPECT_EQ(by.observe().state, sleep_state::asleep);
    EXPECT_THAT(error_of([&] { by.wake(); }).what(), HasSubstr("still not returned"));
    EXPECT_EQ(which.memory().source, memory_source::unknown) << "nobody asks the driver";
    here.gpu().script.clear();
    EXPECT_TRUE(eventually([&] {
      try {
        by.wake();
        return true;
      } catch (const error& hanging) {
        EXPECT_EQ(hanging.code(), status::timed_out);
        return false;
      }
    }));
    EXPECT_EQ(state(), running);
  };
  sleeper_options how = options();
  how.suspend.driver_timeout = 20ms;
  {
    sleeper hasty(how);
    hasty.manage(mem);
    here.gpu().script.hang("cuCheckpointProcessCheckpoint");
    expect_given_up(hasty, error_of([&] { hasty.sleep(); }));
    expect_all_there();
  }
  // The one that saves has the time, the one that restores has not.
  memory little;
  const region small = little.allocate(which, 2_MiB);
  sleeper hasty(how);
  hasty.manage(little);
  sleeper patient(options());
  patient.manage(mem);
  hasty.sleep();
  patient.sleep();
  ASSERT_EQ(state(), suspended);
  here.gpu().script.hang("cuCheckpointProcessRestore");
  expect_given_up(hasty, error_of([&] { hasty.wake(); }));
  patient.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, WhatIsMissingIsKnownBeforeAnythingIsTouched) {
  sleeper_options blind = options();
  blind.suspend.free_bytes = {};
  const auto refusal = [&](sleeper_options how) {
    sleeper sleeping(std::move(how));
    sleeping.manage(mem);
    const error failure = error_of([&] { sleeping.sleep(); });
    EXPECT_EQ(sleeping.observe().state, sleep_state::awake);
    EXPECT_EQ(here.gpu().script.calls("cuCheckpointProcessLock"), 0u);
    return failure;
  };
  blind.suspend.observer = {"lull-no-such-program"};
  EXPECT_EQ(refusal(blind).code(), status::unsupported);
  for (const char* nonsense : {"exit 0", "while read x; do echo CUDA0; done",
                               "while read x; do echo CUDA0 1 CUDA1 -2; done"}) {
    blind.suspend.observer = {"sh", "-c", nonsense};
    EXPECT_THAT(refusal(blind).what(), HasSubstr("free on the devices")) << nonsense;
  }
  sleeper_options deaf = options();
  deaf.suspend.free_bytes = [] { return std::map<std::string, std::uint64_t>{}; };
  EXPECT_EQ(refusal(deaf).code(), status::unsupported);
  sleeper_options greedy = options();
  greedy.suspend.host_margin_bytes = std::uint64_t{1} << 50;
  EXPECT_EQ(refusal(greedy).code(), status::out_of_host_memory);
  sleeper nothing(options());
  EXPECT_EQ(error_of([&] { nothing.sleep(); }).code(), status::unsupported);
}

TEST_P(SuspendSleep, OneThatAnotherProgramHasLockedIsRefusedBeforeAnythingIsTouched) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  ASSERT_EQ(here.gpu().lock_process(::getpid()), simgpu::code::ok);
  const error failure = error_of([&] { sleeping.sleep(); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("locked already, by another program"));
  EXPECT_EQ(weights[0].state(), residency::resident);
  EXPECT_EQ(here.gpu().calls_that_waited(), 0);
  ASSERT_EQ(here.gpu().unlock_process(::getpid()), simgpu::code::ok);
  sleeping.sleep();
  sleeping.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, AProgramIsAskedWhereNoFunctionIs) {
  const scratch_folder folder;
  const std::string answer = (folder.path() / "free").string();
  const auto say = [&](const char* words) {
    std::ofstream(answer + ".new") << words << std::endl;
    std::filesystem::rename(answer + ".new", answer);  // one is being read, perhaps
  };
  sleeper_options how = options();
  how.suspend.free_bytes = {};
  how.suspend.observer = {"sh", "-c", "while read x; do cat " + answer + "; done"};
  sleeper sleeping(how);
  sleeping.manage(mem);
  say("CUDA0 8000000000 CUDA1 9000000");
  sleeping.sleep();
  EXPECT_EQ(state(), suspended);
  EXPECT_EQ(error_of([&] { sleeping.wake(); }).code(), status::out_of_device_memory)
      << "by what the program says of CUDA1";
  say("CUDA0 8000000000 CUDA1 8000000000");
  sleeping.wake();
  expect_all_there();
}

TEST_P(SuspendSleep, ASleepBecomesOneWithoutWakingAndStaysOneWhenItCannotGoDeeper) {
  sleeper sleeping(options());
  sleeping.manage(mem);
  for (const sleep_level from : {sleep_level::trim, sleep_level::offload}) {
    sleeping.sleep(plan_for(from));
    here.gpu().script.fail("cuCheckpointProcessCheckpoint", 1, 999);
    EXPECT_THROW(sleeping.deepen(plan_for(sleep_level::suspend)), error);
    EXPECT_EQ(sleeping.observe().plan, to_string(from));
    EXPECT_EQ(state(), running);
    here.gpu().script.clear();
    const transition_report deeper = sleeping.deepen(plan_for(sleep_level::suspend));
    EXPECT_EQ(state(), suspended);
    EXPECT_EQ(used(), 0u);
    EXPECT_EQ(sleeping.observe().plan, "suspend");
    const error refusal = error_of([&] { sleeping.deepen(plan_for(sleep_level::reset)); });
    EXPECT_EQ(refusal.code(), status::busy) << refusal.what();
    EXPECT_EQ(state(), suspended) << "what lives on the device keeps its context";
    EXPECT_EQ(sleeping.observe().plan, "suspend");
    sleeping.wake();
    expect_all_there();
  }
}

TEST_P(SuspendSleep, OfSeveralSleepersTheLastSuspendsAndTheFirstRestores) {
  memory more;
  const region cache = more.allocate(other, 32_MiB);
  sleeper one(options());
  sleeper two(options());
  one.manage(mem);
  two.manage(more);
  const transition_report first = one.sleep();
  EXPECT_THAT(first.problems, testing::ElementsAre(HasSubstr("not suspended yet")));
  EXPECT_EQ(state(), running);
  two.sleep();
  EXPECT_EQ(state(), suspended);
  EXPECT_EQ(used(), 0u);
  one.wake();
  expect_all_there();
  EXPECT_EQ(two.observe().state, sleep_state::asleep);
  one.sleep();
  EXPECT_EQ(state(), suspended) << "the other still sleeps";
  two.wake();
  EXPECT_EQ(state(), running);
  one.wake();
  expect_all_there();
}

INSTANTIATE_TEST_SUITE_P(Modules, SuspendSleep, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
