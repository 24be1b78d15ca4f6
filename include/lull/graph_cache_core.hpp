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
///   them or a miss lies between them. The era is copied into every reader, as a floor for its
///   clock; a floor that no clock reaches sends every hit the longer way that counts uses too.
///
/// What bounds a hit is how much it loads: a core such as Intel's Ice Lake loads twice a cycle, and
/// all of it is in the first-level cache. So what is read together is kept together, and nothing is
/// read that something else tells.

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

/// A place of the open-addressing index. Written under the pool's mutex. The hash is there so that
/// nobody pins, and so keeps from eviction, what it does not look for.
struct graph_place {
  std::atomic<std::uint64_t> hash{0};
  std::atomic<graph_node*> node{nullptr};
};

/// The head of an index: 2^n places follow it in memory. So one pointer publishes a whole index.
class alignas(64) graph_table {
 public:
  static constexpr unsigned most_bits = 32;

  explicit graph_table(unsigned bits) noexcept
      : offset_mask_(((std::uint64_t{1} << bits) - 1) * sizeof(graph_place)) {}
  graph_table(const graph_table&) = delete;
  graph_table& operator=(const graph_table&) = delete;

  [[nodiscard]] graph_place* places() noexcept { return reinterpret_cast<graph_place*>(this + 1); }
  [[nodiscard]] graph_place& at(std::uint64_t index) noexcept { return places()[index]; }
  [[nodiscard]] std::uint64_t home(std::uint64_t hash) const noexcept {
    return home_offset(hash) / sizeof(graph_place);
  }
  /// `at(home(hash))`, without the way to an index and back.
  [[nodiscard]] graph_place& at_home(std::uint64_t hash) noexcept {
    return *reinterpret_cast<graph_place*>(reinterpret_cast<std::byte*>(places()) +
                                           home_offset(hash));
  }
  [[nodiscard]] std::uint64_t mask() const noexcept { return offset_mask_ / sizeof(graph_place); }

 private:
  /// A home is the hash's n bits from the 32nd: as good as the upper ones after a product, and to
  /// be had by a constant shift. Shifted less, they are the offset in bytes.
  [[nodiscard]] std::uint64_t home_offset(std::uint64_t hash) const noexcept {
    static_assert(sizeof(graph_place) == 16);
    return (hash >> 28U) & offset_mask_;
  }

  const std::uint64_t offset_mask_;
};

/// A thread's part of a cache. Figures have one writer, so that adding needs no locked operation.
struct alignas(64) graph_reader {
  using pin_place = std::atomic<graph_node*>;

  std::atomic<std::uint64_t> clock{0};  ///< the highest stamp given
  /// Where the clock is below it, a use takes the longer way. Written under the pool's mutex.
  std::atomic<std::uint64_t> floor{0};
  std::atomic<std::uint64_t> skipped{0};  ///< of the clock, without a hit; the rest are hits
  std::array<pin_place, 6> pins{};
  std::atomic<bool> taken{false};  ///< whether a living thread owns it
};

/// Where a thread finds its reader of a cache.
struct known_reader {
  std::uint64_t core_id = 0;
  graph_reader* reader = nullptr;
};

/// A thread's readers, by the cache's id: the one that it used last, and a direct-mapped cache.
struct known_readers {
  known_reader last;
  std::array<known_reader, 8> recent;

  [[nodiscard]] known_reader& recent_of(std::uint64_t core_id) noexcept {
    return recent[core_id % std::tuple_size_v<decltype(recent)>];
  }
};

