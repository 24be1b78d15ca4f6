// Regions behind an engine's own allocator: made by number and tag, known by their addresses.

#include <lull/bytes.hpp>
#include <lull/lull.h>

#include <sys/types.h>

#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"

namespace {

using namespace lull::literals;
using testing::HasSubstr;

class Allocator : public lull::test::c_host_test {
 protected:
  Allocator() : c_host_test("64MiB") {
    EXPECT_EQ(lull_memory_create(nullptr, &memory_), LULL_OK);
    lull_allocator_options_init(&how_);
    how_.backend = "host";
  }
  ~Allocator() override {
    lull_thread_set_tag(nullptr);
    lull_allocator_destroy(allocator_);
    lull_memory_destroy(memory_);
  }

  void create() {
    ASSERT_EQ(lull_allocator_create(memory_, registry_, &how_, &allocator_), LULL_OK)
        << lull_last_error_message();
  }
  [[nodiscard]] lull_region_info find(const void* address) const {
    lull_region_info info{};
    info.struct_size = sizeof info;
    EXPECT_EQ(lull_allocator_find(allocator_, address, &info), LULL_OK)
        << lull_last_error_message();
    return info;
  }
  /// What is on the device.
  [[nodiscard]] std::size_t regions() const {
    lull_region_info info{};
    info.struct_size = sizeof info;
    std::size_t count = 0;
    while (lull_memory_region(memory_, count, &info) == LULL_OK) ++count;
    return count;
  }

