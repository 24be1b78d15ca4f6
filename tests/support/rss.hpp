#ifndef LULL_TESTS_SUPPORT_RSS_HPP
#define LULL_TESTS_SUPPORT_RSS_HPP

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace lull::test {

/// What the resident set may grow by although memory was returned: the kernel's own figure is off
/// by some pages for each processor, other tests of the process leave memory with the allocator,
/// and the address sanitizer keeps an eighth of whatever was mapped once as its shadow.
inline constexpr std::uint64_t rss_slack_bytes = std::uint64_t{16} << 20;

/// The resident set of this process.
inline std::uint64_t resident_bytes() {
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_RSS_HPP
