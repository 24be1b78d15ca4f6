// Settling and the release clock by the C API.

#include <lull/bytes.hpp>
#include <lull/lull.h>

#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"

namespace {

using namespace lull::literals;
using lull::test::sized;
using testing::HasSubstr;

/// A host device of 16 MiB of its own, so that what is free does not move.
class CSettle : public lull::test::c_host_test {
 protected:
  CSettle() {
    EXPECT_EQ(lull_release_clock_create(&releases_), LULL_OK);
    lull_settle_options_init(&options_);
    options_.releases = releases_;
  }
  ~CSettle() override { lull_release_clock_destroy(releases_); }

  lull_settlement_info settle() {
    lull_settlement* done = nullptr;
    EXPECT_EQ(lull_devices_settle(&device_, 1, &options_, &done), LULL_OK)
        << lull_last_error_message();
    auto summary = sized<lull_settlement_info>();
    EXPECT_EQ(lull_settlement_describe(done, &summary), LULL_OK);
    devices_.clear();
    auto device = sized<lull_device_settlement>();
    for (std::size_t i = 0; lull_settlement_device(done, i, &device) == LULL_OK; ++i) {
      devices_.push_back(device);
    }
    EXPECT_EQ(devices_.size(), summary.device_count);
    EXPECT_EQ(lull_last_error_status(), LULL_ERROR_NOT_FOUND);
    lull_settlement_destroy(done);
    return summary;
  }

  std::int64_t last(const char* device) {
    std::int64_t ago_ns = -2;
    EXPECT_EQ(lull_release_clock_last(releases_, device, &ago_ns), LULL_OK);
    return ago_ns;
  }