/// In the static block of thread-local storage, although the library may be loaded late: else every
/// hit of a caller that is itself in a shared library calls __tls_get_addr. glibc keeps 512 bytes of
/// that block for libraries that do so (glibc manual, tunable rtld.optional_static_tls); these are
/// 144.
extern LULL_API constinit thread_local known_readers readers_of_this_thread
    [[gnu::tls_model("initial-exec")]];

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
  [[nodiscard, gnu::always_inline]] graph_pin find_quickly(std::uint64_t hash,
                                                           const Equal& equal) noexcept {
    if (readers_of_this_thread.last.core_id != id_ && !recall_reader()) [[unlikely]]
      return {};
    graph_reader& reader = *readers_of_this_thread.last.reader;
    graph_table& table = *table_.load(std::memory_order_acquire);
    graph_place* place = &table.at_home(hash);
    if (place->hash.load(std::memory_order_relaxed) != hash) [[unlikely]] {
      place = displaced_place(table, hash);
      if (place == nullptr) return {};
    }
    graph_node* const node = place->node.load(std::memory_order_acquire);
    if (node == nullptr) [[unlikely]]
      return {};
    graph_reader::pin_place* pin = reader.pins.data();
    if (pin->load(std::memory_order_acquire) != nullptr) [[unlikely]] {
      pin = another_pin_place(reader);
      if (pin == nullptr) return {};
    }
    pin->store(node, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (place->node.load(std::memory_order_acquire) != node || !equal(*node) ||
        node->generation != generation_->load(std::memory_order_acquire)) [[unlikely]] {
      unpin(*pin);
      return {};
    }
    note_use(reader, *node);
    return {node, pin};
  }

  void unpin(graph_reader::pin_place& place) noexcept {
    place.store(nullptr, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    note_unpinned();
  }

  /// @param node was pinned by counting
  void unpin_counted(graph_node& node) noexcept {
    counted_pins_.fetch_sub(1, std::memory_order_relaxed);
    node.pins.fetch_sub(1, std::memory_order_seq_cst);
    note_unpinned();
  }

 protected:
  graph_core_base() = default;
  ~graph_core_base() = default;

  /// Destroys the evicted entries that are not pinned any more.
  void destroy_unpinned() noexcept;

  void note_use(graph_reader& reader, graph_node& node) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    std::uint64_t clock = reader.clock.load(relaxed);
    if (clock < reader.floor.load(relaxed)) [[unlikely]]
      clock = prepare_use(reader, node, clock);
    ++clock;
    reader.clock.store(clock, relaxed);
    node.stamp.store(clock, relaxed);
  }

  std::uint64_t id_ = 0;                      ///< unique in the process's life, above 0
  std::atomic<graph_table*> table_{nullptr};  ///< there before any thread has a reader
  const std::atomic<std::uint64_t>* generation_ = nullptr;
  const std::atomic<std::uint64_t>* era_ = nullptr;
  std::atomic<std::uint64_t> awaiting_unpin_{0};  ///< evicted entries that were seen pinned
  std::atomic<std::uint64_t> counted_pins_{0};    ///< the sum of all graph_node::pins
  std::atomic<bool> counts_uses_{false};          ///< whether the frequency filter is on

 private:
  // At a quarter full, linear probing looks at 1.2 places on average (Knuth, The Art of Computer
  // Programming, volume 3, 6.4); what is further away than this is found under the lock.
  static constexpr int longest_quick_probe = 16;

  /// Where the hash is when it is not at home; null when it is not near either. Out of line, so
  /// that the common hit keeps all it has in registers.
  [[nodiscard, gnu::noinline]] static graph_place* displaced_place(graph_table& table,
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

  /// Makes this core's reader the thread's last one, if the thread has one.
  [[nodiscard]] bool recall_reader() const noexcept {
    const known_reader& known = readers_of_this_thread.recent_of(id_);
    if (known.core_id != id_) [[unlikely]]
      return recall_older_reader();
    readers_of_this_thread.last = known;
    return true;
  }
  [[nodiscard]] bool recall_older_reader() const noexcept;

  /// What a use takes that is not of the common kind: the reader's clock has to be put forward, or
  /// uses are counted.
  /// @return what the clock stands at now
  std::uint64_t prepare_use(graph_reader& reader, graph_node& node, std::uint64_t clock) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    if (counts_uses_.load(relaxed)) node.uses.store(node.uses.load(relaxed) + 1, relaxed);
    const std::uint64_t era = era_->load(relaxed);
    if (era <= clock) return clock;
    reader.skipped.store(reader.skipped.load(relaxed) + (era - clock), relaxed);
    return era;
  }

  [[nodiscard]] static graph_reader::pin_place* another_pin_place(graph_reader& reader) noexcept {
    for (graph_reader::pin_place& place : reader.pins) {
      if (place.load(std::memory_order_acquire) == nullptr) return &place;
    }
    return nullptr;
  }

  /// After an unpinning: the node may be gone.
  void note_unpinned() noexcept {
    if (awaiting_unpin_.load(std::memory_order_seq_cst) != 0) [[unlikely]]
      destroy_unpinned();
  }
};

}  // namespace lull::detail

#endif  // LULL_GRAPH_CACHE_CORE_HPP
