#ifndef LULL_GRAPHS_INDEX_HPP
#define LULL_GRAPHS_INDEX_HPP

#include <lull/detail/graph_entry.hpp>

#include <array>
#include <mutex>
#include <unordered_map>

namespace lull::detail {

/// A mutex that is held for moments: who finds it taken looks again before it sleeps.
class brief_mutex {
 public:
  void lock() {
    for (int looks = 0; looks < 100; ++looks) {
      if (mutex_.try_lock()) return;
    }
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

/// Entries by key, in parts with a mutex each, so that threads that hit seldom meet. All but pin()
/// is called with the mutex of the books held, so that what only reads there needs no other.
class entry_index {
 public:
  /// A lookup: pins the entry of a key if it has a graph of this generation.
  /// @param note_use called for what is found
  template <class NoteUse>
  [[nodiscard]] graph_entry* pin(const graph_key& key, std::uint64_t generation,
                                 const NoteUse& note_use) {
    part& in = part_of(key.hash);
    const std::lock_guard lock(in.mutex);
    graph_entry* const found = find(key);
    if (found == nullptr || !found->findable || found->generation != generation) return nullptr;
    found->pins.fetch_add(graph_entry::one_pin, std::memory_order_relaxed);
    note_use(*found);
    in.hits.store(in.hits.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return found;
  }
  [[nodiscard]] graph_entry* find(const graph_key& key) {
    const auto& entries = part_of(key.hash).entries;
    for (auto at = entries.find(key.hash); at != entries.end() && at->first == key.hash; ++at) {
      if (key.is_of(key.key, *at->second)) return at->second;
    }
    return nullptr;
  }
  /// @throws std::bad_alloc
  void insert(graph_entry& entry) {
    part& in = part_of(entry.hash);
    const std::lock_guard lock(in.mutex);
    in.entries.emplace(entry.hash, &entry);
  }
  /// Marks it as leaving. @return whether it is pinned
  bool remove(graph_entry& entry) noexcept {
    part& in = part_of(entry.hash);
    const std::lock_guard lock(in.mutex);
    auto at = in.entries.find(entry.hash);
    while (at->second != &entry) ++at;
    in.entries.erase(at);
    return entry.pins.fetch_or(graph_entry::leaving) >= graph_entry::one_pin;
  }
  /// @return false, and it stays as it is, when it has more than one pin
  bool set_findable(graph_entry& entry, bool findable) {
    const std::lock_guard lock(part_of(entry.hash).mutex);
    if (entry.pins.load() >= 2 * graph_entry::one_pin) return false;
    entry.findable = findable;
    return true;
  }
  template <class See>
  void for_each(const See& see) const {
    for (const part& in : parts_) {
      for (const auto& each : in.entries) see(*each.second);
    }
  }
  [[nodiscard]] std::uint64_t hits() const noexcept {
    std::uint64_t sum = 0;
    for (const part& in : parts_) sum += in.hits.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) part {
    brief_mutex mutex;
    std::unordered_multimap<std::uint64_t, graph_entry*> entries;
    std::atomic<std::uint64_t> hits{0};
  };
  [[nodiscard]] part& part_of(std::uint64_t hash) noexcept { return parts_[hash % parts_.size()]; }
  std::array<part, 16> parts_;
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_INDEX_HPP
