// What is done once per context, as cheaply as with a flag: at every reset anew, for whoever has
// opened the device, and for as long as the process lasts.

#include <lull/lull.h>

#include <atomic>
#include <optional>
#include <thread>
#include <type_traits>

#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;

static_assert(std::is_trivially_destructible_v<once_per_context>, "nothing happens at exit");
static_assert(std::is_trivially_destructible_v<lull_once>);

// Made of zeros, before any code runs.
constinit once_per_context in_static_memory;
lull_once c_in_static_memory;

class Once : public Vendor {};

lull_status count(void* user) {
  ++*static_cast<int*>(user);
  return LULL_OK;
}

TEST_P(Once, RunsInEveryContextOfEveryDevice) {
  machine here(GetParam());
  int times[2] = {};
  for (int round = 1; round <= 3; ++round) {
    for (const int ordinal : {0, 1, 0, 1}) {
      in_static_memory.call(here.device(ordinal), [&] { ++times[ordinal]; });
    }
    EXPECT_EQ(times[0], round);
    EXPECT_EQ(times[1], 1) << "the other device was not reset";
    here.device(0).context_create();
    dev_reset(here.device(0));
  }
}

TEST_P(Once, RunsInEveryContextFromCToo) {
  machine here(GetParam());
  const device which = here.device();
  const lull_generation* const context = &which.generation_counter();
  int times = 0;
  for (int round = 1; round <= 3; ++round) {
    EXPECT_EQ(lull_once_is_done(&c_in_static_memory, context), 0);
    EXPECT_EQ(lull_once_call(&c_in_static_memory, context, count, &times), LULL_OK);
    EXPECT_EQ(lull_once_call(&c_in_static_memory, context, count, &times), LULL_OK);
    EXPECT_EQ(lull_once_is_done(&c_in_static_memory, context), 1);
    EXPECT_EQ(times, round);
    which.context_create();
    dev_reset(which);
  }
}

// By mistake one flag for two devices: slow, and right.
TEST_P(Once, OfOneDeviceIsNotTakenForThatOfAnother) {
  machine here(GetParam());
  lull_once shared{};
  int times = 0;
  for (const int ordinal : {0, 0, 1, 1, 0}) {
    const lull_generation& context = here.device(ordinal).generation_counter();
    EXPECT_EQ(lull_once_call(&shared, &context, count, &times), LULL_OK);
  }
  EXPECT_EQ(times, 3);
}

TEST_P(Once, KnowsAResetThatAnotherRegistryMade) {
  once_per_context done;
  int times = 0;
  const lull_generation* counter = nullptr;
  {
    machine first(GetParam());
    const device which = first.device();
    counter = &which.generation_counter();
    done.call(which, [&] { ++times; });
    EXPECT_EQ(times, 1);
  }
  std::uint64_t after_first = lull_generation_count(counter);
  {
    machine second(GetParam());
    const device which = second.device();
    EXPECT_EQ(&which.generation_counter(), counter) << "it is the same device";
    EXPECT_GE(which.generation(), after_first) << "and its counter does not go back";
    which.context_create();
    dev_reset(which);
    EXPECT_GT(which.generation(), after_first);
    after_first = which.generation();
  }
  machine third(GetParam());
  EXPECT_GE(third.device().generation(), after_first);
  done.call(third.device(), [&] { ++times; });
  EXPECT_EQ(times, 2) << "the context of the first registry was reset by the second";
}

// A program that uses nothing but the driver's own calls has no other holder of the context: the
// module lets it go when it is closed.
TEST_P(Once, RunsAgainInTheContextThatTheNextRegistryMakes) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "there it is not retained";
  once_per_context done;
  std::optional<machine> here(GetParam());
  int made_in = 0;
  const auto raise = [&] { made_in = here->gpu().contexts_created(); };
  here->device().context_create();
  done.call(here->device(), raise);
  EXPECT_EQ(made_in, 1);
  here->close();
  EXPECT_EQ(here->gpu().take_stock().contexts, 0);
  here.emplace(GetParam());
  made_in = 0;
  here->device().context_create();
  done.call(here->device(), raise);
  EXPECT_EQ(made_in, 1);
}