  lull_memory* memory_ = nullptr;
  lull_allocator* allocator_ = nullptr;
  lull_allocator_options how_{};
};

TEST_F(Allocator, WhatAnEngineWritesAfterADiscardIsKeptByTheNextOffload) {
  create();
  auto* const cache = static_cast<char*>(lull_allocator_alloc(allocator_, 1_MiB, 0));
  ASSERT_NE(cache, nullptr) << lull_last_error_message();
  const auto sleep_by = [&](lull_contents_action action) {
    const lull_eviction_plan plan{action, nullptr, 0};
    EXPECT_EQ(lull_memory_evict(memory_, &plan, nullptr, nullptr), LULL_OK);
    const lull_residency where = find(cache).residency;
    EXPECT_EQ(lull_memory_restore(memory_, nullptr, 0, nullptr, nullptr), LULL_OK);
    return where;
  };
  const auto expect_kept = [&] {
    EXPECT_EQ(sleep_by(LULL_CONTENTS_DISCARD), LULL_RESIDENCY_DISCARDED);
    std::memset(cache, 7, 1_MiB);  // nobody tells lull
    EXPECT_EQ(sleep_by(LULL_CONTENTS_OFFLOAD), LULL_RESIDENCY_OFFLOADED);
    EXPECT_EQ(std::string(cache, 1_MiB), std::string(1_MiB, 7));
  };
  expect_kept();
  ASSERT_EQ(lull_allocator_set_refill(allocator_, cache, nullptr, nullptr), LULL_OK);
  expect_kept();
}

TEST_F(Allocator, GivesRegionsThatAreFoundByAnyAddressInThem) {
  create();
  auto* const weights = static_cast<char*>(lull_allocator_alloc(allocator_, 3_MiB, 0));
  ASSERT_NE(weights, nullptr) << lull_last_error_message();
  std::memset(weights, 7, 3_MiB);
  for (const char* inside : {weights, weights + 1, weights + 3_MiB - 1}) {
    const lull_region_info info = find(inside);
    EXPECT_EQ(info.address, weights);
    EXPECT_EQ(info.size_bytes, 3_MiB);
    EXPECT_EQ(info.residency, LULL_RESIDENCY_RESIDENT);
    EXPECT_GE(info.device_bytes, 3_MiB);
    EXPECT_STREQ(info.device, "HOST");
    EXPECT_STREQ(info.tag, "default");
  }
  lull_region_info info{};
  info.struct_size = sizeof info;
  for (const char* outside : {weights - 1, weights + 3_MiB}) {
    EXPECT_EQ(lull_allocator_find(allocator_, outside, &info), LULL_ERROR_NOT_FOUND);
  }
  lull_allocator_free(allocator_, weights, 3_MiB);
  EXPECT_EQ(regions(), 0u);
  EXPECT_EQ(lull_allocator_find(allocator_, weights, &info), LULL_ERROR_NOT_FOUND);
}

TEST_F(Allocator, TagsWhatAThreadAllocatesAsTheThreadSays) {
  create();
  EXPECT_STREQ(lull_thread_tag(), "");
  ASSERT_EQ(lull_thread_set_tag("weights"), LULL_OK);
  void* const first = lull_allocator_alloc(allocator_, 1_MiB, 0);
  std::thread([&] {
    EXPECT_STREQ(lull_thread_tag(), "") << "another thread's is its own";
    void* const other = lull_allocator_alloc(allocator_, 1_MiB, 0);
    EXPECT_STREQ(find(other).tag, "default");
  }).join();
  ASSERT_EQ(lull_thread_set_tag("kv"), LULL_OK);
  void* const second = lull_allocator_alloc(allocator_, 1_MiB, 0);
  EXPECT_STREQ(find(first).tag, "weights");
  EXPECT_STREQ(find(second).tag, "kv");
  EXPECT_EQ(lull_thread_set_tag(std::string(64, 'x').c_str()), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(lull_thread_tag(), "kv") << "nothing has changed";
  EXPECT_EQ(lull_thread_set_tag(""), LULL_OK);
  EXPECT_STREQ(lull_thread_tag(), "");
}

TEST_F(Allocator, ItsRegionsSleepByTheirTagsAndComeBackWhereTheyWere) {
  struct refills {
    std::set<void*> written;
  } seen;
  how_.tag = "weights";
  how_.refill = [](void* user, const lull_refill_target* target) {
    static_cast<refills*>(user)->written.insert(lull_refill_target_address(target));
    std::memset(lull_refill_target_address(target), 1, lull_refill_target_size(target));
    return LULL_OK;
  };
  how_.refill_user = &seen;
  create();
  auto* const weights = static_cast<char*>(lull_allocator_alloc(allocator_, 2_MiB, 0));
  ASSERT_EQ(lull_thread_set_tag("kv"), LULL_OK);
  auto* const cache = static_cast<char*>(lull_allocator_alloc(allocator_, 2_MiB, 0));
  auto* const scratch = static_cast<char*>(lull_allocator_alloc(allocator_, 2_MiB, 0));
  // Of one of them it is known better how it is written again.
  const auto two = [](void*, const lull_refill_target* target) {
    std::memset(lull_refill_target_address(target), 2, lull_refill_target_size(target));
    return LULL_OK;
  };
  ASSERT_EQ(lull_allocator_set_refill(allocator_, scratch + 5, two, nullptr), LULL_OK);
  std::memset(cache, 9, 2_MiB);

  const lull_tag_action actions[] = {{"kv", LULL_CONTENTS_OFFLOAD},
                                     {"weights", LULL_CONTENTS_DISCARD}};
  const lull_eviction_plan plan{LULL_CONTENTS_KEEP, actions, 2};
  ASSERT_EQ(lull_memory_evict(memory_, &plan, nullptr, nullptr), LULL_OK);
  EXPECT_EQ(find(weights).residency, LULL_RESIDENCY_DISCARDED);
  EXPECT_EQ(find(cache).residency, LULL_RESIDENCY_OFFLOADED);
  ASSERT_EQ(lull_memory_restore(memory_, nullptr, 0, nullptr, nullptr), LULL_OK);
  EXPECT_EQ(weights[1_MiB], 1);
  EXPECT_EQ(cache[1_MiB], 9);
  EXPECT_EQ(seen.written, std::set<void*>{weights});

  const lull_eviction_plan all{LULL_CONTENTS_DISCARD, nullptr, 0};
  ASSERT_EQ(lull_memory_evict(memory_, &all, nullptr, nullptr), LULL_OK);
  ASSERT_EQ(lull_memory_restore(memory_, nullptr, 0, nullptr, nullptr), LULL_OK);
  EXPECT_EQ(scratch[1_MiB], 2);
}

TEST_F(Allocator, SaysWhyThereIsNoMemory) {
  create();
  EXPECT_EQ(lull_allocator_alloc(allocator_, 65_MiB, 0), nullptr);
  EXPECT_EQ(lull_last_error_status(), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("missing"));
  for (const int wrong : {-1, 1}) {
    EXPECT_EQ(lull_allocator_alloc(allocator_, 1, wrong), nullptr);
    EXPECT_EQ(lull_last_error_status(), LULL_ERROR_NOT_FOUND);
  }
  EXPECT_EQ(lull_allocator_alloc(nullptr, 1, 0), nullptr);
  EXPECT_STREQ(lull_last_error_message(), "user is null");
  EXPECT_EQ(regions(), 0u);
  how_.backend = "metal";
  lull_allocator* none = nullptr;
  EXPECT_EQ(lull_allocator_create(memory_, registry_, &how_, &none), LULL_ERROR_NOT_FOUND);
  EXPECT_EQ(none, nullptr);
}

TEST_F(Allocator, GivesEveryCallAnAddressOfItsOwn) {
  create();
  std::set<void*> addresses;
  for (int i = 0; i < 20; ++i) addresses.insert(lull_allocator_alloc(allocator_, 0, 0));
  EXPECT_EQ(addresses.size(), 20u);
  EXPECT_EQ(addresses.count(nullptr), 0u);
  for (void* const each : addresses) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(each) % 512, 0u);
    lull_allocator_free(allocator_, each, 0);
  }
  EXPECT_EQ(regions(), 0u);
}

