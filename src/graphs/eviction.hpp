#ifndef LULL_GRAPHS_EVICTION_HPP
#define LULL_GRAPHS_EVICTION_HPP

#include <lull/detail/graph_entry.hpp>

#include <map>

namespace lull::detail {

/// Entries by their last use. A hit only writes the entry's stamp; the order is kept by the stamps
/// it saw last, and looks again at what comes first. Stamps grow, so what is first with an
/// unchanged stamp is the least recently used one exactly. Every use costs at most one repair.
class use_order {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return by_stamp_.size(); }
  /// @throws std::bad_alloc
  void add(graph_entry& entry) {
    entry.ordered_by = entry.stamp.load(std::memory_order_relaxed);
    by_stamp_.emplace_hint(by_stamp_.end(), entry.ordered_by, &entry);
  }
  void remove(const graph_entry& entry) noexcept { by_stamp_.erase(entry.ordered_by); }
  void take(use_order& from, const graph_entry& entry) noexcept {
    by_stamp_.insert(from.by_stamp_.extract(entry.ordered_by));
  }

  /// What was used least recently of what is not in use; null when there is nothing. Who releases
  /// what was passed over says so: see graph_entry::wanted.
  [[nodiscard]] graph_entry* first() noexcept {
    for (auto at = by_stamp_.begin(); at != by_stamp_.end();) {
      graph_entry& entry = *at->second;
      const std::uint64_t stamp = entry.stamp.load(std::memory_order_relaxed);
      if (stamp != at->first) {
        const auto next = std::next(at);
        auto moved = by_stamp_.extract(at);
        moved.key() = entry.ordered_by = stamp;
        at = by_stamp_.insert(std::move(moved)).position;
        if (next != by_stamp_.end() && next->first < stamp) at = next;
      } else if (entry.pins.fetch_or(graph_entry::wanted) >= graph_entry::one_pin) {
        ++at;
      } else {
        return &entry;
      }
    }
    return nullptr;
  }
  template <class See>
  void for_each(const See& see) const {
    for (const auto& each : by_stamp_) see(*each.second);
  }

 private:
  std::map<std::uint64_t, graph_entry*> by_stamp_;
};

/// Which entry goes next. Called with the mutex of the books held.
class eviction_policy {
 public:
  virtual ~eviction_policy() = default;
  /// @param has_room whether nothing has to go for the next entry. @throws std::bad_alloc
  virtual void add(graph_entry& entry, bool has_room) = 0;
  virtual void remove(graph_entry& entry) noexcept = 0;
  /// @param again whether another one has just gone for the same newcomer
  /// @return null when all is in use
  [[nodiscard]] virtual graph_entry* victim(bool again) noexcept = 0;
  /// A key was sought and not found. @param lookups so far, hits among them
  virtual void note_miss(std::uint64_t /*hash*/, std::uint64_t /*lookups*/) noexcept {}
};

/// The least recently used one.
class lru_policy final : public eviction_policy {
 public:
  void add(graph_entry& entry, bool /*has_room*/) override { order_.add(entry); }
  void remove(graph_entry& entry) noexcept override { order_.remove(entry); }
  [[nodiscard]] graph_entry* victim(bool /*again*/) noexcept override { return order_.first(); }

 private:
  use_order order_;
};

/// TinyLFU: keys that come once do not wash out those that come often.
std::unique_ptr<eviction_policy> make_frequency_filter();

}  // namespace lull::detail

#endif  // LULL_GRAPHS_EVICTION_HPP
