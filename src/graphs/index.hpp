#ifndef LULL_GRAPHS_INDEX_HPP
#define LULL_GRAPHS_INDEX_HPP

#include <lull/graph_cache_core.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace lull::detail {

/// The index that lookups read without a lock. One thread at a time changes it (under the pool's
/// mutex). A reader may overlook an entry that is being moved, and then asks under the lock; it
/// never finds one that was taken out before its pin was seen.
class graph_index {
 public:
  explicit graph_index(std::atomic<graph_table*>& published) : published_(published) {
    grow_to(smallest_bits);
  }

  /// Makes room for `entries` in all, so that insert cannot fail. One more than a quarter of the
  /// places is let in: a cache that is bounded by a power of two holds one more than that at times.
  /// @throws std::bad_alloc
  void reserve(std::size_t entries) {
    unsigned bits = bits_;
    while (entries * 4 > (std::size_t{1} << bits) + 4) ++bits;
    if (bits != bits_) grow_to(bits);
  }

  /// @pre reserved; its hash is set; it is not there
  void insert(graph_node& node) noexcept { insert_into(*current_, node); }

  void remove(const graph_node& node) noexcept {
    graph_table& table = *current_;
    std::uint64_t hole = table.home(node.hash);
    while (at(table, hole) != &node) hole = (hole + 1) & table.mask();
    // Backward shift: what was displaced by the entry comes closer to its home, so that no
    // tombstones collect (Knuth, The Art of Computer Programming, volume 3, 6.4, algorithm R).
    for (std::uint64_t next = (hole + 1) & table.mask();; next = (next + 1) & table.mask()) {
      graph_node* const candidate = at(table, next);
      if (candidate == nullptr) break;
      const std::uint64_t home = table.home(candidate->hash);
      if (((next - home) & table.mask()) < ((next - hole) & table.mask())) continue;
      write(table.at(hole), candidate);
      hole = next;
    }
    table.at(hole).node.store(nullptr, std::memory_order_seq_cst);
  }

  template <class Equal>
  [[nodiscard]] graph_node* find(std::uint64_t hash, const Equal& equal) const {
    graph_table& table = *current_;
    for (std::uint64_t i = table.home(hash);; i = (i + 1) & table.mask()) {
      graph_node* const node = at(table, i);
      if (node == nullptr) return nullptr;
      if (node->hash == hash && equal(*node)) return node;
    }
  }

 private:
  static constexpr unsigned smallest_bits = 6;

  /// A table with its places, in one piece.
  struct table_delete {
    void operator()(graph_table* table) const noexcept {
      // Places and table are trivially destructible.
      ::operator delete (table, std::align_val_t{alignof(graph_table)});
    }
  };
  using table_ptr = std::unique_ptr<graph_table, table_delete>;
  static_assert(std::is_trivially_destructible_v<graph_table> &&
                std::is_trivially_destructible_v<graph_place>);

  static table_ptr make_table(unsigned bits) {
    const std::size_t places = std::size_t{1} << bits;
    void* const memory = ::operator new (sizeof(graph_table) + places * sizeof(graph_place),
                                         std::align_val_t{alignof(graph_table)});
    table_ptr table(new (memory) graph_table(bits));
    std::uninitialized_value_construct_n(table->places(), places);
    return table;
  }

  static graph_node* at(graph_table& table, std::uint64_t i) noexcept {
    return table.at(i).node.load(std::memory_order_relaxed);
  }

  static void write(graph_place& place, graph_node* node) noexcept {
    place.hash.store(node->hash, std::memory_order_relaxed);
    place.node.store(node, std::memory_order_seq_cst);
  }

  static void insert_into(graph_table& table, graph_node& node) noexcept {
    std::uint64_t i = table.home(node.hash);
    while (at(table, i) != nullptr) i = (i + 1) & table.mask();
    write(table.at(i), &node);
  }

  /// @throws std::bad_alloc
  void grow_to(unsigned bits) {
    if (bits > graph_table::most_bits) throw std::bad_alloc();
    tables_.push_back(make_table(bits));
    graph_table* const next = tables_.back().get();
    graph_table* const old = std::exchange(current_, next);
    const std::size_t old_places = old == nullptr ? 0 : std::size_t{1} << bits_;
    bits_ = bits;
    for (std::uint64_t i = 0; i < old_places; ++i) {
      if (graph_node* const node = at(*old, i)) insert_into(*next, *node);
    }
    published_.store(next, std::memory_order_seq_cst);
    // A reader that still looks at the old table must not take what it sees for present.
    for (std::uint64_t i = 0; i < old_places; ++i) {
      old->at(i).node.store(nullptr, std::memory_order_seq_cst);
    }
  }

  std::atomic<graph_table*>& published_;
  graph_table* current_ = nullptr;
  unsigned bits_ = 0;
  /// All tables ever: readers may still look at one that was replaced. Together they are smaller
  /// than twice the last.
  std::vector<table_ptr> tables_;
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_INDEX_HPP