TEST_F(Allocator, LeavesAloneWhatIsNotItsOwn) {
  create();
  auto* const memory = static_cast<char*>(lull_allocator_alloc(allocator_, 1_MiB, 0));
  lull_allocator_free(allocator_, memory + 8, 1_MiB);
  EXPECT_EQ(lull_last_error_status(), LULL_ERROR_NOT_FOUND);
  EXPECT_EQ(regions(), 1u);
  lull_allocator_free(allocator_, nullptr, 0);
  lull_allocator_free(allocator_, memory, 1_MiB);
  EXPECT_EQ(regions(), 0u);
}

TEST_F(Allocator, FreesWhatIsLeftWhenItGoes) {
  create();
  ASSERT_NE(lull_allocator_alloc(allocator_, 1_MiB, 0), nullptr);
  ASSERT_NE(lull_allocator_alloc(allocator_, 100, 0), nullptr);
  EXPECT_EQ(regions(), 2u);
  lull_allocator_destroy(allocator_);
  allocator_ = nullptr;
  EXPECT_EQ(regions(), 0u);
}

TEST_F(Allocator, ServesManyThreads) {
  create();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      for (int round = 0; round < 50; ++round) {
        auto* const mine = static_cast<char*>(lull_allocator_alloc(allocator_, 4096, 0));
        ASSERT_NE(mine, nullptr) << lull_last_error_message();
        std::memset(mine, i, 4096);
        EXPECT_EQ(find(mine).address, mine);
        EXPECT_EQ(mine[4095], i);
        lull_allocator_free(allocator_, mine, 4096);
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(regions(), 0u);
}

// --- As an engine without a pointer of the user's takes it (CUDAPluggableAllocator of PyTorch) --

lull_allocator* of_the_program = nullptr;

extern "C" void* engine_alloc(ssize_t bytes, int device, void* /*stream*/) {
  return lull_allocator_alloc(of_the_program, static_cast<std::uint64_t>(bytes), device);
}
extern "C" void engine_free(void* address, ssize_t bytes, int /*device*/, void* /*stream*/) {
  lull_allocator_free(of_the_program, address, static_cast<std::uint64_t>(bytes));
}

TEST_F(Allocator, ServesAnEngineWhoseHooksHaveNoUser) {
  create();
  of_the_program = allocator_;
  void* (*const alloc)(ssize_t, int, void*) = engine_alloc;
  void (*const give_back)(void*, ssize_t, int, void*) = engine_free;
  void* const memory = alloc(1000, 0, nullptr);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(find(memory).size_bytes, 1000u);
  give_back(memory, 1000, 0, nullptr);
  EXPECT_EQ(regions(), 0u);
}

}  // namespace
