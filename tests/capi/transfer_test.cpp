// Arenas, files that regions are filled from, and swaps, from C.

#include <lull/lull.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"
#include "support/scratch_folder.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;

std::vector<char> pattern(std::uint64_t bytes, unsigned seed) {
  std::vector<char> all(bytes);
  for (std::uint64_t i = 0; i < bytes; ++i) {
    all[i] = static_cast<char>(i * 31 + (i >> 9) * 7 + seed);
  }
  return all;
}

class CApiTransfer : public c_host_test {
 protected:
  CApiTransfer() : c_host_test("64MiB") {
    EXPECT_EQ(lull_memory_create(nullptr, &memory_), LULL_OK);
  }
  ~CApiTransfer() override {
    for (lull_region* each : regions_) lull_region_destroy(each);
    lull_memory_destroy(memory_);
  }

  lull_region* allocate(std::uint64_t bytes, const lull_region_options& options) {
    lull_region* made = nullptr;
    EXPECT_EQ(lull_memory_allocate(memory_, device_, bytes, &options, &made), LULL_OK)
        << lull_last_error_message();
    regions_.push_back(made);
    return made;
  }
  lull_region* allocate(std::uint64_t bytes, const char* tag) {
    lull_region_options options;
    lull_region_options_init(&options);
    options.tag = tag;
    return allocate(bytes, options);
  }

  static lull_residency residency(const lull_region* of) {
    lull_residency where{};
    EXPECT_EQ(lull_region_residency(of, &where), LULL_OK);
    return where;
  }
  static std::vector<char> contents(const lull_region* of) {
    lull_region_lease lease{};
    EXPECT_EQ(lull_region_acquire(of, &lease), LULL_OK) << lull_last_error_message();
    const auto* const begin = static_cast<const char*>(lease.address);
    std::vector<char> seen(begin, begin + lease.size_bytes);
    lull_region_lease_release(&lease);
    return seen;
  }
  static void write(lull_region* to, const std::vector<char>& bytes) {
    std::memcpy(lull_region_address(to), bytes.data(), bytes.size());
  }
  lull_status evict(lull_contents_action action) {
    const lull_eviction_plan plan{action, nullptr, 0};
    return lull_memory_evict(memory_, &plan, nullptr, nullptr);
  }
  lull_status restore() { return lull_memory_restore(memory_, nullptr, 0, nullptr, nullptr); }

  lull_memory* memory_ = nullptr;
  std::vector<lull_region*> regions_;
};

TEST_F(CApiTransfer, AnArenaIsPreparedSharedAndTrimmed) {
  lull_arena_options options;
  lull_arena_options_init(&options);
  options.budget_bytes = 8_MiB;
  options.slice_bytes = 2_MiB;
  lull_arena* arena = nullptr;
  ASSERT_EQ(lull_arena_create(&options, &arena), LULL_OK) << lull_last_error_message();
  ASSERT_EQ(lull_arena_prepare(arena, device_, 6_MiB, nullptr), LULL_OK)
      << lull_last_error_message();
  ASSERT_EQ(lull_arena_wait_prepared(arena), LULL_OK);
  auto info = sized<lull_arena_info>();
  ASSERT_EQ(lull_arena_describe(arena, &info), LULL_OK);
  EXPECT_EQ(info.budget_bytes, 8_MiB);
  EXPECT_EQ(info.held_bytes, 6_MiB);
  EXPECT_EQ(info.pinned_bytes, 6_MiB) << info.not_pinned_because;
  EXPECT_EQ(info.used_bytes, 0u);
  EXPECT_EQ(info.preparing, 0);

  std::uint64_t given_back = 0;
  EXPECT_EQ(lull_arena_trim(arena, 4_MiB, &given_back), LULL_OK);
  EXPECT_EQ(given_back, 2_MiB);
  EXPECT_EQ(lull_arena_set_budget(arena, 0), LULL_OK);
  ASSERT_EQ(lull_arena_describe(arena, &info), LULL_OK);
  EXPECT_EQ(info.held_bytes, 0u);

  lull_memory_options memory_options;
  lull_memory_options_init(&memory_options);
  memory_options.arena = arena;
  lull_memory* memory = nullptr;
  ASSERT_EQ(lull_memory_create(&memory_options, &memory), LULL_OK);
  lull_arena_destroy(arena);  // the memory keeps it
  lull_memory_destroy(memory);
}

