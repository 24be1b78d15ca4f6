#ifndef LULL_TESTS_ADAPTERS_CACHING_ALLOCATOR_HPP
#define LULL_TESTS_ADAPTERS_CACHING_ALLOCATOR_HPP

#include <algorithm>
#include <cstddef>
#include <list>
#include <vector>

#include "adapters/torch_library.hpp"

namespace lull::test {

/// Asks as PyTorch's caching allocator does: for segments of 2 MiB, of which blocks up to 1 MiB are
/// cut; of 20 MiB for those below 10 MiB; and for the rest a multiple of 2 MiB each. Segments are
/// kept when their last block goes, until empty_cache(). For one thread.
class caching_allocator {
 public:
  struct block {
    std::byte* address = nullptr;
    std::size_t bytes = 0;
  };

  caching_allocator() = default;
  ~caching_allocator() { empty_cache(); }
  caching_allocator(const caching_allocator&) = delete;
  caching_allocator& operator=(const caching_allocator&) = delete;

  /// @throws std::exception: as the library does
  block allocate(std::size_t bytes) {
    bytes = (bytes + 511) / 512 * 512;
    const std::size_t wanted = segment_size(bytes);
    for (segment& each : segments_) {
      if (each.bytes == wanted && each.bytes - each.used >= bytes) return cut(each, bytes);
    }
    void* const made = CALL(lull_torch_pool_alloc)(static_cast<ssize_t>(wanted), 0, nullptr);
    if (made == nullptr) throw std::bad_alloc();
    segments_.push_back({static_cast<std::byte*>(made), wanted, 0, 0});
    return cut(segments_.back(), bytes);
  }

  void free(const block& which) {
    segment& of = *std::find_if(segments_.begin(), segments_.end(), [&](const segment& each) {
      return which.address >= each.address && which.address < each.address + each.bytes;
    });
    if (--of.blocks == 0) of.used = 0;
  }

  void empty_cache() {
    segments_.remove_if([](const segment& each) {
      if (each.blocks != 0) return false;
      CALL(lull_torch_free)(each.address, static_cast<ssize_t>(each.bytes), 0, nullptr);
      return true;
    });
  }

 private:
  struct segment {
    std::byte* address;
    std::size_t bytes;
    std::size_t used;
    std::size_t blocks;
  };

  static std::size_t segment_size(std::size_t bytes) {
    if (bytes <= MiB) return 2 * MiB;
    if (bytes < 10 * MiB) return 20 * MiB;
    return (bytes + 2 * MiB - 1) / (2 * MiB) * (2 * MiB);
  }

  static block cut(segment& from, std::size_t bytes) {
    const block made{from.address + from.used, bytes};
    from.used += bytes;
    ++from.blocks;
    return made;
  }

  std::list<segment> segments_;
};

}  // namespace lull::test

#endif  // LULL_TESTS_ADAPTERS_CACHING_ALLOCATOR_HPP
