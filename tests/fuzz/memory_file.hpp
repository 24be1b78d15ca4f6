#ifndef TESTS_FUZZ_MEMORY_FILE_HPP
#define TESTS_FUZZ_MEMORY_FILE_HPP

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "expect.hpp"

/// A file in memory, for what reads files by name. One for all runs.
inline std::filesystem::path file_with(const std::uint8_t* bytes, std::size_t count) {
  static const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  expect(::ftruncate(descriptor, 0) == 0, "the file can be emptied");
  expect(::pwrite(descriptor, bytes, count, 0) == static_cast<ssize_t>(count), "and written");
  return "/proc/self/fd/" + std::to_string(descriptor);
}

#endif  // TESTS_FUZZ_MEMORY_FILE_HPP
