// How files are read that regions are filled from: through the page cache or past it.

#include <lull/bytes.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "memory/host_claim.hpp"
#include "memory/pages.hpp"
#include "memory/source_file.hpp"
#include "support/expect_error.hpp"
#include "support/scratch_folder.hpp"

namespace {

using namespace lull::literals;
using lull::detail::source_file;
using lull::detail::system_memory;
using lull::detail::unique_fd;

constexpr std::uint64_t file_bytes = 6_MiB + 4096 + 123;

/// Beside what is kept for everything else.
template <std::uint64_t Available>
std::optional<system_memory> machine_with() {
  return system_memory{.total_bytes = 1024_MiB, .available_bytes = 16_MiB + Available};
}

class SourceFile : public testing::Test {
 protected:
  SourceFile() : path_((folder_.path() / "weights").string()), bytes_(file_bytes) {
    for (std::uint64_t i = 0; i < file_bytes; ++i) {
      bytes_[i] = static_cast<std::byte>(i * 31 + (i >> 9) * 7);
    }
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes_.data()), file_bytes);
    descriptor_ = unique_fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  }
  ~SourceFile() override { lull::detail::set_system_memory_probe(nullptr); }

  [[nodiscard]] source_file open() const {
    return source_file(unique_fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)), path_);
  }

  /// @return whether its pages are gone from the page cache
  [[nodiscard]] bool make_cold() const {
    ::fsync(descriptor_.get());
    ::posix_fadvise(descriptor_.get(), 0, 0, POSIX_FADV_DONTNEED);
    return cached_pages() == 0;
  }
  [[nodiscard]] std::int64_t cached_pages() const {
    void* const mapped = ::mmap(nullptr, file_bytes, PROT_READ, MAP_SHARED, descriptor_.get(), 0);
    std::vector<unsigned char> there(file_bytes / 4096 + 1);
    EXPECT_EQ(::mincore(mapped, file_bytes, there.data()), 0);
    ::munmap(mapped, file_bytes);
    return std::count_if(there.begin(), there.end(), [](auto each) { return (each & 1) != 0; });
  }

  void expect_right(const std::byte* seen, std::uint64_t offset, std::uint64_t bytes) const {
    EXPECT_TRUE(std::equal(seen, seen + bytes, bytes_.begin() + static_cast<std::int64_t>(offset)))
        << bytes << " bytes at " << offset;
  }

  lull::test::scratch_folder folder_;
  std::string path_;
  std::vector<std::byte> bytes_;
  unique_fd descriptor_;
};

// The page cache could not keep it: there it would only be in the way of others.
TEST_F(SourceFile, AColdFileThatIsLargerThanMemoryIsReadPastThePageCache) {
  lull::detail::set_system_memory_probe(machine_with<1_MiB>);
  source_file file = open();
  file.choose_way();
  const unique_fd direct(::open(path_.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (!direct || !make_cold()) GTEST_SKIP() << "not on this file system";
  const lull::detail::pages buffer(8_MiB);
  file.read(0, buffer.address(), 4_MiB);
  expect_right(buffer.address(), 0, 4_MiB);
  EXPECT_EQ(cached_pages(), 0);
  file.read(4_MiB, buffer.address(), file_bytes - 4_MiB);
  expect_right(buffer.address(), 4_MiB, file_bytes - 4_MiB);
  EXPECT_LT(cached_pages(), 64) << "but for what is no whole block";
}

TEST_F(SourceFile, OneThatMemoryCanKeepIsThereTheNextTime) {
  lull::detail::set_system_memory_probe(machine_with<512_MiB>);
  source_file file = open();
  file.choose_way();
  if (!make_cold()) GTEST_SKIP() << "this file system keeps its pages";
  const lull::detail::pages buffer(8_MiB);
  file.read(0, buffer.address(), file_bytes);
  expect_right(buffer.address(), 0, file_bytes);
  EXPECT_GT(cached_pages(), 1500);
}

TEST_F(SourceFile, WhateverIsReadFromWhereverIsRight) {
  lull::detail::set_system_memory_probe(machine_with<0>);
  source_file file = open();
  file.choose_way();
  const lull::detail::pages buffer(8_MiB);
  for (const std::uint64_t offset : {0UL, 1UL, 4096UL, 4097UL, 5_MiB, 6_MiB + 4096}) {
    for (const std::uint64_t bytes : {1UL, 122UL, 123UL, 4096UL, 5000UL, 2_MiB}) {
      if (offset + bytes > file_bytes) continue;
      for (const std::uint64_t place : {0UL, 1UL}) {
        static_cast<void>(make_cold());
        file.read(offset, buffer.address() + place, bytes);
        expect_right(buffer.address() + place, offset, bytes);
      }
    }
  }
}

TEST_F(SourceFile, AFileThatEndsEarlyIsToldWithTheOffset) {
  lull::detail::set_system_memory_probe(machine_with<0>);
  source_file file = open();
  file.choose_way();
  const lull::detail::pages buffer(8_MiB);
  static_cast<void>(make_cold());
  ASSERT_EQ(::truncate(path_.c_str(), 2_MiB + 10), 0);
  const auto failure = lull::test::error_of([&] { file.read(0, buffer.address(), file_bytes); });
  EXPECT_EQ(failure.code(), lull::status::io);
  EXPECT_NE(std::string(failure.what()).find("at offset 2097162: the file ends there"),
            std::string::npos)
      << failure.what();
}

}  // namespace
