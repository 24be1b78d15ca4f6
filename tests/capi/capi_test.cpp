// What the C program cannot show: bad arguments everywhere, struct versions, threads, and
// exceptions.

#include <lull/lull.h>

#include <cstring>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::HasSubstr;
using testing::StrEq;

template <class Struct>
Struct sized() {
  Struct value{};
  value.struct_size = sizeof value;
  return value;
}

class CApi : public testing::Test {
 protected:
  CApi() {
    const lull_setting capacity{"host", "capacity_bytes", "16MiB"};
    lull_registry_options options;
    lull_registry_options_init(&options);
    options.search = 0;
    options.settings = &capacity;
    options.setting_count = 1;
    EXPECT_EQ(lull_registry_create(&options, &registry_), LULL_OK);
    EXPECT_EQ(lull_registry_find(registry_, "HOST", &device_), LULL_OK);
    EXPECT_EQ(lull_memory_create(nullptr, &memory_), LULL_OK);
    EXPECT_EQ(lull_memory_allocate(memory_, device_, 1 << 20, nullptr, &region_), LULL_OK);
    EXPECT_EQ(lull_sleeper_create(nullptr, &sleeper_), LULL_OK);
  }
  ~CApi() override {
    lull_sleeper_destroy(sleeper_);
    lull_region_destroy(region_);
    lull_memory_destroy(memory_);
    lull_device_release(device_);
    lull_registry_destroy(registry_);
  }

  lull_registry* registry_ = nullptr;
  lull_device* device_ = nullptr;
  lull_memory* memory_ = nullptr;
  lull_region* region_ = nullptr;
  lull_sleeper* sleeper_ = nullptr;
};

void expect_null_is_named(lull_status status, const char* parameter) {
  EXPECT_EQ(status, LULL_ERROR_INVALID_ARGUMENT) << parameter;
  EXPECT_THAT(lull_last_error_message(), StrEq(std::string(parameter) + " is null"));
}

TEST_F(CApi, EveryNullHandleIsNamed) {
  char byte = 0;
  void* address = nullptr;
  std::size_t count = 0;
  std::int64_t ms = 0;
  lull_device* device = nullptr;
  lull_region* region = nullptr;
  lull_region_lease* region_lease = nullptr;
  lull_report* report = nullptr;
  lull_lease lease{};
  lull_residency residency{};
  auto module = sized<lull_module_info>();
  auto device_info = sized<lull_device_info>();
  auto memory_info = sized<lull_memory_info>();
  auto region_info = sized<lull_region_info>();
  auto snapshot = sized<lull_sleeper_snapshot>();
  auto summary = sized<lull_report_summary>();
  auto step = sized<lull_step_report>();
  auto on_device = sized<lull_device_report>();
  const auto plan = sized<lull_eviction_plan>();
  const auto who = sized<lull_participant>();

  expect_null_is_named(lull_cancel_request(nullptr), "cancel");
  expect_null_is_named(lull_registry_find(nullptr, "HOST", &device), "registry");
  expect_null_is_named(lull_registry_select(nullptr, "", nullptr, 0, &count), "registry");
  expect_null_is_named(lull_registry_load(nullptr, "x", nullptr), "registry");
  expect_null_is_named(lull_registry_unload(nullptr, "x"), "registry");
  expect_null_is_named(lull_registry_module(nullptr, 0, &module), "registry");
  expect_null_is_named(lull_registry_add(registry_, nullptr, nullptr), "ops");
  expect_null_is_named(lull_device_get_info(nullptr, &device_info), "device");
  expect_null_is_named(lull_device_get_memory(nullptr, &memory_info), "device");
  expect_null_is_named(lull_device_allocate(nullptr, 1, &address), "device");
  expect_null_is_named(lull_device_deallocate(nullptr, &byte, 1), "device");
  expect_null_is_named(lull_device_copy_to_host(nullptr, &byte, &byte, 1), "device");
  expect_null_is_named(lull_device_copy_from_host(nullptr, &byte, &byte, 1), "device");
  expect_null_is_named(lull_device_fill(nullptr, &byte, 0, 1), "device");
  expect_null_is_named(lull_memory_allocate(nullptr, device_, 1, nullptr, &region), "memory");
  expect_null_is_named(lull_memory_allocate(memory_, nullptr, 1, nullptr, &region), "device");
  expect_null_is_named(lull_memory_evict(nullptr, &plan, nullptr, nullptr), "memory");
  expect_null_is_named(lull_memory_restore(nullptr, nullptr, 0, nullptr, nullptr), "memory");
  expect_null_is_named(lull_memory_region(nullptr, 0, &region_info), "memory");
  expect_null_is_named(lull_region_residency(nullptr, &residency), "region");
  expect_null_is_named(lull_region_acquire(nullptr, &region_lease), "region");
  expect_null_is_named(lull_region_refill(nullptr, nullptr, nullptr), "region");
  expect_null_is_named(lull_refill_target_write(nullptr, 0, &byte, 1), "target");
  expect_null_is_named(lull_sleeper_add(nullptr, &who), "sleeper");
  expect_null_is_named(lull_sleeper_manage(nullptr, memory_), "sleeper");
  expect_null_is_named(lull_sleeper_manage(sleeper_, nullptr), "memory");
  expect_null_is_named(lull_sleeper_acquire(nullptr, -1, nullptr, &lease), "sleeper");
  expect_null_is_named(lull_sleeper_try_acquire(nullptr, &lease), "sleeper");
  expect_null_is_named(lull_sleeper_observe(nullptr, &snapshot), "sleeper");
  expect_null_is_named(lull_sleeper_sleep(nullptr, nullptr, nullptr), "sleeper");
  expect_null_is_named(lull_sleeper_wake(nullptr, -1, nullptr), "sleeper");
  expect_null_is_named(lull_sleeper_poll(nullptr, nullptr), "sleeper");
  expect_null_is_named(lull_sleeper_next_deadline(nullptr, &ms), "sleeper");
  expect_null_is_named(lull_sleeper_set_idle_time(nullptr, -1), "sleeper");
  expect_null_is_named(lull_sleeper_last_report(nullptr, &report), "sleeper");
  expect_null_is_named(lull_report_get_summary(nullptr, &summary), "report");
  expect_null_is_named(lull_report_get_step(nullptr, 0, &step), "report");
  expect_null_is_named(lull_report_get_device(nullptr, 0, &on_device), "report");
}

