// What the C program cannot show: bad arguments everywhere, struct versions, threads, and
// exceptions.

#include <lull/lull.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"

namespace {

using lull::test::sized;
using testing::HasSubstr;
using testing::StrEq;

class CApi : public lull::test::c_host_test {
 protected:
  CApi() {
    EXPECT_EQ(lull_memory_create(nullptr, &memory_), LULL_OK);
    EXPECT_EQ(lull_memory_allocate(memory_, device_, 1 << 20, nullptr, &region_), LULL_OK);
    EXPECT_EQ(lull_sleeper_create(nullptr, &sleeper_), LULL_OK);
  }
  ~CApi() override {
    lull_sleeper_destroy(sleeper_);
    lull_region_destroy(region_);
    lull_memory_destroy(memory_);
  }

  lull_memory* memory_ = nullptr;
  lull_region* region_ = nullptr;
  lull_sleeper* sleeper_ = nullptr;
};

TEST(CApiVersions, AnOlderOptionsStructGetsDefaultsForWhatItLacks) {
  lull_memory_options options;
  lull_memory_options_init(&options);
  options.struct_size = offsetof(lull_memory_options, poison_unfilled);
  options.chunk_bytes = 1 << 20;
  options.log = [](void*, lull_log_level, const char*) { FAIL() << "not part of the old struct"; };
  lull_memory* memory = nullptr;
  EXPECT_EQ(lull_memory_create(&options, &memory), LULL_OK);
  lull_memory_destroy(memory);
}

TEST(CApiVersions, ANewerOneIsAcceptedAsLongAsTheRestIsZero) {
  struct {
    lull_memory_options known;
    std::uint64_t unknown;
  } newer{};
  lull_memory_options_init(&newer.known);
  newer.known.struct_size = sizeof newer;
  lull_memory* memory = nullptr;
  EXPECT_EQ(lull_memory_create(&newer.known, &memory), LULL_OK);
  lull_memory_destroy(memory);
  newer.unknown = 1;
  EXPECT_EQ(lull_memory_create(&newer.known, &memory), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("options->struct_size"));
}

TEST_F(CApi, AStructWithoutASizeIsRefused) {
  lull_memory_info info{};
  EXPECT_EQ(lull_device_memory(device_, LULL_PROBE_TIMEOUT, &info), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("info->struct_size is 0"));
  const lull_transfer_options options{};
  const lull_eviction_plan plan{};
  EXPECT_EQ(lull_memory_evict(memory_, &plan, &options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
}

// What stands in a struct that was never initialized is no size, and is not read up to there.
TEST_F(CApi, AStructOfASizeThatNoneHasIsRefusedUnread) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const pages =
      ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  ASSERT_EQ(::mprotect(static_cast<char*>(pages) + page, page, PROT_NONE), 0);
  // Zeros up to the end of what can be read.
  auto* const options = reinterpret_cast<lull_transfer_options*>(static_cast<char*>(pages) + page -
                                                                 sizeof(lull_transfer_options));
  lull_transfer_options_init(options);
  const lull_eviction_plan plan{};
  for (const std::size_t size : {SIZE_MAX, SIZE_MAX / 2, std::size_t{1} << 20, sizeof *options - 1,
                                 sizeof(std::size_t), std::size_t{1}}) {
    options->struct_size = size;
    EXPECT_EQ(lull_memory_evict(memory_, &plan, options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(lull_last_error_message(),
                HasSubstr("options->struct_size is " + std::to_string(size)));
  }
  auto info = sized<lull_memory_info>();
  info.struct_size = SIZE_MAX;
  EXPECT_EQ(lull_device_memory(device_, LULL_PROBE_TIMEOUT, &info), LULL_ERROR_INVALID_ARGUMENT);
  ::munmap(pages, 2 * page);
}

TEST_F(CApi, AnOlderResultStructIsNotWrittenBeyondItsEnd) {
  auto info = sized<lull_memory_info>();
  info.struct_size = offsetof(lull_memory_info, free_bytes);
  info.free_bytes = 4711;
  EXPECT_EQ(lull_device_memory(device_, LULL_PROBE_TIMEOUT, &info), LULL_OK);
  EXPECT_EQ(info.total_bytes, 16u << 20);
  EXPECT_EQ(info.free_bytes, 4711u);
}

TEST_F(CApi, TheLastErrorBelongsToTheThread) {
  EXPECT_EQ(lull_bytes_parse("here", nullptr), LULL_ERROR_INVALID_ARGUMENT);
  const std::string mine = lull_last_error_message();
  std::thread([] {
    EXPECT_STREQ(lull_last_error_message(), "");
    EXPECT_EQ(lull_last_error_status(), LULL_OK);
    std::uint64_t bytes = 0;
    EXPECT_EQ(lull_bytes_parse("there", &bytes), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(lull_last_error_message(), HasSubstr("there"));
  }).join();
  EXPECT_EQ(lull_last_error_message(), mine);
  auto info = sized<lull_memory_info>();
  EXPECT_EQ(lull_device_memory(device_, LULL_PROBE_TIMEOUT, &info), LULL_OK);
  EXPECT_EQ(lull_last_error_message(), mine) << "success leaves it alone";
}

TEST_F(CApi, AVendorsFailureIsKeptWhole) {
  void* address = nullptr;
  EXPECT_EQ(lull_device_allocate(device_, 64 << 20, &address), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  auto failure = sized<lull_vendor_failure>();
  EXPECT_EQ(lull_last_error_vendor(&failure), LULL_OK);
  EXPECT_STREQ(failure.device, "HOST");
  EXPECT_THAT(failure.words, HasSubstr("missing"));
  EXPECT_EQ(lull_registry_unload(registry_, "none"), LULL_ERROR_NOT_FOUND);
  EXPECT_EQ(lull_last_error_vendor(&failure), LULL_ERROR_NOT_FOUND);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("none"));
}

TEST_F(CApi, AFailingCallbackFailsTheOperation) {
  const auto refuse = [](void*, const lull_refill_target*) -> lull_status { return LULL_ERROR_IO; };
  EXPECT_EQ(lull_region_refill(region_, refuse, nullptr), LULL_ERROR_CALLBACK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("LULL_ERROR_IO"));
  lull_residency residency{};
  EXPECT_EQ(lull_region_residency(region_, &residency), LULL_OK);
  EXPECT_EQ(residency, LULL_RESIDENCY_UNFILLED);
}

TEST_F(CApi, ExceptionsOfCallbacksDoNotCross) {
  const auto throws = [](void*, const lull_refill_target*) -> lull_status {
    throw std::runtime_error("from C++");
  };
  EXPECT_EQ(lull_region_refill(region_, throws, nullptr), LULL_ERROR_INTERNAL);
  EXPECT_STREQ(lull_last_error_message(), "from C++");
  const auto throws_odd = [](void*, const lull_refill_target*) -> lull_status { throw 1; };
  EXPECT_EQ(lull_region_refill(region_, throws_odd, nullptr), LULL_ERROR_INTERNAL);
}

TEST_F(CApi, AParticipantThatFailsKeepsTheSleeperAwake) {
  auto who = sized<lull_participant>();
  who.name = "model";
  who.sleep = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_ERROR_BUSY; };
  who.wake = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
  EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK);
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, nullptr, nullptr), LULL_ERROR_CALLBACK);
  auto seen = sized<lull_sleeper_snapshot>();
  EXPECT_EQ(lull_sleeper_observe(sleeper_, &seen), LULL_OK);
  EXPECT_EQ(seen.state, LULL_STATE_AWAKE);
  EXPECT_EQ(seen.failed_sleeps, 1u);
}

TEST_F(CApi, AWaitEndsAtItsTimeoutAndByItsCancelObject) {
  EXPECT_EQ(lull_sleeper_manage_memory(sleeper_, memory_), LULL_OK);
  std::promise<void> open;
  auto who = sized<lull_participant>();
  who.name = "slow";
  who.sleep = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
  who.wake = [](void* user, const lull_sleep_plan*, lull_transition*) {
    static_cast<std::promise<void>*>(user)->get_future().wait();
    return LULL_OK;
  };
  who.user = &open;
  EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK);
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, nullptr, nullptr), LULL_OK);

  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, 5 * LULL_MILLISECOND, nullptr, &lease),
            LULL_ERROR_TIMED_OUT);
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, -2, nullptr, &lease), LULL_ERROR_INVALID_ARGUMENT);
  lull_cancel* cancel = nullptr;
  EXPECT_EQ(lull_cancel_create(&cancel), LULL_OK);
  auto waiter = std::async(std::launch::async, [&] {
    lull_lease none{};
    return lull_sleeper_acquire(sleeper_, LULL_FOREVER, cancel, &none);
  });
  auto seen = sized<lull_sleeper_snapshot>();
  while (seen.waiting == 0) EXPECT_EQ(lull_sleeper_observe(sleeper_, &seen), LULL_OK);
  EXPECT_EQ(lull_cancel_request(cancel), LULL_OK);
  EXPECT_EQ(waiter.get(), LULL_ERROR_CANCELLED);
  lull_cancel_destroy(cancel);
  open.set_value();
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, LULL_FOREVER, nullptr, &lease), LULL_OK);
  lull_lease_release(&lease);
}

