#include <lull/lull.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/few_descriptors.hpp"
#include "vocabulary/system_memory.hpp"

namespace {

using lull::format_bytes;
using lull::parse_bytes;
using namespace lull::literals;

TEST(Bytes, AreFormattedInTheLargestUnitThatFits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(16_GiB - 10_MiB), "15.99 GiB");
  EXPECT_EQ(format_bytes(158_MiB), "158 MiB");
}

TEST(Bytes, RoundingNeverReachesTheNextUnit) {
  EXPECT_EQ(format_bytes(1_MiB - 1), "1 MiB");
  EXPECT_EQ(format_bytes(1_GiB - 1), "1 GiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16 EiB");
}

TEST(Bytes, AreReadWithAndWithoutUnits) {
  EXPECT_EQ(parse_bytes("0"), 0u);
  EXPECT_EQ(parse_bytes("1073741824"), 1_GiB);
  EXPECT_EQ(parse_bytes("1GiB"), 1_GiB);
  EXPECT_EQ(parse_bytes(" 1.5 gib "), 1_GiB + 512_MiB);
  EXPECT_EQ(parse_bytes("512m"), 512_MiB);
  EXPECT_EQ(parse_bytes("7 B"), 7u);
  EXPECT_EQ(parse_bytes("18446744073709551615"), UINT64_MAX);
}

TEST(Bytes, BadTextIsQuoted) {
  for (const char* text : {"", "GiB", "-1", "1.2.3", "5 parsecs", "1e3", "18446744073709551616",
                           "16EiB", "99999999999 GiB", "1 GiB extra", "."}) {
    try {
      parse_bytes(text);
      ADD_FAILURE() << "'" << text << "' was taken for a byte count";
    } catch (const lull::error& failure) {
      EXPECT_EQ(failure.code(), lull::status::invalid_argument);
      EXPECT_THAT(failure.what(), testing::HasSubstr(std::string("'") + text + "'"));
    }
  }
}

TEST(Version, TextAndNumberAgree) {
  EXPECT_EQ(lull_version(), LULL_VERSION);
  const std::string expected = std::to_string(LULL_VERSION / 10000) + "." +
                               std::to_string(LULL_VERSION / 100 % 100) + "." +
                               std::to_string(LULL_VERSION % 100);
  EXPECT_EQ(lull_version_string(), expected);
}

TEST(Status, EveryCodeHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int code = LULL_OK; code <= LULL_ERROR_INTERNAL; ++code) {
    names.insert(lull_status_name(static_cast<lull_status>(code)));
    EXPECT_NE(lull::to_string(static_cast<lull::status>(code)), "?");
  }
  EXPECT_EQ(names.size(), LULL_ERROR_INTERNAL + 1u);
  EXPECT_STREQ(lull_status_name(static_cast<lull_status>(LULL_ERROR_INTERNAL + 1)), "LULL_ERROR_?");
  EXPECT_STREQ(lull_status_name(static_cast<lull_status>(-1)), "LULL_ERROR_?");
}

TEST(Error, CarriesTheVendorsPartAndKeepsItUnderContext) {
  static_assert(std::is_nothrow_copy_constructible_v<lull::error>);
  const lull::error inner(lull::status::backend, "copy failed",
                          {"CUDA0", "cuMemcpy", 700, "illegal"});
  const lull::error outer = inner.with_context("sleep");
  EXPECT_STREQ(outer.what(), "sleep: copy failed");
  EXPECT_EQ(outer.code(), lull::status::backend);
  EXPECT_EQ(outer.device(), "CUDA0");
  ASSERT_NE(outer.vendor(), nullptr);
  EXPECT_EQ(outer.vendor()->code, 700);
  EXPECT_EQ(lull::error(lull::status::io, "x").vendor(), nullptr);
}

TEST(Log, DropsLinesBelowTheThresholdAndSwallowsExceptions) {
  std::vector<std::string> lines;
  const lull::log_sink sink(
      [&](lull::log_level, std::string_view line) {
        lines.emplace_back(line);
        throw 1;
      },
      lull::log_level::warning);
  EXPECT_FALSE(sink.wants(lull::log_level::info));
  sink.write(lull::log_level::info, "no");
  sink.write(lull::log_level::error, "yes");
  EXPECT_THAT(lines, testing::ElementsAre("yes"));
  EXPECT_FALSE(lull::log_sink{}.wants(lull::log_level::error));
}

