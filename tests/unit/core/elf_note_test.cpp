#include "core/elf_note.hpp"

#include <lull/backend.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"

namespace {

namespace fs = std::filesystem;
using lull::status;
using lull::detail::read_module_abi;
using lull::test::error_of;
using testing::HasSubstr;

fs::path path_of(const std::string& name) {
  return fs::path(LULL_TEST_MODULES) / name / ("liblull-backend-" + name + ".so");
}

class ElfNote : public testing::Test {
 protected:
  ElfNote() {
    std::ifstream in(path_of("good"), std::ios::binary);
    whole_.assign(std::istreambuf_iterator<char>(in), {});
    EXPECT_GT(whole_.size(), 1000u);
  }
  ~ElfNote() override { fs::remove(path_); }

  std::uint32_t read(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return read_module_abi(path_);
  }
  std::string reason(const std::string& bytes) {
    const auto failure = error_of([&] { static_cast<void>(read(bytes)); });
    EXPECT_EQ(failure.code(), status::bad_module);
    return failure.what();
  }

  fs::path path_ = fs::path(testing::TempDir()) / ("lull-elf-" + std::to_string(::getpid()));
  std::string whole_;
};

TEST_F(ElfNote, IsReadFromAModule) {
  EXPECT_EQ(read_module_abi(path_of("good")), LULL_BACKEND_ABI_VERSION);
  EXPECT_EQ(read_module_abi(path_of("other_major")), 0x00030003u);
}

TEST_F(ElfNote, AFileThatCannotBeReadIsNoBadModule) {
  EXPECT_EQ(error_of([] { static_cast<void>(read_module_abi("/nonexistent.so")); }).code(),
            status::not_found);
  EXPECT_THAT(
      error_of([] { static_cast<void>(read_module_abi(fs::temp_directory_path())); }).what(),
      HasSubstr("regular file"));
  EXPECT_THAT(error_of([] { static_cast<void>(read_module_abi("/dev/null")); }).what(),
              HasSubstr("regular file"));
}

TEST_F(ElfNote, WhatIsNoModuleSaysWhatItIs) {
  EXPECT_THAT(reason(""), HasSubstr("empty"));
  EXPECT_THAT(reason("#!/bin/sh\n"), HasSubstr("not an ELF file"));
  EXPECT_THAT(reason(whole_.substr(0, 20)), HasSubstr("truncated"));
  EXPECT_THAT(error_of([] { static_cast<void>(read_module_abi(path_of("no_note"))); }).what(),
              HasSubstr("no lull backend"));
  std::string changed = whole_;
  changed[4] = 1;  // EI_CLASS: 32 bit
  EXPECT_THAT(reason(changed), HasSubstr("another machine"));
  changed = whole_;
  changed[18] = 0x14;  // e_machine: PowerPC
  EXPECT_THAT(reason(changed), HasSubstr("another machine"));
  changed = whole_;
  changed[16] = 1;  // e_type: relocatable
  EXPECT_THAT(reason(changed), HasSubstr("not a shared object"));
}

// What lies behind the last segment (section headers, symbols for debuggers) is not needed to load
// it.
TEST_F(ElfNote, TruncatedAnywhereIsRefusedOrHarmless) {
  std::size_t accepted = 0;
  for (std::size_t length = 0; length < whole_.size(); length += whole_.size() / 300 + 1) {
    try {
      read(whole_.substr(0, length));
      ++accepted;
    } catch (const lull::error& failure) {
      EXPECT_EQ(failure.code(), status::bad_module);
      EXPECT_EQ(accepted, 0u) << "refused at " << length << " after a shorter one was accepted";
    }
  }
}

TEST_F(ElfNote, AnyWrongByteIsReadOrRefused) {
  const auto seed = std::random_device{}();
  // At once: what this test is for is a crash, after which nothing is printed any more.
  std::cout << "[     SEED ] " << seed << std::endl;
  std::mt19937 random(seed);
  int refused = 0;
  constexpr int rounds = 500;
  for (int i = 0; i < rounds; ++i) {
    std::string mutated = whole_;
    for (int changes = 0; changes < 3; ++changes) {
      mutated[random() % 1024] = static_cast<char>(random());  // headers and notes
    }
    try {
      read(mutated);
    } catch (const lull::error& failure) {
      ++refused;
      EXPECT_EQ(failure.code(), status::bad_module) << failure.what();
      EXPECT_STRNE(failure.what(), "");
    }
  }
  // Three bytes of headers and notes: many matter, and many do not.
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, rounds);
}

}  // namespace