TEST_F(CApi, EveryNullOutputIsNamed) {
  expect_null_is_named(lull_format_bytes(1, nullptr, 1), "text");
  expect_null_is_named(lull_parse_bytes("1", nullptr), "bytes");
  expect_null_is_named(lull_cancel_create(nullptr), "cancel");
  expect_null_is_named(lull_registry_create(nullptr, nullptr), "registry");
  expect_null_is_named(lull_registry_shared(nullptr), "registry");
  expect_null_is_named(lull_registry_find(registry_, "HOST", nullptr), "device");
  expect_null_is_named(lull_registry_find(registry_, nullptr, &device_), "name");
  expect_null_is_named(lull_registry_module(registry_, 0, nullptr), "info");
  expect_null_is_named(lull_device_get_info(device_, nullptr), "info");
  expect_null_is_named(lull_device_get_memory(device_, nullptr), "info");
  expect_null_is_named(lull_device_allocate(device_, 1, nullptr), "address");
  expect_null_is_named(lull_memory_create(nullptr, nullptr), "memory");
  expect_null_is_named(lull_memory_allocate(memory_, device_, 1, nullptr, nullptr), "region");
  expect_null_is_named(lull_memory_evict(memory_, nullptr, nullptr, nullptr), "plan");
  expect_null_is_named(lull_memory_restore(memory_, nullptr, 1, nullptr, nullptr), "tags");
  expect_null_is_named(lull_region_acquire(region_, nullptr), "lease");
  expect_null_is_named(lull_sleeper_create(nullptr, nullptr), "sleeper");
  expect_null_is_named(lull_sleeper_acquire(sleeper_, -1, nullptr, nullptr), "lease");
  expect_null_is_named(lull_sleeper_observe(sleeper_, nullptr), "snapshot");
  EXPECT_EQ(lull_sleeper_observe(sleeper_, nullptr), LULL_ERROR_INVALID_ARGUMENT);
}

TEST(CApiNull, DestroyAndReleaseAcceptNull) {
  lull_cancel_destroy(nullptr);
  lull_registry_destroy(nullptr);
  lull_device_release(nullptr);
  lull_memory_destroy(nullptr);
  lull_region_destroy(nullptr);
  lull_region_lease_release(nullptr);
  lull_sleeper_destroy(nullptr);
  lull_report_destroy(nullptr);
  lull_lease_release(nullptr);
  EXPECT_EQ(lull_region_address(nullptr), nullptr);
  EXPECT_EQ(lull_region_size(nullptr), 0u);
}

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
  EXPECT_EQ(lull_device_get_memory(device_, &info), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("info->struct_size is 0"));
  const lull_eviction_plan plan{};
  EXPECT_EQ(lull_memory_evict(memory_, &plan, nullptr, nullptr), LULL_ERROR_INVALID_ARGUMENT);
}

TEST_F(CApi, AnOlderResultStructIsNotWrittenBeyondItsEnd) {
  auto info = sized<lull_memory_info>();
  info.struct_size = offsetof(lull_memory_info, free_bytes);
  info.free_bytes = 4711;
  EXPECT_EQ(lull_device_get_memory(device_, &info), LULL_OK);
  EXPECT_EQ(info.total_bytes, 16u << 20);
  EXPECT_EQ(info.free_bytes, 4711u);
}