TEST_F(CApi, ATimeoutThatCannotBeExpressedIsRefused) {
  lull_reset_options options;
  lull_reset_options_init(&options);
  for (const std::int64_t bad : {std::int64_t{-1}, INT64_MIN}) {
    options.settle_timeout_ns = bad;
    EXPECT_EQ(lull_device_reset(device_, &options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(lull_last_error_message(), HasSubstr("options->settle_timeout_ns"));
  }
}

TEST_F(CApi, ValuesOutsideAnEnumerationAreRefused) {
  lull_eviction_plan plan{};
  plan.otherwise = static_cast<lull_contents_action>(7);
  EXPECT_EQ(lull_memory_evict(memory_, &plan, nullptr, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "plan->otherwise is 7; its values are 0 to 2");
  const lull_tag_action odd{"weights", static_cast<lull_contents_action>(-1)};
  plan = {LULL_CONTENTS_KEEP, &odd, 1};
  EXPECT_EQ(lull_memory_evict(memory_, &plan, nullptr, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "plan->tags[0].action is -1; its values are 0 to 2");
  plan = {};
  lull_transfer_options options;
  lull_transfer_options_init(&options);
  options.backing = static_cast<lull_backing_kind>(7);
  plan.otherwise = LULL_CONTENTS_OFFLOAD;
  EXPECT_EQ(lull_memory_evict(memory_, &plan, &options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "options->backing is 7; its values are 0 to 2");
  options.backing = LULL_BACKING_FILE;
  EXPECT_EQ(lull_memory_evict(memory_, &plan, &options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "options->backing_path is null");
}

TEST(CApiRegistry, SharedHandlesCanBeDestroyed) {
  for (int i = 0; i < 2; ++i) {
    lull_registry* registry = nullptr;
    ASSERT_EQ(lull_registry_shared(&registry), LULL_OK);
    lull_device* device = nullptr;
    EXPECT_EQ(lull_registry_find(registry, "HOST", &device), LULL_OK);
    lull_device_destroy(device);
    lull_registry_destroy(registry);
  }
}

}  // namespace
