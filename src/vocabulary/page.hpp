#ifndef LULL_VOCABULARY_PAGE_HPP
#define LULL_VOCABULARY_PAGE_HPP

#include <unistd.h>

#include <cstdint>

namespace lull::detail {

/// Of the host.
inline std::uint64_t page_bytes() noexcept {
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// What x86 and most ARM kernels make of 512 pages.
inline constexpr std::uint64_t huge_page_bytes = std::uint64_t{2} << 20;

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_PAGE_HPP
