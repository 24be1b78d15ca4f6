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
///   rare and hits are not. Where the kernel refuses that, no thread gets a reader, and every
///   lookup takes the lock.
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

/// An entry of the cache. What a lookup needs is in one cache line with the key, which follows in
/// the derived class; what the lock guards is in the line before.
struct LULL_API graph_node {
  virtual ~graph_node() = default;

  /// What the driver knows the graph by.
  [[nodiscard]] virtual void* handle() noexcept = 0;

  // Guarded by the pool's mutex.
  graph_node* next = nullptr;     ///< in the list of what is evicted
  std::size_t heap_position = 0;  ///< in the heap by recency
  std::uint64_t bytes = 0;        ///< what it counts for
  std::uint64_t swept_stamp = 0;  ///< the stamp that the last sweep saw
  std::int64_t used_at = 0;       ///< it was used last at this time or before; clock ticks
  std::uint64_t hash = 0;         ///< constant once published
  bool estimated = false;         ///< whether `bytes` is the driver's estimate
  bool in_window = false;         ///< whether it has yet to pass the frequency filter

  alignas(64) std::atomic<std::uint64_t> stamp{0};  ///< of the last use
  std::atomic<std::uint32_t> uses{0};  ///< since the frequency filter looked; may lose some
  std::atomic<std::uint32_t> pins{0};  ///< of those who found no place in a reader
  std::uint64_t generation = 0;        ///< constant once published
};

/// A key of unknown type, and how to recognize it.
struct graph_key {
  std::uint64_t hash = 0;
  const void* key = nullptr;
  bool (*is_of)(const void* key, const graph_node& node) = nullptr;
  bool (*same)(const void* a, const void* b) = nullptr;
};

/// What a capture function says about the size of its graph.
struct graph_size {
  std::optional<std::uint64_t> bytes;
  std::optional<std::uint64_t> nodes;
};

/// What a maker makes.
struct graph_product {
  std::unique_ptr<graph_node> node;
  graph_size size;
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

/// The index in one word, so that it can be replaced at once: where its 2^n places begin, which is
/// a multiple of 64, and in the low six bits 64 - n. A hash's home is its upper n bits.
class graph_table {
 public:
  graph_table() = default;
  graph_table(graph_place* places, unsigned bits) noexcept
      : word_(reinterpret_cast<std::uintptr_t>(places) | (64U - bits)) {}

  [[nodiscard]] graph_place& at(std::uint64_t index) const noexcept {
    return reinterpret_cast<graph_place*>(word_ & ~std::uintptr_t{63})[index];
  }
  [[nodiscard]] std::uint64_t home(std::uint64_t hash) const noexcept {
    return hash >> (word_ & 63U);
  }
  [[nodiscard]] std::uint64_t mask() const noexcept { return ~std::uint64_t{0} >> (word_ & 63U); }

 private:
  std::uintptr_t word_ = 0;
};
static_assert(std::atomic<graph_table>::is_always_lock_free);

/// A thread's part of a cache. Figures have one writer, so that adding needs no locked operation.
struct alignas(64) graph_reader {
  using pin_place = std::atomic<graph_node*>;

  std::atomic<std::uint64_t> clock{0};    ///< the highest stamp given
  std::atomic<std::uint64_t> skipped{0};  ///< of the clock, without a hit; the rest are hits
  std::array<pin_place, 6> pins{};
  std::atomic<bool> taken{false};  ///< whether a living thread owns it
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
    if (known.core_id != id_) [[unlikely]]
      return {};
    graph_reader& reader = *known.reader;
    const graph_table table = table_.load(std::memory_order_acquire);
    graph_place* place = &table.at(table.home(hash));
    graph_node* node = place->node.load(std::memory_order_acquire);
    if (place->hash.load(std::memory_order_relaxed) != hash) [[unlikely]] {
      place = displaced_place(table, hash);
      if (place == nullptr) return {};
      node = place->node.load(std::memory_order_acquire);
    }
    if (node == nullptr) [[unlikely]]
      return {};
    return pin_if_present(reader, *place, *node, equal);
  }

  void unpin(const graph_pin& pin) noexcept {
    if (pin.place != nullptr) [[likely]] {
      pin.place->store(nullptr, std::memory_order_release);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      counted_pins_.fetch_sub(1, std::memory_order_relaxed);
      pin.node->pins.fetch_sub(1, std::memory_order_seq_cst);
    }
    // The node may be gone from here on.
    if (awaiting_unpin_.load(std::memory_order_seq_cst) != 0) [[unlikely]]
      destroy_unpinned();
  }

 protected:
  graph_core_base() = default;
  ~graph_core_base() = default;

  /// Destroys the evicted entries that are not pinned any more.
  void destroy_unpinned() noexcept;

  void note_use(graph_reader& reader, graph_node& node) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    std::uint64_t clock = reader.clock.load(relaxed);
    const std::uint64_t era = era_->load(relaxed);
    if (era > clock) [[unlikely]] {
      reader.skipped.store(reader.skipped.load(relaxed) + (era - clock), relaxed);
      clock = era;
    }
    ++clock;
    reader.clock.store(clock, relaxed);
    node.stamp.store(clock, relaxed);
    node.uses.store(node.uses.load(relaxed) + 1, relaxed);
  }

  std::uint64_t id_ = 0;  ///< unique in the process's life, above 0
  std::atomic<graph_table> table_{};
  const std::atomic<std::uint64_t>* generation_ = nullptr;
  const std::atomic<std::uint64_t>* era_ = nullptr;
  std::atomic<std::uint64_t> awaiting_unpin_{0};  ///< evicted entries that were seen pinned
  std::atomic<std::uint64_t> counted_pins_{0};    ///< the sum of all graph_node::pins

 private:
  // At a quarter full, linear probing looks at 1.2 places on average (Knuth, The Art of Computer
  // Programming, volume 3, 6.4); what is further away than this is found under the lock.
  static constexpr int longest_quick_probe = 16;

  /// Where the hash is when it is not at home; null when it is not near either.
  [[nodiscard]] static graph_place* displaced_place(graph_table table,
                                                    std::uint64_t hash) noexcept {
    std::uint64_t at = table.home(hash);
    for (int probe = 1; probe < longest_quick_probe; ++probe) {
      at = (at + 1) & table.mask();
      graph_place& place = table.at(at);
      if (place.node.load(std::memory_order_acquire) == nullptr) return nullptr;
      if (place.hash.load(std::memory_order_relaxed) == hash) return &place;
    }
    return nullptr;
  }

  [[nodiscard]] static graph_reader::pin_place* another_pin_place(graph_reader& reader) noexcept {
    for (graph_reader::pin_place& place : reader.pins) {
      if (place.load(std::memory_order_acquire) == nullptr) return &place;
    }
    return nullptr;
  }

  template <class Equal>
  graph_pin pin_if_present(graph_reader& reader, graph_place& place, graph_node& node,
                           const Equal& equal) noexcept {
    graph_reader::pin_place* pin = reader.pins.data();
    if (pin->load(std::memory_order_acquire) != nullptr) [[unlikely]] {
      pin = another_pin_place(reader);
      if (pin == nullptr) return {};
    }
    pin->store(&node, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (place.node.load(std::memory_order_acquire) != &node ||
        node.generation != generation_->load(std::memory_order_acquire) || !equal(node))
        [[unlikely]] {
      unpin({&node, pin});
      return {};
    }
    note_use(reader, node);
    return {&node, pin};
  }
};

}  // namespace lull::detail

#endif  // LULL_GRAPH_CACHE_CORE_HPP