TEST_F(CApi, TheLastErrorBelongsToTheThread) {
  EXPECT_EQ(lull_parse_bytes("here", nullptr), LULL_ERROR_INVALID_ARGUMENT);
  const std::string mine = lull_last_error_message();
  std::thread([] {
    EXPECT_STREQ(lull_last_error_message(), "");
    EXPECT_EQ(lull_last_error_status(), LULL_OK);
    std::uint64_t bytes = 0;
    EXPECT_EQ(lull_parse_bytes("there", &bytes), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(lull_last_error_message(), HasSubstr("there"));
  }).join();
  EXPECT_EQ(lull_last_error_message(), mine);
  auto info = sized<lull_memory_info>();
  EXPECT_EQ(lull_device_get_memory(device_, &info), LULL_OK);
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
  EXPECT_EQ(residency, LULL_UNFILLED);
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
  who.sleep = [](void*) { return LULL_ERROR_BUSY; };
  who.wake = [](void*) { return LULL_OK; };
  EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK);
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, nullptr, nullptr), LULL_ERROR_CALLBACK);
  auto seen = sized<lull_sleeper_snapshot>();
  EXPECT_EQ(lull_sleeper_observe(sleeper_, &seen), LULL_OK);
  EXPECT_EQ(seen.state, LULL_AWAKE);
  EXPECT_EQ(seen.failed_sleeps, 1u);
}

TEST_F(CApi, AWaitEndsAtItsTimeoutAndByItsCancelObject) {
  EXPECT_EQ(lull_sleeper_manage(sleeper_, memory_), LULL_OK);
  std::promise<void> open;
  auto who = sized<lull_participant>();
  who.name = "slow";
  who.sleep = [](void*) { return LULL_OK; };
  who.wake = [](void* user) {
    static_cast<std::promise<void>*>(user)->get_future().wait();
    return LULL_OK;
  };
  who.user = &open;
  EXPECT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK);
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, nullptr, nullptr), LULL_OK);

  lull_lease lease{};
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, 5, nullptr, &lease), LULL_ERROR_TIMED_OUT);
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, -2, nullptr, &lease), LULL_ERROR_INVALID_ARGUMENT);
  lull_cancel* cancel = nullptr;
  EXPECT_EQ(lull_cancel_create(&cancel), LULL_OK);
  auto waiter = std::async(std::launch::async, [&] {
    lull_lease none{};
    return lull_sleeper_acquire(sleeper_, -1, cancel, &none);
  });
  auto seen = sized<lull_sleeper_snapshot>();
  while (seen.waiting == 0) EXPECT_EQ(lull_sleeper_observe(sleeper_, &seen), LULL_OK);
  EXPECT_EQ(lull_cancel_request(cancel), LULL_OK);
  EXPECT_EQ(waiter.get(), LULL_ERROR_CANCELLED);
  lull_cancel_destroy(cancel);
  open.set_value();
  EXPECT_EQ(lull_sleeper_acquire(sleeper_, -1, nullptr, &lease), LULL_OK);
  lull_lease_release(&lease);
}

TEST_F(CApi, ATimeoutThatCannotBeExpressedIsRefused) {
  lull_reset_options options;
  lull_reset_options_init(&options);
  for (const std::int64_t bad : {std::int64_t{-1}, INT64_MAX}) {
    options.drain_timeout_ms = bad;
    EXPECT_EQ(lull_device_reset(device_, &options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(lull_last_error_message(), HasSubstr("drain_timeout_ms"));
  }
}

TEST_F(CApi, ValuesOutsideAnEnumerationAreRefused) {
  auto plan = sized<lull_eviction_plan>();
  plan.otherwise = static_cast<lull_contents_action>(7);
  EXPECT_EQ(lull_memory_evict(memory_, &plan, nullptr, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  lull_transfer_options options;
  lull_transfer_options_init(&options);
  options.backing = static_cast<lull_backing_kind>(7);
  plan.otherwise = LULL_OFFLOAD;
  EXPECT_EQ(lull_memory_evict(memory_, &plan, &options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  options.backing = LULL_BACKING_FILE;
  EXPECT_EQ(lull_memory_evict(memory_, &plan, &options, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "backing_path is null");
}

TEST(CApiRegistry, SharedHandlesCanBeDestroyed) {
  for (int i = 0; i < 2; ++i) {
    lull_registry* registry = nullptr;
    ASSERT_EQ(lull_registry_shared(&registry), LULL_OK);
    lull_device* device = nullptr;
    EXPECT_EQ(lull_registry_find(registry, "HOST", &device), LULL_OK);
    lull_device_release(device);
    lull_registry_destroy(registry);
  }
}

}  // namespace
