#ifndef LULL_TESTS_SUPPORT_HOST_PAGES_HPP
#define LULL_TESTS_SUPPORT_HOST_PAGES_HPP

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace lull::test {

/// Whole pages of anonymous memory, as registering wants them.
class host_pages {
 public:
  explicit host_pages(std::size_t bytes)
      : address_(
            ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
        bytes_(bytes) {
    if (address_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~host_pages() { ::munmap(address_, bytes_); }
  host_pages(const host_pages&) = delete;
  host_pages& operator=(const host_pages&) = delete;

  [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(address_); }

 private:
  void* address_;
  std::size_t bytes_;
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_HOST_PAGES_HPP
