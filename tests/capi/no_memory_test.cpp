// Where there is no memory, a call either fails and has changed nothing, or does what it says: each
// allocation of the calling thread fails in turn. A program of its own, because it replaces the
// global operator new.

#include <lull/lull.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>

#include <gtest/gtest.h>

namespace {

/// The number of the allocation of this thread that fails; 0: none.
thread_local std::uint64_t fails_at = 0;
thread_local std::uint64_t allocations = 0;

void* allocate(std::size_t bytes) {
  if (fails_at != 0 && ++allocations == fails_at) throw std::bad_alloc();
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) {
  return allocate(bytes);
}
void* operator new[](std::size_t bytes) {
  return allocate(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

/// Calls `work` with the n-th allocation failing. @return whether it came to that
bool with_failure_at(std::uint64_t n, const std::function<void()>& work) {
  allocations = 0;
  fails_at = n;
  work();
  fails_at = 0;
  return allocations >= n;
}

class CNoMemory : public testing::Test {
 protected:
  CNoMemory() {
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
    EXPECT_EQ(lull_sleeper_manage_memory(sleeper_, memory_), LULL_OK);
    EXPECT_EQ(lull_sleep_plan_init(&plan_, LULL_LEVEL_OFFLOAD), LULL_OK);
  }
  ~CNoMemory() override {
    lull_sleeper_destroy(sleeper_);
    lull_region_destroy(region_);
    lull_memory_destroy(memory_);
    lull_device_destroy(device_);
    lull_registry_destroy(registry_);
  }

  [[nodiscard]] lull_sleep_state state() const {
    lull_sleeper_snapshot seen{};
    seen.struct_size = sizeof seen;
    EXPECT_EQ(lull_sleeper_observe(sleeper_, &seen), LULL_OK);
    return seen.state;
  }

  [[nodiscard]] lull_residency residency() const {
    lull_residency seen{};
    EXPECT_EQ(lull_region_residency(region_, &seen), LULL_OK);
    return seen;
  }

  lull_registry* registry_ = nullptr;
  lull_device* device_ = nullptr;
  lull_memory* memory_ = nullptr;
  lull_region* region_ = nullptr;
  lull_sleeper* sleeper_ = nullptr;
  lull_sleep_plan plan_{};
};

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
      EXPECT_EQ(report, nullptr);
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
