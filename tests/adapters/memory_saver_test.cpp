// The C calls of torch_memory_saver, as its Python part makes them.

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/torch_library.hpp"

namespace lull::test {
namespace {

constexpr ssize_t size = 4 << 20;

/// What its region() does around allocations.
class region {
 public:
  explicit region(const char* tag, bool cpu_backup = false, bool disk_backup = false)
      : tag_(CALL(tms_get_current_tag)()),
        interesting_(CALL(tms_get_interesting_region)()),
        cpu_backup_(CALL(tms_get_enable_cpu_backup)()),
        disk_backup_(CALL(tms_get_enable_disk_backup)()) {
    set(tag, true, cpu_backup, disk_backup);
  }
  ~region() { set(tag_.c_str(), interesting_, cpu_backup_, disk_backup_); }
  region(const region&) = delete;
  region& operator=(const region&) = delete;

 private:
  static void set(const char* tag, bool interesting, bool cpu_backup, bool disk_backup) {
    CALL(tms_set_current_tag)(tag);
    CALL(tms_set_interesting_region)(interesting);
    CALL(tms_set_enable_cpu_backup)(cpu_backup);
    CALL(tms_set_enable_disk_backup)(disk_backup);
  }
  std::string tag_;
  bool interesting_;
  bool cpu_backup_;
  bool disk_backup_;
};

class MemorySaver : public testing::Test {
 protected:
  void* allocate(unsigned char filling) {
    void* const made = CALL(tms_torch_malloc)(size, 0, nullptr);
    if (made == nullptr) return made;
    first_device().write(made, std::vector<unsigned char>(size, filling));
    made_.push_back(made);
    return made;
  }
  void TearDown() override {
    for (void* const each : made_) CALL(tms_torch_free)(each, size, 0, nullptr);
  }
  static bool holds(const void* address, unsigned char filling) {
    return first_device().read(address, size) == std::vector<unsigned char>(size, filling);
  }
  static std::size_t free_bytes() { return first_device().memory().free_bytes; }

  std::vector<void*> made_;
};

TEST_F(MemorySaver, APauseDoesToEachAllocationWhatItsRegionSaid) {
  void* kept = nullptr;
  void* on_disk = nullptr;
  {
    const region outer("weights", true);
    kept = allocate(1);
    {
      const region inner("kv_cache");
      static_cast<void>(allocate(2));
    }
    EXPECT_STREQ(CALL(tms_get_current_tag)(), "weights");
    const region disk("adapters", false, true);
    on_disk = allocate(3);
  }
  void* const plain = allocate(4);  // of no region
  const std::size_t awake = free_bytes();
  ASSERT_EQ(CALL(tms_pause)(nullptr), 0) << torch_error();
  EXPECT_EQ(free_bytes(), awake + 3 * size);
  EXPECT_TRUE(holds(plain, 4));
  const auto all = regions();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].residency, LULL_RESIDENCY_OFFLOADED);
  EXPECT_EQ(all[1].residency, LULL_RESIDENCY_DISCARDED);
  EXPECT_EQ(all[2].residency, LULL_RESIDENCY_OFFLOADED);
  ASSERT_EQ(CALL(tms_pause)(nullptr), 0) << "again: " << torch_error();
  ASSERT_EQ(CALL(tms_resume)(nullptr), 0) << torch_error();
  EXPECT_EQ(free_bytes(), awake);
  EXPECT_TRUE(holds(kept, 1));
  EXPECT_TRUE(holds(on_disk, 3));
}

TEST_F(MemorySaver, TagsArePausedAndResumedByThemselves) {
  void* weights = nullptr;
  void* same_tag = nullptr;
  {
    const region one("weights", true);
    weights = allocate(1);
  }
  {
    const region another("weights", false);
    same_tag = allocate(2);
  }
  {
    const region cache("kv_cache", true);
    static_cast<void>(allocate(3));
  }
  const std::size_t awake = free_bytes();
  ASSERT_EQ(CALL(tms_pause)("weights"), 0) << torch_error();
  EXPECT_EQ(free_bytes(), awake + 2 * size);
  ASSERT_EQ(CALL(tms_pause)("kv_cache"), 0) << torch_error();
  ASSERT_EQ(CALL(tms_resume)("weights"), 0) << torch_error();
  EXPECT_EQ(free_bytes(), awake + size);
  EXPECT_TRUE(holds(weights, 1));
  first_device().write(same_tag, std::vector<unsigned char>(size, 9));
  ASSERT_EQ(CALL(tms_resume)("kv_cache"), 0) << torch_error();
  ASSERT_EQ(CALL(tms_resume)("no such tag"), 0) << torch_error();
  EXPECT_TRUE(holds(made_[2], 3));
}

TEST_F(MemorySaver, AResumeThatFailsSaysSoAndChangesNothing) {
  void* weights = nullptr;
  {
    const region one("weights", true);
    weights = allocate(1);
  }
  ASSERT_EQ(CALL(tms_pause)(""), 0) << torch_error();
  const std::size_t all = free_bytes();
  void* const other = CALL(tms_torch_malloc)(static_cast<ssize_t>(all - 1024), 0, nullptr);
  ASSERT_NE(other, nullptr) << torch_error();
  testing::internal::CaptureStderr();
  EXPECT_EQ(CALL(tms_resume)(nullptr), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("missing"));
  CALL(tms_torch_free)(other, 0, 0, nullptr);
  ASSERT_EQ(CALL(tms_resume)(nullptr), 0) << torch_error();
  EXPECT_TRUE(holds(weights, 1));
}

TEST_F(MemorySaver, AMarginOfDeviceMemoryStaysFree) {
  const region one("weights");
  CALL(set_memory_margin_bytes)(free_bytes() - size / 2);
  EXPECT_EQ(allocate(1), nullptr);
  CALL(set_memory_margin_bytes)(0);
  EXPECT_NE(allocate(1), nullptr);
}

TEST_F(MemorySaver, WhatCannotBeDoneIsRefusedInWords) {
  const std::string too_long(60, 'x');
  {
    const region one(too_long.c_str());
    EXPECT_EQ(CALL(tms_get_current_tag)(), too_long);
    EXPECT_THROW(allocate(1), std::runtime_error);
  }
  const region both("weights", true, true);
  EXPECT_THROW(allocate(1), std::runtime_error);
}

TEST_F(MemorySaver, SettingsAreRemembered) {
  EXPECT_FALSE(CALL(tms_get_interesting_region)());
  EXPECT_STREQ(CALL(tms_get_cpu_backup_backend)(), "pinned");
  CALL(tms_set_cpu_backup_backend)("mmap");
  EXPECT_STREQ(CALL(tms_get_cpu_backup_backend)(), "mmap");
  CALL(tms_set_cpu_backup_backend)("pinned");
  EXPECT_FALSE(CALL(tms_get_retain_cpu_backup)());
  CALL(tms_set_retain_cpu_backup)(true);
  EXPECT_TRUE(CALL(tms_get_retain_cpu_backup)());
  CALL(tms_set_retain_cpu_backup)(false);
  EXPECT_EQ(CALL(tms_get_cpu_backup_pointer)(nullptr, 1), nullptr);
}

}  // namespace
}  // namespace lull::test