TEST(Clock, DeadlinesDoNotOverflow) {
  const lull::manual_clock clock;
  EXPECT_EQ(clock.deadline_in(lull::duration::max()), lull::no_deadline);
  EXPECT_EQ(clock.deadline_in(std::chrono::seconds{5}), clock.now() + std::chrono::seconds{5});
}

TEST(Clock, TheCoarseTimeNeverLeads) {
  const lull::clock& clock = lull::steady_clock();
  for (int i = 0; i < 1000; ++i) {
    const auto coarse = clock.coarse_now();
    EXPECT_LE(coarse, clock.now());
  }
}

TEST(Clock, AWaitOnTheManualClockEndsWhenTimeIsMoved) {
  lull::manual_clock clock;
  std::mutex mutex;
  std::condition_variable changed;
  const auto deadline = clock.now() + std::chrono::hours{1};
  std::thread mover([&] { clock.advance(std::chrono::hours{1}); });
  {
    std::unique_lock lock(mutex);
    while (clock.now() < deadline) clock.wait_until(changed, lock, deadline);
  }
  mover.join();
  EXPECT_EQ(clock.now(), deadline);
}

class SystemMemory : public testing::Test {
 protected:
  void SetUp() override {
    root_ =
        std::filesystem::path(testing::TempDir()) / ("lull-sysmem-" + std::to_string(::getpid()));
    write("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable:  600 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  std::filesystem::path root_;
};

TEST_F(SystemMemory, IsTheMachinesWithoutALimit) {
  const auto memory = lull::detail::read_system_memory(root_);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, 1000_KiB);
  EXPECT_EQ(memory->available_bytes, 600_KiB);
}

TEST_F(SystemMemory, AControlGroupAnywhereAboveUsLimitsIt) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  write("sys/fs/cgroup/outer/memory.max", "409600\n");
  write("sys/fs/cgroup/outer/memory.current", "307200\n");
  write("sys/fs/cgroup/outer/memory.stat", "anon 204800\ninactive_file 102400\n");
  const auto memory = lull::detail::read_system_memory(root_);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, 400_KiB);
  EXPECT_EQ(memory->available_bytes, 200_KiB) << "page cache of the group counts as available";
}

TEST_F(SystemMemory, ALimitThatOnlySlowsDownCountsToo) {
  write("proc/self/cgroup", "0::/inner\n");
  write("sys/fs/cgroup/inner/memory.max", "max\n");
  write("sys/fs/cgroup/inner/memory.high", "409600\n");
  write("sys/fs/cgroup/inner/memory.current", "204800\n");
  const auto memory = lull::detail::read_system_memory(root_);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->available_bytes, 200_KiB);
}

// Both versions at once, as systemd calls hybrid: memory belongs to version 1.
TEST_F(SystemMemory, AControlGroupOfVersion1LimitsIt) {
  write("proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
  write("proc/self/cgroup", "9:name=systemd:/\n4:hugetlb,memory:/outer/inner\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/outer/memory.limit_in_bytes", "409600\n");
  write("sys/fs/cgroup/memory/outer/memory.usage_in_bytes", "307200\n");
  write("sys/fs/cgroup/memory/outer/memory.stat", "cache 4096\ntotal_inactive_file 102400\n");
  const auto memory = lull::detail::read_system_memory(root_);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, 400_KiB);
  EXPECT_EQ(memory->available_bytes, 200_KiB);
}

TEST_F(SystemMemory, InAContainerTheMountedGroupIsOurs) {
  write("proc/self/mountinfo",
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  write("proc/self/cgroup", "4:memory:/docker/abc\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "307200\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "102400\n");
  const auto memory = lull::detail::read_system_memory(root_);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, 300_KiB);
  EXPECT_EQ(memory->available_bytes, 200_KiB);
}

TEST_F(SystemMemory, IsUnknownWithoutProc) {
  EXPECT_FALSE(lull::detail::read_system_memory(root_ / "nowhere"));
}

TEST_F(SystemMemory, WithoutADescriptorToLookIsNotWithoutLimit) {
  const lull::test::few_descriptors none(0);
  const lull::error failure =
      lull::test::error_of([&] { static_cast<void>(lull::detail::read_system_memory(root_)); });
  EXPECT_EQ(failure.code(), lull::status::io);
}

}  // namespace
