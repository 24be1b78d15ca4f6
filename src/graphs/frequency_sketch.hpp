#ifndef LULL_GRAPHS_FREQUENCY_SKETCH_HPP
#define LULL_GRAPHS_FREQUENCY_SKETCH_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lull::detail {

/// How often keys came lately, approximately: a count-min sketch of counters up to 15 whose halving
/// forgets the past. Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission
/// Policy", ACM Transactions on Storage 13 (2017), sections 3.2 to 3.4.
class frequency_sketch {
 public:
  static constexpr std::uint32_t highest = 15;  ///< counters of four bits, as in the paper

  /// Forgets everything, and fits itself to a cache of `entries`.
  /// @throws std::bad_alloc
  void reset(std::size_t entries) {
    std::size_t width = 64;
    // Eight counters an entry keep overestimates below a tenth for the ten samples an entry that
    // are counted between halvings.
    while (width < entries * 8) width *= 2;
    counters_.assign(width * depth, 0);
    mask_ = width - 1;
    capacity_ = entries;
  }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// How many uses should lie between two calls of halve(): ten an entry, the paper's W / C.
  [[nodiscard]] std::uint64_t sample_size() const noexcept { return 10 * (capacity_ + 1); }

  void add(std::uint64_t hash, std::uint32_t times) noexcept {
    const std::uint32_t before = estimate(hash);
    const std::uint32_t after = std::min(before + times, highest);
    // Conservative update: only counters that would fall below the estimate are raised.
    for (std::size_t row = 0; row < depth; ++row) {
      std::uint8_t& counter = counters_[place(hash, row)];
      counter = static_cast<std::uint8_t>(std::max<std::uint32_t>(counter, after));
    }
  }

  [[nodiscard]] std::uint32_t estimate(std::uint64_t hash) const noexcept {
    if (counters_.empty()) return 0;
    std::uint32_t least = highest;
    for (std::size_t row = 0; row < depth; ++row) {
      least = std::min<std::uint32_t>(least, counters_[place(hash, row)]);
    }
    return least;
  }

  void halve() noexcept {
    for (std::uint8_t& counter : counters_) counter = static_cast<std::uint8_t>(counter / 2);
  }

 private:
  static constexpr std::size_t depth = 4;

  /// One 64-bit finalizer gives four independent places (MurmurHash3's fmix64, in the public
  /// domain).
  [[nodiscard]] std::size_t place(std::uint64_t hash, std::size_t row) const noexcept {
    hash += row * 0x9E3779B97F4A7C15U;
    hash = (hash ^ (hash >> 33U)) * 0xFF51AFD7ED558CCDU;
    hash = (hash ^ (hash >> 33U)) * 0xC4CEB9FE1A85EC53U;
    return row * (mask_ + 1) + ((hash ^ (hash >> 33U)) & mask_);
  }

  std::vector<std::uint8_t> counters_;
  std::size_t mask_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_FREQUENCY_SKETCH_HPP
