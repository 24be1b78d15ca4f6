#include "reference.hpp"

#include <lull/bytes.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#include "timing.hpp"

namespace sleep_bench {

using namespace lull::literals;

reference pinned_copy(const lull::device& where, std::uint64_t bytes, std::uint64_t scale) {
  const std::uint64_t block = std::min<std::uint64_t>(bytes, 1_GiB / scale);
  const std::uint64_t chunk = 64_MiB / scale;
  auto* const host = static_cast<std::byte*>(where.pinned_allocate(block));
  auto* const device = static_cast<std::byte*>(where.allocate(block));
  const auto stream = where.stream_create();
  const auto copy = [&](bool out, std::uint64_t total) {
    for (std::uint64_t done = 0; done < total; done += chunk) {
      const std::uint64_t at = done % block;
      const std::uint64_t size = std::min({chunk, block - at, total - done});
      if (out) {
        where.copy_to_host_async(stream, host + at, device + at, size);
      } else {
        where.copy_from_host_async(stream, device + at, host + at, size);
      }
    }
    where.stream_synchronize(stream);
  };
  copy(true, block);
  reference taken;
  const double cpu_before = cpu_seconds();
  taken.out_s = seconds_of([&] { copy(true, bytes); });
  taken.cpu_s = cpu_seconds() - cpu_before;
  taken.in_s = seconds_of([&] { copy(false, bytes); });
  where.stream_destroy(stream);
  where.deallocate(device, block);
  where.pinned_free(host);
  return taken;
}

reference fresh_copy(const std::vector<std::uint64_t>& sizes) {
  class pages {
   public:
    explicit pages(std::uint64_t bytes) : bytes_(bytes) {
      at_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (at_ == MAP_FAILED) throw std::runtime_error("no memory for the reference");
      ::madvise(at_, bytes, MADV_HUGEPAGE);
    }
    ~pages() { ::munmap(at_, bytes_); }
    pages(const pages&) = delete;
    pages& operator=(const pages&) = delete;
    [[nodiscard]] void* at() const noexcept { return at_; }

   private:
    void* at_;
    std::uint64_t bytes_;
  };
  const pages from(*std::max_element(sizes.begin(), sizes.end()));
  std::memset(from.at(), 1, *std::max_element(sizes.begin(), sizes.end()));
  const double cpu_before = cpu_seconds();
  const double took = seconds_of([&] {
    for (const std::uint64_t bytes : sizes) {
      const pages to(bytes);
      std::memcpy(to.at(), from.at(), bytes);
    }
  });
  return {took, took, cpu_seconds() - cpu_before};
}

}  // namespace sleep_bench
