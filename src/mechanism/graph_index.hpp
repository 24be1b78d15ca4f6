#ifndef LULL_MECHANISM_GRAPH_INDEX_HPP
#define LULL_MECHANISM_GRAPH_INDEX_HPP

#include <lull/graph_cache_core.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace lull::detail {

/// The index that lookups read without a lock. One thread at a time changes it (under the pool's
/// mutex). A reader may overlook an entry that is being moved, and then asks under the lock; it
/// never finds one that was taken out before its pin was seen.
class graph_index {
 public:
  explicit graph_index(std::atomic<const graph_table*>& published) : published_(published) {
    grow_to(smallest);
  }

  /// Makes room for `entries` in all, so that insert cannot fail.
  /// @throws std::bad_alloc
  void reserve(std::size_t entries) {
    std::size_t places = current().mask + 1;
    if (entries * 2 <= places) return;
    while (entries * 2 > places) places *= 2;
    grow_to(places);
  }

  /// @pre reserved; its hash is set; it is not there
  void insert(graph_node& node) noexcept { insert_into(current(), node); }

  void remove(const graph_node& node) noexcept {
    const graph_table& table = current();
    std::uint64_t hole = node.hash >> table.shift;
    while (at(table, hole) != &node) hole = (hole + 1) & table.mask;
    // Backward shift: what was displaced by the entry comes closer to its home, so that no
    // tombstones collect (Knuth, The Art of Computer Programming, volume 3, 6.4, algorithm R).
    for (std::uint64_t next = (hole + 1) & table.mask;; next = (next + 1) & table.mask) {
      graph_node* const candidate = at(table, next);
      if (candidate == nullptr) break;
      const std::uint64_t home = candidate->hash >> table.shift;
      if (((next - home) & table.mask) < ((next - hole) & table.mask)) continue;
      write(table.places[hole], candidate);
      hole = next;
    }
    table.places[hole].node.store(nullptr, std::memory_order_seq_cst);
  }

  template <class Equal>
  [[nodiscard]] graph_node* find(std::uint64_t hash, const Equal& equal) const {
    const graph_table& table = current();
    for (std::uint64_t i = hash >> table.shift;; i = (i + 1) & table.mask) {
      graph_node* const node = at(table, i);
      if (node == nullptr) return nullptr;
      if (node->hash == hash && equal(*node)) return node;
    }
  }

 private:
  static constexpr std::size_t smallest = 32;

  /// Tables are kept until the index goes, because readers may still look at one that was replaced;
  /// all of them together are smaller than the last.
  struct storage {
    graph_table table;
    std::unique_ptr<graph_place[]> places;
  };

  [[nodiscard]] const graph_table& current() const noexcept { return tables_.back()->table; }

  static graph_node* at(const graph_table& table, std::uint64_t i) noexcept {
    return table.places[i].node.load(std::memory_order_relaxed);
  }

  static void write(graph_place& place, graph_node* node) noexcept {
    place.hash.store(node->hash, std::memory_order_relaxed);
    place.node.store(node, std::memory_order_seq_cst);
  }

  static void insert_into(const graph_table& table, graph_node& node) noexcept {
    std::uint64_t i = node.hash >> table.shift;
    while (at(table, i) != nullptr) i = (i + 1) & table.mask;
    write(table.places[i], &node);
  }

  void grow_to(std::size_t places) {
    auto next = std::make_unique<storage>();
    next->places = std::make_unique<graph_place[]>(places);
    unsigned bits = 0;
    while ((std::size_t{1} << bits) < places) ++bits;
    next->table = {next->places.get(), places - 1, 64 - bits};
    tables_.reserve(tables_.size() + 1);
    const storage* const old = tables_.empty() ? nullptr : tables_.back().get();
    if (old != nullptr) {
      for (std::uint64_t i = 0; i <= old->table.mask; ++i) {
        if (graph_node* const node = at(old->table, i)) insert_into(next->table, *node);
      }
    }
    tables_.push_back(std::move(next));
    published_.store(&current(), std::memory_order_seq_cst);
    // A reader that still uses the old table must not validate against it.
    if (old == nullptr) return;
    for (std::uint64_t i = 0; i <= old->table.mask; ++i) {
      old->places[i].node.store(nullptr, std::memory_order_seq_cst);
    }
  }

  std::atomic<const graph_table*>& published_;
  std::vector<std::unique_ptr<storage>> tables_;
};

}  // namespace lull::detail

#endif  // LULL_MECHANISM_GRAPH_INDEX_HPP
