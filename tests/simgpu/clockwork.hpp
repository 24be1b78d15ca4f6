#ifndef LULL_TESTS_SIMGPU_CLOCKWORK_HPP
#define LULL_TESTS_SIMGPU_CLOCKWORK_HPP

#include <chrono>
#include <cstdint>

namespace simgpu {

/// How long things take: as on an NVIDIA H200 with driver 580.159.04 and CUDA 13.0, 2026-11-26 (see
/// docs/hardware-notes.md), all of it slowed down by one factor, so that two processor cores can
/// carry the bytes that its link would move. What moves at which share of the link, and what a call
/// costs beside a copy, stays as it was.
struct clockwork {
  using duration = std::chrono::nanoseconds;

  double slowdown = 0;  ///< 0: nothing takes any time
  /// Each byte stands for so many, so that a few hundred megabytes behave as gigabytes would: what
  /// a call costs stays beside what the bytes cost.
  double scale = 1;
  /// Of the link's rate: pages that are populated and registered by eight threads.
  double pin_share = 0.45;

  [[nodiscard]] duration copy(std::uint64_t bytes, bool to_host, bool pinned) const {
    // Both ways 55.3 GB/s; pageable 14.7 to warm pages and 8.2 from them.
    const double share = pinned ? 1.0 : to_host ? 14.7 / 55.3 : 8.2 / 55.3;
    return scaled(scale * static_cast<double>(bytes) / (link_bytes_per_ns * share));
  }
  /// @param populated the pages are there: 16 GiB in 0.31 s
  [[nodiscard]] duration pin(std::uint64_t bytes, bool populated) const {
    return scaled(scale * static_cast<double>(bytes) /
                  (link_bytes_per_ns * (populated ? 1.0 : pin_share)));
  }
  [[nodiscard]] duration unpin(std::uint64_t bytes) const { return per_gib(bytes, 0, 18.8e6); }

  // Handles of 2 MiB, 64 MiB, 512 MiB and 4 GiB; a line through the first and the last.
  [[nodiscard]] duration create(std::uint64_t bytes) const { return per_gib(bytes, 8800, 21600); }
  [[nodiscard]] duration map(std::uint64_t bytes) const { return per_gib(bytes, 1100, 180); }
  [[nodiscard]] duration access(std::uint64_t bytes) const { return per_gib(bytes, 26600, 48600); }
  [[nodiscard]] duration unmap(std::uint64_t bytes) const { return per_gib(bytes, 16700, 12800); }
  [[nodiscard]] duration release(std::uint64_t bytes) const {
    return per_gib(bytes, 10000, 276000);
  }

  // A process from and to its host memory, with its context: from bare ones and 16 GiB.
  [[nodiscard]] duration save(std::uint64_t bytes) const { return per_gib(bytes, 400e6, 540e6); }
  [[nodiscard]] duration restore(std::uint64_t bytes) const { return per_gib(bytes, 340e6, 225e6); }

 private:
  static constexpr double link_bytes_per_ns = 55.3;

  [[nodiscard]] duration scaled(double nanoseconds) const {
    return duration(static_cast<std::int64_t>(nanoseconds * slowdown));
  }
  [[nodiscard]] duration per_gib(std::uint64_t bytes, double call_ns, double gib_ns) const {
    return scaled(call_ns + gib_ns * scale * static_cast<double>(bytes) / (std::uint64_t{1} << 30));
  }
};

}  // namespace simgpu

#endif  // LULL_TESTS_SIMGPU_CLOCKWORK_HPP
