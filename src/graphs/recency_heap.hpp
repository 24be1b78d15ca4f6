#ifndef LULL_GRAPHS_RECENCY_HEAP_HPP
#define LULL_GRAPHS_RECENCY_HEAP_HPP

#include <lull/graph_cache_core.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lull::detail {

/// Entries by recency. A use only writes the entry's stamp; the heap is ordered by the stamps it saw
/// last, and looks again at what comes to the top. Stamps grow, so what is at the top with an
/// unchanged stamp is the least recently used one exactly. Every use costs at most one repair.
class recency_heap {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] graph_node& node(std::size_t position) const noexcept {
    return *places_[position].node;
  }

  /// @throws std::bad_alloc
  void reserve(std::size_t entries) {
    if (entries > places_.capacity()) places_.reserve(entries * 2);
  }

  /// @pre reserved
  void push(graph_node& node) noexcept {
    node.heap_position = places_.size();
    places_.push_back({node.stamp.load(std::memory_order_relaxed), &node});
    sift_up(node.heap_position);
  }

  void remove(const graph_node& node) noexcept {
    const std::size_t hole = node.heap_position;
    put(hole, places_.back());
    places_.pop_back();
    if (hole == places_.size()) return;
    sift_up(hole);
    sift_down(hole);
  }

  /// The least recently used entry; null when there is none.
  [[nodiscard]] graph_node* least_recent() noexcept {
    while (!places_.empty()) {
      place& top = places_.front();
      const auto stamp = top.node->stamp.load(std::memory_order_relaxed);
      if (stamp == top.stamp) return top.node;
      top.stamp = stamp;
      sift_down(0);
    }
    return nullptr;
  }

 private:
  struct place {
    std::uint64_t stamp;  ///< as seen last
    graph_node* node;
  };

  void put(std::size_t position, const place& what) noexcept {
    places_[position] = what;
    what.node->heap_position = position;
  }

  void sift_up(std::size_t at) noexcept {
    const place moved = places_[at];
    while (at > 0 && places_[(at - 1) / 2].stamp > moved.stamp) {
      put(at, places_[(at - 1) / 2]);
      at = (at - 1) / 2;
    }
    put(at, moved);
  }

  void sift_down(std::size_t at) noexcept {
    const place moved = places_[at];
    for (;;) {
      std::size_t child = 2 * at + 1;
      if (child >= places_.size()) break;
      if (child + 1 < places_.size() && places_[child + 1].stamp < places_[child].stamp) ++child;
      if (places_[child].stamp >= moved.stamp) break;
      put(at, places_[child]);
      at = child;
    }
    put(at, moved);
  }

  std::vector<place> places_;
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_RECENCY_HEAP_HPP
