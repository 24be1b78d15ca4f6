#ifndef LULL_MEMORY_PAGES_HPP
#define LULL_MEMORY_PAGES_HPP

#include <cstddef>
#include <cstdint>
#include <utility>

#include "vocabulary/page.hpp"

namespace lull::detail {

/// Anonymous pages, aligned to huge pages, with huge pages advised. Address space only, until they
/// are populated or touched. Move-only.
class pages {
 public:
  pages() noexcept = default;
  /// @throws error out_of_host_memory
  explicit pages(std::uint64_t bytes);
  pages(pages&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(other.bytes_) {}
  pages& operator=(pages&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~pages();

  [[nodiscard]] std::byte* address() const noexcept { return address_; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return bytes_; }

  /// Puts memory behind all of them at once: many times faster than one fault after the other.
  /// @throws error out_of_host_memory
  void populate() { populate(0, bytes_); }
  /// As populate(), of the pages that a part touches.
  void populate(std::uint64_t offset, std::uint64_t bytes);
  /// Gives the memory behind whole pages of a part back; the address space stays.
  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept;

 private:
  std::byte* address_ = nullptr;
  std::uint64_t bytes_ = 0;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_PAGES_HPP
