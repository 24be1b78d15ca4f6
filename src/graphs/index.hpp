#ifndef LULL_GRAPHS_INDEX_HPP
#define LULL_GRAPHS_INDEX_HPP

#include <mutex>
#include <unordered_map>

#include "graphs/account.hpp"

namespace lull::detail {

/// Entries by key, and their uses. Changes under the mutex of hits; all but pin() is called with that of
/// the books held too, so that what only reads there needs no other.
class entry_index {
 public:
  /// @param account numbers the uses, and has the mutex
  explicit entry_index(graph_account& account) : account_(account) {}

  /// A lookup: pins the entry of a key if it has a graph of this generation.
  [[nodiscard]] graph_entry* pin(const graph_key& key, std::uint64_t generation) {
    const std::lock_guard lock(account_.hit_mutex);
    graph_entry* const found = find(key);
    if (found == nullptr || !found->findable || found->generation != generation) return nullptr;
    found->pins.fetch_add(graph_entry::one_pin, std::memory_order_relaxed);
    number(*found);
    found->uses.store(found->uses.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    ++hits_;
    return found;
  }
  [[nodiscard]] graph_entry* find(const graph_key& key) const {
    for (auto at = entries_.find(key.hash); at != entries_.end() && at->first == key.hash; ++at) {
      if (key.is_of(key.key, *at->second)) return at->second;
    }
    return nullptr;
  }
  /// @throws std::bad_alloc
  void insert(graph_entry& entry) {
    const std::lock_guard lock(account_.hit_mutex);
    entries_.emplace(entry.hash, &entry);
    number(entry);
  }
  /// Marks it as leaving. @return whether it is pinned
  bool remove(graph_entry& entry) noexcept {
    const std::lock_guard lock(account_.hit_mutex);
    auto at = entries_.find(entry.hash);
    while (at->second != &entry) ++at;
    entries_.erase(at);
    return entry.pins.fetch_or(graph_entry::leaving) >= graph_entry::one_pin;
  }
  /// Lets it be found, as what was used last, or not any more.
  /// @return false, and it stays as it is, when it has more than one pin
  bool set_findable(graph_entry& entry, bool findable) {
    const std::lock_guard lock(account_.hit_mutex);
    if (entry.pins.load() >= 2 * graph_entry::one_pin) return false;
    entry.findable = findable;
    if (findable) number(entry);
    return true;
  }
  template <class See>
  void for_each(const See& see) const {
    for (const auto& each : entries_) see(*each.second);
  }
  [[nodiscard]] std::uint64_t hits() const {
    const std::lock_guard lock(account_.hit_mutex);
    return hits_;
  }

 private:
  void number(graph_entry& entry) noexcept {
    entry.stamp.store(++account_.uses, std::memory_order_relaxed);
  }

  graph_account& account_;
  std::unordered_multimap<std::uint64_t, graph_entry*> entries_;
  std::uint64_t hits_ = 0;
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_INDEX_HPP
