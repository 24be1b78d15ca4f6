// liblull-torch.so on the simulated CUDA: what PyTorch calls, and its sleep.

#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/torch_library.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;

constexpr unsigned char old = 0x11;
constexpr unsigned char fresh = 0x22;

/// Why an allocation throws; empty when it does not.
template <class Allocate>
std::string refusal_of(Allocate&& allocate) {
  try {
    static_cast<void>(allocate());
    return {};
  } catch (const std::exception& failure) {
    return failure.what();
  }
}

std::size_t free_bytes() {
  return first_device().memory().free_bytes;
}

TEST(Torch, TensorsLeaveTheDeviceAndComeBackToTheirAddresses) {
  tensor large(64 * MiB, "weights", old);
  tensor odd(5 * MiB + 17, "weights", fresh);
  tensor tiny(3, "weights", old);
  const void* const address = large.address();
  for (int cycle = 0; cycle < 3; ++cycle) {
    const std::size_t awake = free_bytes();
    ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
    EXPECT_GE(free_bytes(), awake + 69 * MiB);
    ASSERT_TRUE(wake()) << torch_error();
    EXPECT_EQ(large.address(), address);
    EXPECT_TRUE(large.is_whole() && odd.is_whole() && tiny.is_whole());
  }
}

TEST(Torch, ADeviceThatThereIsNotIsRefusedInWords) {
  EXPECT_THAT(refusal_of([] { return CALL(lull_torch_alloc)(1, 99, nullptr); }),
              HasSubstr("no device 99"));
  void* address = nullptr;
  EXPECT_EQ(CALL(lull_torch_try_alloc)(1, 99, &address), LULL_ERROR_NOT_FOUND);
  EXPECT_THAT(torch_error(), HasSubstr("no device 99"));
  EXPECT_EQ(address, nullptr);
}

TEST(Torch, WhereDeviceMemoryIsShortAPoolGetsNullAndTheRestAnException) {
  constexpr ssize_t too_much = ssize_t{1} << 50;
  EXPECT_EQ(CALL(lull_torch_pool_alloc)(too_much, 0, nullptr), nullptr);
  EXPECT_EQ(CALL(lull_torch_error_status)(), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_NE(refusal_of([] { return CALL(lull_torch_alloc)(too_much, 0, nullptr); }), "");
}

TEST(Torch, ASleepOfSomeTagsLeavesTheOthersAlone) {
  tensor weights(8 * MiB, "weights", old);
  tensor cache(8 * MiB, "kv", fresh);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD, {"kv"}))) << torch_error();
  EXPECT_TRUE(weights.is_whole());
  EXPECT_NE(CALL(lull_torch_is_asleep)("kv"), 0);
  EXPECT_EQ(CALL(lull_torch_is_asleep)("weights"), 0);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
  ASSERT_TRUE(wake({"kv"})) << torch_error();
  EXPECT_TRUE(cache.is_whole());
  EXPECT_NE(CALL(lull_torch_is_asleep)("weights"), 0);
  ASSERT_TRUE(wake({"weights", "nothing has this one"})) << torch_error();
  EXPECT_TRUE(weights.is_whole());
  EXPECT_EQ(CALL(lull_torch_is_asleep)("not there yet"), 0);
}

TEST(Torch, WhatIsAsleepCannotBeAllocated) {
  tensor weights(2 * MiB, "weights", old);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD, {"weights"}))) << torch_error();
  EXPECT_THAT(refusal_of([] { return new tensor(MiB, "weights", old); }),
              HasSubstr("'weights' is asleep"));
  EXPECT_TRUE(tensor(MiB, "kv", fresh).is_whole());
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
  EXPECT_THAT(refusal_of([] { return new tensor(MiB, "never seen", old); }),
              HasSubstr("'never seen' is asleep"));
  ASSERT_TRUE(wake()) << torch_error();
  EXPECT_TRUE(tensor(MiB, "weights", fresh).is_whole());
}

TEST(Torch, WhatIsDiscardedAndWrittenAgainIsKeptByTheNextOffload) {
  tensor weights(4 * MiB, "weights", old);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_DISCARD))) << torch_error();
  ASSERT_TRUE(wake()) << torch_error();
  weights.write(fresh);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
  ASSERT_TRUE(wake()) << torch_error();
  EXPECT_TRUE(weights.is_whole());
}

TEST(Torch, ASecondDeeperSleepGivesUpTheBackups) {
  tensor weights(4 * MiB, "weights", old);
  tensor cache(4 * MiB, "kv", old);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_DISCARD, {"kv"}))) << torch_error();
  const auto all = regions();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].residency, LULL_RESIDENCY_OFFLOADED);
  EXPECT_EQ(all[1].residency, LULL_RESIDENCY_DISCARDED);
  ASSERT_TRUE(wake()) << torch_error();
  EXPECT_TRUE(weights.is_whole());
}

TEST(Torch, AFreeWhileAsleepIsHonoured) {
  std::optional<tensor> gone;
  tensor stays(4 * MiB, "weights", old);
  gone.emplace(32 * MiB, "weights", old);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
  const std::size_t before = regions().size();
  gone.reset();
  EXPECT_EQ(regions().size(), before - 1);
  const std::size_t asleep = free_bytes();
  ASSERT_TRUE(wake()) << torch_error();
  EXPECT_GE(free_bytes() + 8 * MiB, asleep) << "what was freed came back";
  EXPECT_TRUE(stays.is_whole());
}

