// Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions
// on Storage 13 (2017).

#include <algorithm>
#include <vector>

#include "graphs/eviction.hpp"

namespace lull::detail {
namespace {

/// How often keys came lately, approximately: a count-min sketch of counters up to 15 whose halving
/// forgets the past (sections 3.2 to 3.4).
class frequency_sketch {
 public:
  static constexpr std::uint32_t highest = 15;  ///< counters of four bits, as in the paper

  /// Forgets everything, and fits itself to a cache of `entries`. @throws std::bad_alloc
  void reset(std::size_t entries) {
    std::size_t width = 64;
    // Eight counters an entry keep overestimates below a tenth for the ten samples an entry that
    // are counted between halvings.
    while (width < entries * 8) width *= 2;
    counters_.assign(width * depth, 0);
    capacity_ = entries;
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// How many uses should lie between two calls of halve(): ten an entry, the paper's W / C.
  [[nodiscard]] std::uint64_t sample_size() const noexcept { return 10 * (capacity_ + 1); }

  void add(std::uint64_t hash, std::uint32_t times) noexcept {
    const std::uint32_t after = std::min(estimate(hash) + std::min(times, highest), highest);
    // Conservative update: only counters that would fall below the estimate are raised.
    for (std::size_t row = 0; row < depth && capacity_ != 0; ++row) {
      std::uint8_t& counter = counters_[place(hash, row)];
      counter = static_cast<std::uint8_t>(std::max<std::uint32_t>(counter, after));
    }
  }
  [[nodiscard]] std::uint32_t estimate(std::uint64_t hash) const noexcept {
    std::uint32_t least = capacity_ == 0 ? 0 : highest;
    for (std::size_t row = 0; row < depth && capacity_ != 0; ++row) {
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
    const std::size_t width = counters_.size() / depth;
    return row * width + ((hash ^ (hash >> 33U)) & (width - 1));
  }

  std::vector<std::uint8_t> counters_;
  std::size_t capacity_ = 0;
};

/// Newcomers wait in a window, and take the place of a settled entry only if they came more often.
class frequency_filter final : public eviction_policy {
 public:
  void add(graph_entry& entry, bool has_room) override {
    window_.add(entry);
    entry.in_window = true;
    // As long as there is room, nobody has to earn a place.
    while (has_room && window_.size() > share_of_newcomers()) {
      graph_entry* const oldest = window_.first();
      if (oldest == nullptr) break;
      settle(*oldest);
    }
  }
  void remove(graph_entry& entry) noexcept override {
    flush(entry);
    (entry.in_window ? window_ : settled_).remove(entry);
  }

  [[nodiscard]] graph_entry* victim(bool again) noexcept override {
    graph_entry* const settled = settled_.first();
    graph_entry* const newcomer = window_.first();
    if (settled == nullptr || newcomer == nullptr) return settled != nullptr ? settled : newcomer;
    // Below its share the window is left alone; but not when it has just lost an entry to the same
    // newcomer, which needs the room of several: else each of those would cost a settled entry.
    if (window_.size() < share_of_newcomers() && !again) return settled;
    if (frequency(*newcomer) <= frequency(*settled)) return newcomer;
    settle(*newcomer);
    return settled;
  }

  void note_miss(std::uint64_t hash, std::uint64_t lookups) noexcept override {
    const std::size_t entries = settled_.size() + window_.size();
    if (entries >= sketch_.capacity()) {
      try {
        sketch_.reset(std::max<std::size_t>(entries * 2, 64));  // so that growing forgets seldom
      } catch (const std::bad_alloc&) {
        return;  // the old one is too small, and still better than none
      }
    }
    if (lookups - sampled_at_ >= sketch_.sample_size()) {
      sampled_at_ = lookups;
      settled_.for_each([this](graph_entry& each) { flush(each); });
      window_.for_each([this](graph_entry& each) { flush(each); });
      sketch_.halve();
    }
    sketch_.add(hash, 1);
  }

 private:
  void settle(graph_entry& entry) noexcept {
    settled_.take(window_, entry);
    entry.in_window = false;
  }
  /// One entry in 64; the paper's W-TinyLFU uses one in a hundred.
  [[nodiscard]] std::size_t share_of_newcomers() const noexcept { return settled_.size() / 64 + 1; }
  [[nodiscard]] std::uint32_t frequency(const graph_entry& entry) const noexcept {
    const std::uint32_t uses = entry.uses.load(std::memory_order_relaxed);
    return std::min(sketch_.estimate(entry.hash) + std::min(uses, sketch_.highest),
                    sketch_.highest);
  }
  void flush(graph_entry& entry) noexcept {
    sketch_.add(entry.hash, entry.uses.exchange(0, std::memory_order_relaxed));
  }

  use_order settled_;
  use_order window_;
  frequency_sketch sketch_;
  std::uint64_t sampled_at_ = 0;
};

}  // namespace

std::unique_ptr<eviction_policy> make_frequency_filter() {
  return std::make_unique<frequency_filter>();
}

}  // namespace lull::detail
