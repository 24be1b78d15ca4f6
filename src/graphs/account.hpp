#ifndef LULL_GRAPHS_ACCOUNT_HPP
#define LULL_GRAPHS_ACCOUNT_HPP

#include <lull/graph_cache.hpp>

#include <algorithm>

namespace lull::detail {

/// A number of entries and their bytes.
struct graph_tally {
  std::uint64_t entries = 0, bytes = 0;

  graph_tally operator+(const graph_tally& more) const noexcept {
    return {entries + more.entries, bytes + more.bytes};
  }
  graph_tally operator-(const graph_tally& less) const noexcept {
    return {entries - less.entries, bytes - less.bytes};
  }
};

/// Bounds, and what counts against them: of one cache, or of all caches of a budget. An entry is
/// live, then held (evicted, and in use), then queued (to be destroyed); captures reserve their
/// room.
struct graph_account {
  std::optional<std::uint64_t> max_entries, max_bytes;
  graph_tally reserved, live, held, queued;
  std::atomic<std::uint64_t> uses{0};  ///< numbers the uses of all entries

  [[nodiscard]] graph_tally existing() const noexcept { return live + held + queued; }
  [[nodiscard]] std::optional<graph_eviction> bound_below(const graph_tally& all) const noexcept {
    if (max_entries && all.entries > *max_entries) return graph_eviction::entries;
    if (max_bytes && all.bytes > *max_bytes) return graph_eviction::bytes;
    return std::nullopt;
  }
  /// The bound that `more` would break once all that is queued is destroyed.
  [[nodiscard]] std::optional<graph_eviction> shortage(const graph_tally& more) const noexcept {
    return bound_below(reserved + live + held + more);
  }
};

/// The accounts that a cache counts in, its own and its budget's; and what it counts besides.
struct graph_ledger {
  std::vector<std::shared_ptr<graph_account>> accounts;
  graph_cache_stats counted;

  [[nodiscard]] const graph_account& own() const noexcept { return *accounts.front(); }
  void add(graph_tally graph_account::*to, const graph_tally& what) noexcept {
    for (const auto& each : accounts) (*each).*to = (*each).*to + what;
  }
  void subtract(graph_tally graph_account::*from, const graph_tally& what) noexcept {
    for (const auto& each : accounts) (*each).*from = (*each).*from - what;
  }
  /// Has an entry count elsewhere, or nowhere, for so many bytes.
  void count(graph_entry& entry, graph_tally graph_account::*as, std::uint64_t bytes) noexcept {
    if (entry.counted_as != nullptr) subtract(entry.counted_as, {1, entry.bytes});
    entry.bytes = bytes;
    entry.counted_as = as;
    if (as != nullptr) add(as, {1, bytes});
    if (as != &graph_account::live) return;
    counted.peak_entries = std::max(counted.peak_entries, own().existing().entries);
    counted.peak_bytes = std::max(counted.peak_bytes, own().existing().bytes);
  }
  /// Also called for hits, without the mutex of the books.
  void note_use(graph_entry& entry) const noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    entry.stamp.store(accounts.back()->uses.fetch_add(1, relaxed) + 1, relaxed);
    entry.uses.store(entry.uses.load(relaxed) + 1, relaxed);
  }
  template <class Predicate>
  [[nodiscard]] bool any(const Predicate& holds) const {
    return std::any_of(accounts.begin(), accounts.end(),
                       [&](const auto& it) { return holds(*it); });
  }
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_ACCOUNT_HPP