  lull_release_clock* releases_ = nullptr;
  lull_settle_options options_{};
  std::vector<lull_device_settlement> devices_;
};

TEST_F(CSettle, TheClockRemembersPerDevice) {
  EXPECT_EQ(last(nullptr), LULL_UNKNOWN_NS);
  EXPECT_EQ(last("HOST"), LULL_UNKNOWN_NS);
  EXPECT_EQ(lull_release_clock_mark(releases_, "HOST", 5 * LULL_SECOND, nullptr), LULL_OK);
  EXPECT_GE(last("HOST"), 5 * LULL_SECOND);
  EXPECT_EQ(last("CUDA0"), LULL_UNKNOWN_NS);
  EXPECT_GE(last(nullptr), 5 * LULL_SECOND);
  EXPECT_EQ(lull_release_clock_mark(releases_, nullptr, 0, nullptr), LULL_OK);
  EXPECT_GE(last("CUDA0"), 0);
  EXPECT_LT(last("HOST"), 5 * LULL_SECOND);
  EXPECT_EQ(lull_release_clock_mark(releases_, nullptr, 1, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  const lull_release_gain gain{1_MiB, 1_MiB};
  EXPECT_EQ(lull_release_clock_mark(releases_, nullptr, 0, &gain), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lull_release_clock_mark(releases_, "HOST", -1, nullptr), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lull_release_clock_mark(releases_, "HOST", LULL_FOREVER, nullptr), LULL_OK);
}

TEST_F(CSettle, IsSkippedWhereThereIsNothingToWaitFor) {
  auto summary = settle();
  EXPECT_EQ(summary.status, LULL_SETTLE_SKIPPED);
  EXPECT_EQ(summary.skip, LULL_SKIP_NOTHING_RELEASED);
  EXPECT_EQ(lull_release_clock_mark(releases_, "HOST", LULL_MINUTE, nullptr), LULL_OK);
  EXPECT_EQ(settle().skip, LULL_SKIP_RELEASED_LONG_AGO);
  lull_settlement* none = nullptr;
  EXPECT_EQ(lull_devices_settle(nullptr, 0, nullptr, &none), LULL_OK);
  lull_settlement_destroy(none);
}

TEST_F(CSettle, ReturnsWithTheExpectedGain) {
  void* memory = nullptr;
  ASSERT_EQ(lull_device_allocate(device_, 8_MiB, &memory), LULL_OK);
  auto before = sized<lull_memory_info>();
  ASSERT_EQ(lull_device_memory(device_, LULL_PROBE_TIMEOUT, &before), LULL_OK);
  ASSERT_EQ(lull_device_deallocate(device_, memory, 8_MiB), LULL_OK);

  std::vector<std::string> seen;
  const lull_settle_expectation expected{"HOST", 8_MiB, before.free_bytes};
  options_.releases = nullptr;
  options_.released_ago_ns = 0;
  options_.expected = &expected;
  options_.expected_count = 1;
  options_.on_sample = [](void* user, std::int64_t, const char* device, std::uint64_t free_bytes) {
    static_cast<std::vector<std::string>*>(user)->push_back(std::string(device) + " " +
                                                            std::to_string(free_bytes));
    return LULL_OK;
  };
  options_.on_sample_user = &seen;
  EXPECT_EQ(settle().status, LULL_SETTLE_SETTLED);
  ASSERT_EQ(devices_.size(), 1u);
  EXPECT_EQ(devices_[0].verdict, LULL_VERDICT_GAINED);
  EXPECT_EQ(devices_[0].gain, LULL_GAIN_ALREADY_THERE);
  EXPECT_EQ(devices_[0].before_bytes, 8_MiB);
  EXPECT_EQ(devices_[0].after_bytes, 16_MiB);
  EXPECT_STREQ(devices_[0].device, "HOST");
  EXPECT_EQ(seen, std::vector<std::string>{"HOST " + std::to_string(16_MiB)});

  options_.on_sample = [](void*, std::int64_t, const char*, std::uint64_t) {
    return LULL_ERROR_IO;
  };
  lull_settlement* none = nullptr;
  EXPECT_EQ(lull_devices_settle(&device_, 1, &options_, &none), LULL_ERROR_CALLBACK);
  EXPECT_EQ(none, nullptr);
}

TEST_F(CSettle, AMarkMaySayHowMuchComesBack) {
  void* memory = nullptr;
  ASSERT_EQ(lull_device_allocate(device_, 8_MiB, &memory), LULL_OK);
  auto before = sized<lull_memory_info>();
  ASSERT_EQ(lull_device_memory(device_, LULL_PROBE_TIMEOUT, &before), LULL_OK);
  ASSERT_EQ(lull_device_deallocate(device_, memory, 8_MiB), LULL_OK);
  const lull_release_gain gain{8_MiB, before.free_bytes};
  EXPECT_EQ(lull_release_clock_mark(releases_, "HOST", 0, &gain), LULL_OK);
  EXPECT_EQ(settle().status, LULL_SETTLE_SETTLED);
  ASSERT_EQ(devices_.size(), 1u);
  EXPECT_EQ(devices_[0].gain, LULL_GAIN_ALREADY_THERE);
  EXPECT_EQ(devices_[0].before_bytes, 8_MiB);
}

TEST_F(CSettle, TheHostIsNotWaitedForAndACancelObjectEndsIt) {
  EXPECT_EQ(lull_release_clock_mark(releases_, "HOST", 0, nullptr), LULL_OK);
  const lull_settlement_info settled = settle();
  EXPECT_EQ(settled.status, LULL_SETTLE_SETTLED) << "its figures are its own books";
  EXPECT_LT(settled.elapsed_ns, options_.max_wait_ns);
  lull_cancel* cancel = nullptr;
  ASSERT_EQ(lull_cancel_create(&cancel), LULL_OK);
  EXPECT_EQ(lull_cancel_request(cancel), LULL_OK);
  options_.max_wait_ns = 60 * LULL_MINUTE;
  options_.cancel = cancel;
  EXPECT_EQ(settle().status, LULL_SETTLE_CANCELLED);
  lull_cancel_destroy(cancel);
}

TEST_F(CSettle, OptionsOutsideTheirRangeAreRefused) {
  lull_settlement* none = nullptr;
  const auto refused = [&] { return lull_devices_settle(&device_, 1, &options_, &none); };
  const lull_settle_options good = options_;
  for (std::int64_t lull_settle_options::*const field :
       {&lull_settle_options::max_wait_ns, &lull_settle_options::stale_after_ns,
        &lull_settle_options::first_interval_ns, &lull_settle_options::longest_interval_ns}) {
    options_ = good;
    options_.*field = -1;
    EXPECT_EQ(refused(), LULL_ERROR_INVALID_ARGUMENT);
  }
  options_ = good;
  options_.released_ago_ns = -2;
  EXPECT_EQ(refused(), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("released_ago_ns is -2"));
  options_ = good;
  options_.expected_count = 1;
  EXPECT_EQ(refused(), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_last_error_message(), "options->expected is null");
}

TEST_F(CSettle, WhoHoldsMemoryOfTheHostCannotBeTold) {
  std::size_t count = 0;
  EXPECT_EQ(lull_device_processes(device_, LULL_PROBE_TIMEOUT, nullptr, 0, &count),
            LULL_ERROR_UNSUPPORTED);
}

// The handle of the clock may go first: the sleeper keeps what it marks.
TEST_F(CSettle, ASleepMarksTheClock) {
  lull_memory* memory = nullptr;
  lull_region* region = nullptr;
  ASSERT_EQ(lull_memory_create(nullptr, &memory), LULL_OK);
  ASSERT_EQ(lull_memory_allocate(memory, device_, 1_MiB, nullptr, &region), LULL_OK);
  lull_sleeper_options options;
  lull_sleeper_options_init(&options);
  options.releases = releases_;
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(&options, &sleeper), LULL_OK);
  ASSERT_EQ(lull_sleeper_manage_memory(sleeper, memory), LULL_OK);
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_OK);
  EXPECT_GE(last("HOST"), 0);
  EXPECT_EQ(lull_sleeper_wake(sleeper, LULL_FOREVER, nullptr), LULL_OK)
      << lull_last_error_message();
  lull_release_clock_destroy(releases_);
  releases_ = nullptr;
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_OK);
  lull_sleeper_destroy(sleeper);
  lull_region_destroy(region);
  lull_memory_destroy(memory);
}

}  // namespace