TEST(Torch, WithoutRoomAWakeFailsAndEverythingSleepsOn) {
  tensor weights(64 * MiB, "weights", old);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
  CALL(lull_torch_set_enabled)(0);
  const std::size_t all = free_bytes();
  void* const other = CALL(lull_torch_alloc)(static_cast<ssize_t>(all - 32 * MiB), 0, nullptr);
  CALL(lull_torch_set_enabled)(1);
  EXPECT_FALSE(wake());
  EXPECT_EQ(CALL(lull_torch_error_status)(), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(torch_error(), HasSubstr("missing"));
  EXPECT_NE(CALL(lull_torch_is_asleep)("weights"), 0);
  CALL(lull_torch_free)(other, 0, 0, nullptr);
  ASSERT_TRUE(wake()) << torch_error();
  EXPECT_TRUE(weights.is_whole());
}

TEST(Torch, WhatIsAllocatedWhileDisabledStays) {
  EXPECT_EQ(CALL(lull_torch_set_enabled)(0), 1);
  void* const stays = CALL(lull_torch_alloc)(2 * MiB, 0, nullptr);
  std::thread([] { EXPECT_EQ(CALL(lull_torch_set_enabled)(1), 1) << "it is the thread's"; }).join();
  EXPECT_EQ(CALL(lull_torch_set_enabled)(1), 0);
  const first_device device;
  device.write(stays, std::vector<unsigned char>(MiB, old));
  lull_torch_snapshot seen{};
  seen.struct_size = sizeof seen;
  ASSERT_EQ(CALL(lull_torch_observe)(&seen), LULL_OK);
  EXPECT_EQ(seen.plain_bytes, 2 * MiB);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_DISCARD))) << torch_error();
  EXPECT_EQ(device.read(stays, MiB), std::vector<unsigned char>(MiB, old));
  CALL(lull_torch_free)(stays, 0, 0, nullptr);
  ASSERT_TRUE(wake()) << torch_error();
}

TEST(Torch, APlanThatWouldEndItsContextIsRefused) {
  lull_sleep_plan reset{};
  CALL(lull_sleep_plan_init)(&reset, LULL_LEVEL_RESET);
  EXPECT_EQ(CALL(lull_torch_sleep)(&reset, nullptr, nullptr), LULL_ERROR_UNSUPPORTED);
  EXPECT_THAT(torch_error(), HasSubstr("suspend"));
}

TEST(Torch, SuspendedNothingStaysAndFreesAreHonouredWhenItIsBack) {
  tensor weights(16 * MiB, "weights", old);
  std::optional<tensor> gone;
  gone.emplace(16 * MiB, "weights", fresh);
  CALL(lull_torch_set_enabled)(0);
  void* const carried = CALL(lull_torch_alloc)(2 * MiB, 0, nullptr);
  void* const freed = CALL(lull_torch_alloc)(2 * MiB, 0, nullptr);
  CALL(lull_torch_set_enabled)(1);
  const std::size_t awake = free_bytes();
  const first_device device;
  device.write(carried, std::vector<unsigned char>(MiB, old));

  lull_report* contents = nullptr;
  lull_report* context = nullptr;
  const plan suspend(LULL_LEVEL_SUSPEND);
  ASSERT_EQ(CALL(lull_torch_sleep)(suspend.get(), &contents, &context), LULL_OK) << torch_error();
  EXPECT_NE(contents, nullptr);
  EXPECT_NE(context, nullptr);
  CALL(lull_report_destroy)(contents);
  CALL(lull_report_destroy)(context);
  lull_torch_snapshot seen{};
  seen.struct_size = sizeof seen;
  ASSERT_EQ(CALL(lull_torch_observe)(&seen), LULL_OK);
  EXPECT_EQ(seen.suspended, 1);
  EXPECT_THAT(refusal_of([] { return new tensor(MiB, "kv", old); }), HasSubstr("asleep"));
  gone.reset();
  CALL(lull_torch_free)(freed, 0, 0, nullptr);

  ASSERT_TRUE(wake()) << torch_error();
  EXPECT_TRUE(weights.is_whole());
  EXPECT_EQ(device.read(carried, MiB), std::vector<unsigned char>(MiB, old));
  EXPECT_EQ(free_bytes(), awake + 18 * MiB);
  CALL(lull_torch_free)(carried, 0, 0, nullptr);
}

TEST(Torch, SuspendedAWakeOfSomeTagsBringsTheProcessAndThese) {
  tensor weights(4 * MiB, "weights", old);
  tensor cache(4 * MiB, "kv", fresh);
  ASSERT_TRUE(sleep_by(plan(LULL_LEVEL_SUSPEND))) << torch_error();
  ASSERT_TRUE(wake({"weights"})) << torch_error();
  EXPECT_TRUE(weights.is_whole());
  EXPECT_NE(CALL(lull_torch_is_asleep)("kv"), 0);
  ASSERT_TRUE(wake({"kv"})) << torch_error();
  EXPECT_TRUE(cache.is_whole());
}

TEST(Torch, TheBackendCannotChangeUnderMemory) {
  tensor one(MiB, "weights", old);
  EXPECT_EQ(CALL(lull_torch_set_backend)("host"), LULL_ERROR_BUSY);
  EXPECT_EQ(CALL(lull_torch_set_backend)("cuda"), LULL_OK);
  EXPECT_STREQ(CALL(lull_torch_backend)(), "cuda");
  EXPECT_EQ(CALL(lull_torch_set_backend)(""), LULL_ERROR_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace lull::test
