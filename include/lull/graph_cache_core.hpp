#ifndef LULL_GRAPH_CACHE_CORE_HPP
#define LULL_GRAPH_CACHE_CORE_HPP

/// @file
/// The part of a graph cache that is compiled into its callers: a lookup that hits. Not for direct
/// use; see <lull/graph_cache.hpp>.
///
/// A hit takes no lock and writes no memory that two threads share, but for the entry's own
/// recency. It works like this:
///
/// - Every thread has a reader in each cache it uses. A pin is a pointer to the entry in one of the
///   reader's places: a hazard pointer (Michael, "Hazard Pointers: Safe Memory Reclamation for
///   Lock-Free Objects", 2004).
/// - Whoever evicts takes the entry out of the index first and looks for pins then; a reader pins
///   first and looks whether the entry is still in the index then. One of the two must see the
///   other, which needs a full fence on both sides. The reader's is left out: the evicting side
///   makes the kernel run one on all threads of the process (membarrier(2)), because evictions are
///   rare and hits are not. Where the kernel refuses that, both sides use sequentially consistent
///   operations.
/// - Recency is a number that each reader counts up by itself; it starts from the pool's era, which
///   every miss raises above all readers. So the order of any two uses is exact when one thread made
///   them or a miss lies between them.

#include <lull/export.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>

namespace lull::detail {

class graph_core;

/// An entry of the cache. What is not atomic and not constant after publication is guarded by the
/// pool's mutex and lives in graph_node_state.
struct LULL_API graph_node {
  virtual ~graph_node() = default;

  /// What the driver knows the graph by.
  [[nodiscard]] virtual void* handle() noexcept = 0;

  std::atomic<std::uint64_t> stamp{0};  ///< of the last use
  std::atomic<std::uint32_t> uses{0};   ///< since the frequency filter looked; may lose some
  std::atomic<std::uint32_t> pins{0};   ///< of those who found no place in a reader
  std::uint64_t generation = 0;
  std::uint64_t hash = 0;
  graph_core* core = nullptr;

  // Guarded by the pool's mutex.
  graph_node* next = nullptr;       ///< in the list of what waits to be destroyed
  std::uint64_t listed_stamp = 0;   ///< the stamp by which the recency heap is ordered
  std::size_t heap_position = 0;    ///< in that heap
  std::uint64_t bytes = 0;          ///< what it counts for
  std::uint64_t swept_stamp = 0;    ///< the stamp that the last sweep saw
  std::int64_t used_at = 0;         ///< not later than this it was used last; clock ticks
  bool estimated = false;           ///< whether `bytes` is the driver's estimate
  bool in_window = false;           ///< whether it has yet to pass the frequency filter
};

/// A key of unknown type, and how to recognize it.
struct graph_key {
  std::uint64_t hash = 0;
  const void* key = nullptr;
  bool (*is_of)(const void* key, const graph_node& node) = nullptr;
  bool (*same)(const void* a, const void* b) = nullptr;
};

/// What a maker makes.
struct graph_product {
  std::unique_ptr<graph_node> node;
  std::optional<std::uint64_t> bytes;
};

/// The caller's capture, with the types erased. Called under no lock.
class LULL_API graph_maker {
 public:
  virtual graph_product make() = 0;

 protected:
  ~graph_maker() = default;
};

/// A place of the open-addressing index. Written under the pool's mutex.
struct graph_place {
  std::atomic<std::uint64_t> hash{0};
  std::atomic<graph_node*> node{nullptr};
};

/// The index: linear probing, at most half full, 2^n places.
struct graph_table {
  graph_place* places = nullptr;
  std::uint64_t mask = 0;  ///< number of places - 1
  unsigned shift = 0;      ///< a hash's home is hash >> shift
};

/// A thread's part of a cache. Counters have one writer, so that adding needs no locked operation.
struct alignas(64) graph_reader {
  using pin_place = std::atomic<graph_node*>;