TEST_F(CApiTransfer, OptionsOfAnArenaAreLookedAt) {
  lull_arena_options options;
  lull_arena_options_init(&options);
  options.slice_bytes = 3_MiB;
  lull_arena* arena = nullptr;
  EXPECT_EQ(lull_arena_create(&options, &arena), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(arena, nullptr);
  ASSERT_EQ(lull_arena_create(nullptr, &arena), LULL_OK);
  lull_arena_prepare_options prepare;
  lull_arena_prepare_options_init(&prepare);
  prepare.threads = 0;
  EXPECT_EQ(lull_arena_prepare(arena, device_, 1_MiB, &prepare), LULL_ERROR_INVALID_ARGUMENT);
  lull_arena_destroy(arena);
}

TEST_F(CApiTransfer, ARegionIsFilledFromPiecesOfAFileAtEveryWake) {
  const scratch_folder folder;
  const std::string path = folder.path() / "weights";
  const auto written = pattern(3_MiB, 1);
  std::ofstream(path, std::ios::binary).write(written.data(), 3_MiB);
  lull_file_source* file = nullptr;
  ASSERT_EQ(lull_file_source_open(path.c_str(), &file), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(lull_file_source_size(file), 3_MiB);

  const lull_file_piece pieces[] = {{0, 2_MiB, 1_MiB}, {1_MiB, 7, 1_MiB}};
  lull_region_options options;
  lull_region_options_init(&options);
  options.source = file;
  options.pieces = pieces;
  options.piece_count = 2;
  lull_region* const weights = allocate(2_MiB, options);
  lull_file_source_destroy(file);  // the region keeps it
  std::vector<char> expected(written.begin() + 2_MiB, written.end());
  expected.insert(expected.end(), written.begin() + 7, written.begin() + 7 + 1_MiB);
  EXPECT_EQ(contents(weights), expected);
  ASSERT_EQ(evict(LULL_CONTENTS_DISCARD), LULL_OK);
  EXPECT_EQ(residency(weights), LULL_RESIDENCY_DISCARDED);
  ASSERT_EQ(restore(), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(contents(weights), expected);

  // What was written since is offloaded, though the plan says otherwise.
  expected.assign(2_MiB, 'x');
  write(weights, expected);
  ASSERT_EQ(lull_region_mark_written(weights), LULL_OK);
  ASSERT_EQ(evict(LULL_CONTENTS_DISCARD), LULL_OK);
  EXPECT_EQ(residency(weights), LULL_RESIDENCY_OFFLOADED);
  ASSERT_EQ(restore(), LULL_OK);
  EXPECT_EQ(contents(weights), expected);
}

TEST_F(CApiTransfer, AFileThatChangedFailsTheWakeWithItsName) {
  const scratch_folder folder;
  const std::string path = folder.path() / "weights";
  std::ofstream(path, std::ios::binary).write(pattern(1_MiB, 1).data(), 1_MiB);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  lull_file_source* by_path = nullptr;
  lull_file_source* adopted = nullptr;
  ASSERT_EQ(lull_file_source_open(path.c_str(), &by_path), LULL_OK);
  ASSERT_EQ(lull_file_source_adopt(descriptor, &adopted), LULL_OK);
  ::close(descriptor);
  EXPECT_EQ(lull_file_source_verify(by_path), LULL_OK);
  EXPECT_EQ(lull_file_source_verify(adopted), LULL_OK);
  lull_region_options options;
  lull_region_options_init(&options);
  options.source = by_path;
  lull_region* const weights = allocate(1_MiB, options);
  ASSERT_EQ(evict(LULL_CONTENTS_DISCARD), LULL_OK);
  std::filesystem::resize_file(path, 1_MiB - 1);
  EXPECT_EQ(restore(), LULL_ERROR_IO);
  EXPECT_THAT(lull_last_error_message(), HasSubstr(path));
  EXPECT_EQ(residency(weights), LULL_RESIDENCY_DISCARDED);
  EXPECT_EQ(lull_file_source_verify(adopted), LULL_ERROR_IO);
  lull_file_source_destroy(by_path);
  lull_file_source_destroy(adopted);
}

TEST_F(CApiTransfer, PiecesNeedAFileAndAListAndRoom) {
  lull_region_options options;
  lull_region_options_init(&options);
  const lull_file_piece piece{0, 0, UINT64_MAX};
  options.pieces = &piece;
  options.piece_count = 1;
  lull_region* made = nullptr;
  const auto code = [&] { return lull_memory_allocate(memory_, device_, 16, &options, &made); };
  EXPECT_EQ(code(), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("source is null"));
  lull_file_source* file = nullptr;
  ASSERT_EQ(lull_file_source_open("/proc/self/exe", &file), LULL_OK);
  options.source = file;
  EXPECT_EQ(code(), LULL_ERROR_INVALID_ARGUMENT);
  options.pieces = nullptr;
  EXPECT_EQ(code(), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("options->pieces is null"));
  EXPECT_EQ(made, nullptr);
  lull_file_source_destroy(file);
  EXPECT_EQ(lull_file_source_open("/nowhere/at/all", &file), LULL_ERROR_NOT_FOUND);
  EXPECT_EQ(lull_file_source_adopt(-1, &file), LULL_ERROR_IO);
}

struct reading {
  int descriptor;
  lull_status code;
};

TEST_F(CApiTransfer, ACallbackReadsAFile) {
  const scratch_folder folder;
  const std::string path = folder.path() / "weights";
  const auto written = pattern(1_MiB, 5);
  std::ofstream(path, std::ios::binary).write(written.data(), 1_MiB);
  reading given{::open(path.c_str(), O_RDONLY | O_CLOEXEC), LULL_OK};
  lull_region* const weights = allocate(1_MiB / 2, "weights");
  const auto refill = [](void* user, const lull_refill_target* target) {
    auto& with = *static_cast<reading*>(user);
    with.code = lull_refill_target_read_file(target, 0, with.descriptor, 3, 1_MiB / 2);
    return with.code;
  };
  ASSERT_EQ(lull_region_refill(weights, refill, &given), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(contents(weights),
            std::vector<char>(written.begin() + 3, written.begin() + 3 + 1_MiB / 2));
  std::filesystem::resize_file(path, 100);
  EXPECT_EQ(lull_region_refill(weights, refill, &given), LULL_ERROR_CALLBACK);
  EXPECT_EQ(given.code, LULL_ERROR_IO);
  ::close(given.descriptor);
}

TEST_F(CApiTransfer, ARefillThatFailsSaysWhyInItsOwnWords) {
  lull_region_options options;
  lull_region_options_init(&options);
  options.tag = "weights";
  options.refill = [](void*, const lull_refill_target* target) {
    return lull_refill_target_fail(target, LULL_ERROR_IO, "model.gguf: no such file");
  };
  allocate(1_MiB, options);
  ASSERT_EQ(evict(LULL_CONTENTS_DISCARD), LULL_OK);
  EXPECT_EQ(lull_memory_restore(memory_, nullptr, 0, nullptr, nullptr), LULL_ERROR_CALLBACK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("model.gguf: no such file"));
}

TEST_F(CApiTransfer, ASwapTakesOneSetOutWhileAnotherComes) {
  lull_region* const first = allocate(24_MiB, "first");
  write(first, pattern(24_MiB, 1));
  ASSERT_EQ(evict(LULL_CONTENTS_OFFLOAD), LULL_OK);
  lull_region* const second = allocate(32_MiB, "second");  // both do not fit
  write(second, pattern(32_MiB, 2));

  const lull_tag_action leaving{"second", LULL_CONTENTS_OFFLOAD};
  const lull_eviction_plan plan{LULL_CONTENTS_KEEP, &leaving, 1};
  const char* const coming = "first";
  lull_report* report = nullptr;
  ASSERT_EQ(lull_memory_swap(memory_, &plan, &coming, 1, nullptr, &report), LULL_OK)
      << lull_last_error_message();
  auto about = sized<lull_report_info>();
  ASSERT_EQ(lull_report_describe(report, &about), LULL_OK);
  EXPECT_STREQ(about.what, "swap");
  auto device = sized<lull_device_report>();
  ASSERT_EQ(lull_report_device(report, 0, &device), LULL_OK);
  EXPECT_EQ(device.copied_bytes, 56_MiB);
  EXPECT_EQ(device.staged_bytes, 0u);
  lull_report_destroy(report);
  EXPECT_EQ(residency(second), LULL_RESIDENCY_OFFLOADED);
  EXPECT_EQ(contents(first), pattern(24_MiB, 1));

  const char* const nobody = "third";
  EXPECT_EQ(lull_memory_swap(memory_, &plan, &nobody, 1, nullptr, nullptr), LULL_ERROR_NOT_FOUND);
  EXPECT_EQ(residency(first), LULL_RESIDENCY_RESIDENT);
}

TEST_F(CApiTransfer, OneSleeperLeavesWhileAnotherComes) {
  lull_memory* other = nullptr;
  ASSERT_EQ(lull_memory_create(nullptr, &other), LULL_OK);
  lull_sleeper* first = nullptr;
  lull_sleeper* second = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &first), LULL_OK);
  ASSERT_EQ(lull_sleeper_create(nullptr, &second), LULL_OK);
  ASSERT_EQ(lull_sleeper_manage_memory(first, memory_), LULL_OK);
  ASSERT_EQ(lull_sleeper_manage_memory(second, other), LULL_OK);
  lull_sleep_plan plan;
  ASSERT_EQ(lull_sleep_plan_init(&plan, LULL_LEVEL_OFFLOAD), LULL_OK);

  lull_region* const of_first = allocate(40_MiB, "weights");
  write(of_first, pattern(40_MiB, 1));
  ASSERT_EQ(lull_sleeper_sleep(first, &plan, nullptr), LULL_OK) << lull_last_error_message();
  lull_region* of_second = nullptr;
  ASSERT_EQ(lull_memory_allocate(other, device_, 40_MiB, nullptr, &of_second), LULL_OK);
  write(of_second, pattern(40_MiB, 2));

  EXPECT_EQ(lull_sleeper_swap(second, second, &plan, LULL_FOREVER, nullptr, nullptr, nullptr),
            LULL_ERROR_INVALID_ARGUMENT);
  lull_report* slept = nullptr;
  lull_report* woke = nullptr;
  ASSERT_EQ(lull_sleeper_swap(second, first, &plan, LULL_FOREVER, nullptr, &slept, &woke), LULL_OK)
      << lull_last_error_message();
  auto about = sized<lull_report_info>();
  ASSERT_EQ(lull_report_describe(slept, &about), LULL_OK);
  EXPECT_STREQ(about.what, "sleep");
  ASSERT_EQ(lull_report_describe(woke, &about), LULL_OK);
  EXPECT_STREQ(about.what, "wake");
  EXPECT_EQ(contents(of_first), pattern(40_MiB, 1));
  EXPECT_EQ(residency(of_second), LULL_RESIDENCY_OFFLOADED);

  // What does not come to fit: both stay where they are.
  lull_region_options options;
  lull_region_options_init(&options);
  options.absent = 1;
  lull_region* more = nullptr;
  ASSERT_EQ(lull_memory_allocate(other, device_, 30_MiB, &options, &more), LULL_OK);
  EXPECT_EQ(lull_sleeper_swap(first, second, &plan, LULL_FOREVER, nullptr, nullptr, nullptr),
            LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_EQ(contents(of_first), pattern(40_MiB, 1));
  EXPECT_EQ(residency(of_second), LULL_RESIDENCY_OFFLOADED);

  lull_report_destroy(slept);
  lull_report_destroy(woke);
  lull_sleeper_destroy(first);
  lull_sleeper_destroy(second);
  lull_region_destroy(more);
  lull_region_destroy(of_second);
  lull_memory_destroy(other);
}

}  // namespace
}  // namespace lull::test