TEST_P(Once, IsOfUseWhenEverythingElseIsGone) {
  lull_once done{};
  int times = 0;
  const lull_generation* counter = nullptr;
  {
    machine here(GetParam());
    counter = &here.device().generation_counter();
  }
  EXPECT_EQ(lull_once_call(&done, counter, count, &times), LULL_OK);
  EXPECT_EQ(lull_once_call(&done, counter, count, &times), LULL_OK);
  EXPECT_EQ(times, 1);
  in_static_memory.call(*counter, [&] { ++times; });
  in_static_memory.call(*counter, [&] { ++times; });
  EXPECT_EQ(times, 2);
}

TEST_P(Once, HasNotHappenedWhenItFailed) {
  machine here(GetParam());
  const device which = here.device();
  once_per_context done;
  int calls = 0;
  const auto fail_first = [&] {
    if (++calls == 1) throw std::runtime_error("no");
  };
  EXPECT_THROW(done.call(which, fail_first), std::runtime_error);
  done.call(which, fail_first);
  done.call(which, fail_first);
  EXPECT_EQ(calls, 2);

  lull_once from_c{};
  const lull_generation* const context = &which.generation_counter();
  const auto refuse = [](void*) { return LULL_ERROR_BACKEND; };
  EXPECT_EQ(lull_once_call(&from_c, context, refuse, nullptr), LULL_ERROR_CALLBACK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("LULL_ERROR_BACKEND"));
  EXPECT_EQ(lull_once_is_done(&from_c, context), 0);
  EXPECT_EQ(lull_once_call(&from_c, context, count, &calls), LULL_OK);
  EXPECT_EQ(lull_once_is_done(&from_c, context), 1);
  EXPECT_EQ(calls, 3);
}

TEST_P(Once, IsForgottenAgainWhenTheDeviceIsResetMeanwhile) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  once_per_context done;
  int times = 0;
  const auto and_reset = [&] {
    if (++times == 1) dev_reset(which);
  };
  done.call(which, and_reset);
  done.call(which, and_reset);
  done.call(which, and_reset);
  EXPECT_EQ(times, 2);
}

TEST_P(Once, RunsOnOneOfManyThreadsAndTheOthersSeeWhatItDid) {
  machine here(GetParam());
  const device which = here.device();
  for (int round = 0; round < 50; ++round) {
    once_per_context done;
    int value = 0;  // no atomic: the flag orders it
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        ++ready;
        while (ready < 4) std::this_thread::yield();
        done.call(which, [&] { ++value; });
        if (value != 1) ++wrong;
      });
    }
    for (std::thread& each : threads) each.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(value, 1);
  }
}

TEST_P(Once, HoldsUpNoOtherDevice) {
  machine here(GetParam());
  once_per_context done;
  const device first = here.device(0);
  const device second = here.device(1);
  int times = 0;
  done.call(first, [&] { std::thread([&] { done.call(second, [&] { ++times; }); }).join(); });
  EXPECT_EQ(times, 1);
}

// More than an object has room for in itself.
TEST(OncePerContext, RemembersAnyNumberOfDevices) {
  static once_per_context done;
  constexpr std::uint64_t count = 40;
  std::atomic<int> times{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t device = 1; device <= count; ++device) {
        const lull_generation context{7, device};
        done.call(context, [&] { ++times; });
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(times, static_cast<int>(count));
  const lull_generation next{8, count};
  done.call(next, [&] { ++times; });
  EXPECT_EQ(times, static_cast<int>(count) + 1);
}

TEST_P(Once, DevicesAreFoundByBackendAndOrdinal) {
  machine here(GetParam());
  for (const std::uint32_t ordinal : {0u, 1u}) {
    EXPECT_EQ(here.registry().find(GetParam().name, ordinal),
              here.device(static_cast<int>(ordinal)));
  }
  EXPECT_EQ(here.registry().find("host", 0).name(), "HOST");
  const error no_such = error_of([&] { static_cast<void>(here.registry().find("host", 3)); });
  EXPECT_EQ(no_such.code(), status::not_found);
  EXPECT_THAT(no_such.what(), HasSubstr("backend 'host' has no device 3; it has 1"));
  EXPECT_EQ(error_of([&] { static_cast<void>(here.registry().find("metal", 0)); }).code(),
            status::not_found);
}

INSTANTIATE_TEST_SUITE_P(Modules, Once, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
