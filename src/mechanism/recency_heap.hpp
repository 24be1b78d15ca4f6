#ifndef LULL_MECHANISM_RECENCY_HEAP_HPP
#define LULL_MECHANISM_RECENCY_HEAP_HPP

#include <lull/graph_cache_core.hpp>

#include <atomic>
#include <cstddef>
#include <utility>
#include <vector>

namespace lull::detail {

/// Entries by recency. A use only writes the entry's stamp; the heap is ordered by the stamps it saw
/// last, and looks again at what comes to the top. Stamps grow, so what is at the top with an
/// unchanged stamp is the least recently used one exactly. Every use costs at most one repair.
class recency_heap {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }
  [[nodiscard]] const std::vector<graph_node*>& nodes() const noexcept { return nodes_; }

  /// @throws std::bad_alloc
  void reserve(std::size_t entries) {
    if (entries > nodes_.capacity()) nodes_.reserve(entries * 2);
  }

  /// @pre reserved
  void push(graph_node& node) noexcept {
    node.listed_stamp = node.stamp.load(std::memory_order_relaxed);
    nodes_.push_back(&node);
    node.heap_position = nodes_.size() - 1;
    sift_up(node.heap_position);
  }

  void remove(const graph_node& node) noexcept {
    const std::size_t hole = node.heap_position;
    put(hole, nodes_.back());
    nodes_.pop_back();
    if (hole < nodes_.size()) {
      sift_up(hole);
      sift_down(hole);
    }
  }

  /// The least recently used entry; null when there is none.
  [[nodiscard]] graph_node* least_recent() noexcept {
    while (!nodes_.empty()) {
      graph_node& top = *nodes_.front();
      const auto stamp = top.stamp.load(std::memory_order_relaxed);
      if (stamp == top.listed_stamp) return &top;
      top.listed_stamp = stamp;
      sift_down(0);
    }
    return nullptr;
  }

 private:
  void put(std::size_t position, graph_node* node) noexcept {
    nodes_[position] = node;
    node->heap_position = position;
  }

  void sift_up(std::size_t at) noexcept {
    while (at > 0) {
      const std::size_t parent = (at - 1) / 2;
      if (nodes_[parent]->listed_stamp <= nodes_[at]->listed_stamp) return;
      swap(at, parent);
      at = parent;
    }
  }

  void sift_down(std::size_t at) noexcept {
    for (;;) {
      std::size_t least = at;
      for (std::size_t child = 2 * at + 1; child <= 2 * at + 2 && child < nodes_.size(); ++child) {
        if (nodes_[child]->listed_stamp < nodes_[least]->listed_stamp) least = child;
      }
      if (least == at) return;
      swap(at, least);
      at = least;
    }
  }

  void swap(std::size_t a, std::size_t b) noexcept {
    graph_node* const node = nodes_[a];
    put(a, nodes_[b]);
    put(b, node);
  }

  std::vector<graph_node*> nodes_;
};

}  // namespace lull::detail

#endif  // LULL_MECHANISM_RECENCY_HEAP_HPP
