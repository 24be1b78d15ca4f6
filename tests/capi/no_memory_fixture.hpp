#ifndef LULL_TESTS_CAPI_NO_MEMORY_FIXTURE_HPP
#define LULL_TESTS_CAPI_NO_MEMORY_FIXTURE_HPP

#include <lull/lull.h>

#include <cstdint>

#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"
#include "support/failing_allocations.hpp"

namespace lull::test {

/// A sleeper with memory that can be offloaded.
class CNoMemory : public c_host_test {
 protected:
  CNoMemory() {
    EXPECT_EQ(lull_memory_create(nullptr, &memory_), LULL_OK);
    EXPECT_EQ(lull_memory_allocate(memory_, device_, 1 << 20, nullptr, &region_), LULL_OK);
    EXPECT_EQ(lull_sleeper_create(nullptr, &sleeper_), LULL_OK);
    EXPECT_EQ(lull_sleeper_manage_memory(sleeper_, memory_), LULL_OK);
    EXPECT_EQ(lull_sleep_plan_init(&plan_, LULL_LEVEL_OFFLOAD), LULL_OK);
  }
  ~CNoMemory() override {
    lull_sleeper_destroy(sleeper_);
    lull_region_destroy(region_);
    lull_memory_destroy(memory_);
  }

  [[nodiscard]] lull_sleeper_snapshot observe() const {
    auto seen = sized<lull_sleeper_snapshot>();
    EXPECT_EQ(lull_sleeper_observe(sleeper_, &seen), LULL_OK);
    return seen;
  }
  [[nodiscard]] lull_sleep_state state() const { return observe().state; }
  [[nodiscard]] std::uint32_t leases() const { return observe().leases; }

  [[nodiscard]] lull_residency residency() const {
    lull_residency seen{};
    EXPECT_EQ(lull_region_residency(region_, &seen), LULL_OK);
    return seen;
  }

  lull_memory* memory_ = nullptr;
  lull_region* region_ = nullptr;
  lull_sleeper* sleeper_ = nullptr;
  lull_sleep_plan plan_{};
};

}  // namespace lull::test

#endif  // LULL_TESTS_CAPI_NO_MEMORY_FIXTURE_HPP