  std::array<pin_place, 6> pins{};
  std::atomic<std::uint64_t> clock{0};  ///< the highest stamp given
  std::atomic<std::uint64_t> hits{0};
  std::atomic<bool> taken{false};       ///< whether a living thread owns it
};

/// Where a thread finds its reader of a cache.
struct known_reader {
  std::uint64_t core_id = 0;
  graph_reader* reader = nullptr;
};

/// A direct-mapped cache of a thread's readers, by the cache's id.
using known_readers = std::array<known_reader, 8>;
extern LULL_API constinit thread_local known_readers readers_of_this_thread;

/// An entry that is pinned, and where. Empty when `node` is null.
struct graph_pin {
  graph_node* node = nullptr;
  graph_reader::pin_place* place = nullptr;  ///< null: counted in node->pins
};

/// What the lookup path reads, and nothing else: constant or seldom written.
class LULL_API graph_core_base {
 public:
  /// The pinned entry whose key `equal` accepts, or an empty pin. Empty means only that this quick
  /// look did not find it; ask the locked one.
  template <class Equal>
  [[nodiscard]] graph_pin find_quickly(std::uint64_t hash, const Equal& equal) noexcept {
    const known_reader& known = readers_of_this_thread[id_ % std::tuple_size_v<known_readers>];
    if (known.core_id != id_) return {};
    graph_reader& reader = *known.reader;
    const graph_table& table = *table_.load(std::memory_order_acquire);
    std::uint64_t at = hash >> table.shift;
    for (int probe = 0; probe < longest_quick_probe; ++probe, at = (at + 1) & table.mask) {
      graph_place& place = table.places[at];
      graph_node* const node = place.node.load(std::memory_order_acquire);
      if (node == nullptr) return {};
      if (place.hash.load(std::memory_order_relaxed) == hash) {
        return pin_if_present(reader, place, *node, equal);
      }
    }
    return {};
  }

  void unpin(const graph_pin& pin) noexcept {
    if (pin.place == nullptr) {
      counted_pins_.fetch_sub(1, std::memory_order_relaxed);
      pin.node->pins.fetch_sub(1, std::memory_order_seq_cst);
    } else if (asymmetric_) {
      pin.place->store(nullptr, std::memory_order_release);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      pin.place->store(nullptr, std::memory_order_seq_cst);
    }
    // The node may be gone from here on.
    if (awaiting_unpin_.load(std::memory_order_seq_cst) != 0) destroy_unpinned();
  }

 protected:
  graph_core_base() = default;
  ~graph_core_base() = default;

  /// Destroys the evicted entries that are not pinned any more.
  void destroy_unpinned() noexcept;

  std::atomic<const graph_table*> table_{nullptr};
  const std::atomic<std::uint64_t>* generation_ = nullptr;
  const std::atomic<std::uint64_t>* era_ = nullptr;
  std::uint64_t id_ = 0;  ///< unique in the process's life, above 0
  bool asymmetric_ = false;
  std::atomic<std::uint64_t> awaiting_unpin_{0};  ///< evicted entries that were seen pinned
  std::atomic<std::uint64_t> counted_pins_{0};    ///< the sum of all graph_node::pins

 private:
  // At half full, linear probing looks at 1.5 places on average; what is further away is found
  // under the lock.
  static constexpr int longest_quick_probe = 32;

  template <class Equal>
  graph_pin pin_if_present(graph_reader& reader, graph_place& place, graph_node& node,
                           const Equal& equal) noexcept {
    graph_reader::pin_place* const pin = free_place(reader);
    if (pin == nullptr) return {};
    bool present = false;
    if (asymmetric_) {
      pin->store(&node, std::memory_order_release);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      present = place.node.load(std::memory_order_acquire) == &node;
    } else {
      pin->store(&node, std::memory_order_seq_cst);
      present = place.node.load(std::memory_order_seq_cst) == &node;
    }
    if (!present || node.generation != generation_->load(std::memory_order_acquire) ||
        !equal(node)) {
      unpin({&node, pin});
      return {};
    }
    note_use(reader, node);
    return {&node, pin};
  }

  static graph_reader::pin_place* free_place(graph_reader& reader) noexcept {
    for (graph_reader::pin_place& pin : reader.pins) {
      if (pin.load(std::memory_order_acquire) == nullptr) return &pin;
    }
    return nullptr;
  }

 protected:
  void note_use(graph_reader& reader, graph_node& node) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    const std::uint64_t era = era_->load(relaxed);
    const std::uint64_t mine = reader.clock.load(relaxed);
    const std::uint64_t stamp = (era > mine ? era : mine) + 1;
    reader.clock.store(stamp, relaxed);
    reader.hits.store(reader.hits.load(relaxed) + 1, relaxed);
    node.stamp.store(stamp, relaxed);
    node.uses.store(node.uses.load(relaxed) + 1, relaxed);
  }
};

}  // namespace lull::detail

#endif  // LULL_GRAPH_CACHE_CORE_HPP
