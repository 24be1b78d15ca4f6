// Where there is no memory, a call either fails and has changed nothing, or does what it says: each
// allocation of the calling thread fails in turn.

#include <lull/lull.h>

#include <cstdint>

#include <gtest/gtest.h>

#include "capi/no_memory_fixture.hpp"

namespace {

using CNoMemory = lull::test::CNoMemory;
using lull::test::with_failure_at;

TEST_F(CNoMemory, ASleepThatFailsHasNotHappened) {
  std::uint64_t failures = 0;
  lull_status code = LULL_OK;
  lull_report* report = nullptr;
  const auto sleep = [&] { code = lull_sleeper_sleep(sleeper_, &plan_, &report); };
  for (std::uint64_t n = 1; with_failure_at(n, sleep); ++n) {
    SCOPED_TRACE(n);
    if (code == LULL_OK) {
      EXPECT_EQ(state(), LULL_STATE_ASLEEP);
      EXPECT_NE(report, nullptr);
    } else {
      EXPECT_EQ(code, LULL_ERROR_OUT_OF_HOST_MEMORY) << lull_last_error_message();
      EXPECT_EQ(state(), LULL_STATE_AWAKE);
      EXPECT_EQ(report, nullptr);
      ++failures;
    }
    lull_report_destroy(report);
    report = nullptr;
    ASSERT_EQ(lull_sleeper_wake(sleeper_, LULL_FOREVER, nullptr), LULL_OK);
  }
  lull_report_destroy(report);
  EXPECT_GT(failures, 0u) << "the allocations are seen";
}

TEST_F(CNoMemory, AnEvictionThatFailsHasNotHappened) {
  std::uint64_t failures = 0;
  lull_status code = LULL_OK;
  lull_report* report = nullptr;
  const lull_eviction_plan plan{LULL_CONTENTS_OFFLOAD, nullptr, 0};
  const auto evict = [&] { code = lull_memory_evict(memory_, &plan, nullptr, &report); };
  for (std::uint64_t n = 1; with_failure_at(n, evict); ++n) {
    SCOPED_TRACE(n);
    if (code == LULL_OK) {
      EXPECT_EQ(residency(), LULL_RESIDENCY_OFFLOADED);
      EXPECT_NE(report, nullptr);
    } else {
      EXPECT_EQ(code, LULL_ERROR_OUT_OF_HOST_MEMORY) << lull_last_error_message();
      EXPECT_EQ(residency(), LULL_RESIDENCY_RESIDENT);
      if (report != nullptr) {
        lull_report_info seen{};
        seen.struct_size = sizeof seen;
        EXPECT_EQ(lull_report_describe(report, &seen), LULL_OK);
        EXPECT_EQ(seen.succeeded, 0) << "how far it came";
        EXPECT_EQ(seen.rolled_back, 1);
      }
      ++failures;
    }
    lull_report_destroy(report);
    report = nullptr;
    ASSERT_EQ(lull_memory_restore(memory_, nullptr, 0, nullptr, nullptr), LULL_OK);
  }
  lull_report_destroy(report);
  EXPECT_GT(failures, 0u) << "the allocations are seen";
}

}  // namespace
