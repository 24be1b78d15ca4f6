#ifndef LULL_GRAPH_CACHE_HPP
#define LULL_GRAPH_CACHE_HPP

/// @file
/// A bounded cache of captured graphs.

#include <lull/any_graph_cache.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace lull {

namespace detail {
struct graph_handle_access;
}

/// What a capture function may return instead of the graph alone.
template <class Graph>
struct captured_graph {
  Graph graph;
  std::optional<std::uint64_t> bytes = {};  ///< what it holds; absent: the driver is asked
  /// How many nodes it has, from which a driver can estimate what it holds: see
  /// device::graph_node_count().
  std::optional<std::uint64_t> nodes = {};
};

/// Keeps captured graphs by key: least recently used go first, bounded by entries, bytes and idle
/// time. See any_graph_cache for everything but lookup and capture.
///
/// What find() and get_or_capture() return is pinned: it stays valid until it is released, whatever
/// happens to the cache meanwhile. A hit takes no lock and does not allocate.
///
/// Graphs are destroyed by the driver, never by the destructor of Graph: when `Graph` is a pointer
/// (as cudaGraphExec_t is) the driver gets that pointer, else a pointer to the Graph.
///
/// Thread-safe. Handles must be released before the cache is destroyed; should some not be, their
/// graphs are not destroyed before they are, and a line is logged. What was evicted while something
/// was being captured may be destroyed after the cache, too: so a driver keeps alive what it uses.
///
/// @tparam Key copyable, with `Hash` and `Equal`
/// @tparam Graph movable
template <class Key, class Graph, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class graph_cache : public any_graph_cache {
 private:
  using key_argument =
      std::conditional_t<std::is_trivially_copyable_v<Key> && sizeof(Key) <= 2 * sizeof(void*), Key,
                         const Key&>;

  struct node final : detail::graph_node {
    /// Captures in the constructor: so the memory for it is there before the graph is.
    template <class Capture>
    node(const Key& its_key, Capture& capture, detail::graph_size& its_size)
        : key(its_key), graph(run(capture, its_size)) {}

    template <class Capture>
    static Graph run(Capture& capture, detail::graph_size& its_size) {
      if constexpr (std::convertible_to<std::invoke_result_t<Capture&>, captured_graph<Graph>>) {
        captured_graph<Graph> made = capture();
        its_size = {made.bytes, made.nodes};
        return std::move(made.graph);
      } else {
        return capture();
      }
    }

    [[nodiscard]] void* handle() noexcept override {
      if constexpr (std::is_pointer_v<Graph>) {
        return const_cast<void*>(static_cast<const void*>(graph));
      } else {
        return &graph;
      }
    }

    const Key key;
    Graph graph;
  };

 public:
  /// A pinned entry, or nothing. Move-only. May be released on another thread than it was taken on.
  class handle {
   public:
    handle() = default;
    handle(handle&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)), pin_(std::exchange(other.pin_, {})) {}
    handle& operator=(handle&& other) noexcept {
      if (this != &other) {
        release();
        core_ = std::exchange(other.core_, nullptr);
        pin_ = std::exchange(other.pin_, {});
      }
      return *this;
    }
    ~handle() { release(); }

    [[nodiscard]] explicit operator bool() const noexcept { return pin_.node != nullptr; }
    /// @pre it holds an entry
    [[nodiscard]] Graph& operator*() const noexcept { return entry().graph; }
    [[nodiscard]] Graph* operator->() const noexcept { return &entry().graph; }
    [[nodiscard]] const Key& key() const noexcept { return entry().key; }

    /// Unpins early. If the entry was evicted meanwhile it is destroyed now, on this thread, unless
    /// a capture is under way. Harmless when there is nothing to release.
    void release() noexcept {
      // In this order, so that what a hit returned is told by one comparison.
      if (pin_.place != nullptr) {
        core_->unpin(*pin_.place);
      } else if (pin_.node != nullptr) {
        core_->unpin_counted(*pin_.node);
      }
      pin_ = {};
    }

   private:
    friend class graph_cache;
    friend struct detail::graph_handle_access;
    handle(detail::graph_core_base& core, detail::graph_pin pin) noexcept
        : core_(&core), pin_(pin) {}
    [[nodiscard]] node& entry() const noexcept { return static_cast<node&>(*pin_.node); }

    detail::graph_core_base* core_ = nullptr;
    detail::graph_pin pin_;
  };

  /// An entry that was taken out of the cache to become another graph. Destroys what was not
  /// claimed. Must not outlive the cache.
  class taken {
   public:
    taken(taken&& other) noexcept
        : cache_(other.cache_), node_(std::exchange(other.node_, nullptr)) {}
    taken& operator=(taken&&) = delete;
    ~taken() {
      if (node_ != nullptr) cache_->put_away(node_, true);
    }

    [[nodiscard]] const Key& key() const noexcept { return node_->key; }
    [[nodiscard]] Graph& graph() const noexcept { return node_->graph; }

    /// Hands the graph to the caller, who answers for it from now on: returned from a capture
    /// function it is the cache's again. Once.
    [[nodiscard]] Graph claim() {
      cache_->disown(*node_);
      Graph graph = std::move(node_->graph);
      cache_->put_away(std::exchange(node_, nullptr), false);
      return graph;
    }

   private:
    friend class graph_cache;
    taken(graph_cache& cache, node& which) noexcept : cache_(&cache), node_(&which) {}
    graph_cache* cache_;
    node* node_;
  };

  /// @param driver destroys the graphs; not null
  /// @throws error (invalid_argument) when the driver is null or a limit is 0
  explicit graph_cache(std::shared_ptr<graph_driver> driver, graph_cache_options options = {})
      : any_graph_cache(std::move(driver), std::move(options)) {}

  /// The entry of a key, pinned; empty when there is none. Counts as its use.
  [[nodiscard]] handle find(const Key& key) {
    detail::graph_core_base& core = quick();
    detail::graph_pin found = find_quickly(core, key);
    if (found.node == nullptr) [[unlikely]]
      found = find_slowly(key);
    return handle(core, found);
  }

  /// The entry of a key, captured first when there is none.
  ///
  /// One thread captures; others who want the same key wait for it. Room is made before `capture`
  /// runs, so that bounds hold at the peak too, and nothing is destroyed in the process while it
  /// does. It runs on the calling thread, under no lock; it may use other keys of the cache.
  ///
  /// @param capture returns a Graph or a captured_graph<Graph>. What it throws comes out of here,
  ///        the others get an lull::error with the same words, and there is no entry then.
  /// @throws error out_of_device_memory: the graph alone is above a bound (nothing is evicted for
  ///         it where its footprint was given); busy: all that could make room is in use;
  ///         timed_out; invalid_argument: `capture` asks for the key that it is called for
  template <class Capture>
  [[nodiscard]] handle get_or_capture(const Key& key, Capture&& capture,
                                      const graph_capture_options& options = {}) {
    const detail::graph_pin found = find_quickly(quick(), key);
    if (found.node != nullptr) return handle(quick(), found);
    typed_maker<std::remove_reference_t<Capture>> how(key, capture);
    return handle(quick(), make_or_wait(ref(key), how, options));
  }

  /// Takes the nearest entry that is not in use out of the cache, so that the caller can update its
  /// executable instead of instantiating a new one. To be called inside a capture function: the
  /// updated graph is what that returns.
  /// @param distance `std::optional<std::uint64_t>(const Key&)`: less is nearer, absent is
  ///        impossible. Called under the cache's lock for every entry: be quick, call no cache.
  template <class Distance>
  [[nodiscard]] std::optional<taken> find_nearest(const Distance& distance) {
    const typed_distance<Distance> how_far(distance);
    detail::graph_node* const found = take_nearest(how_far);
    if (found == nullptr) return std::nullopt;
    return taken(*this, static_cast<node&>(*found));
  }

  /// Evicts the entry of a key.
  /// @return whether there was one
  bool erase(const Key& key) { return erase_key(ref(key)); }

 private:
  template <class Capture>
  class typed_maker final : public detail::graph_maker {
   public:
    typed_maker(const Key& key, Capture& capture) : key_(key), capture_(capture) {}

    detail::graph_product make() override {
      detail::graph_product made;
      made.node = std::make_unique<node>(key_, capture_, made.size);
      return made;
    }

   private:
    const Key& key_;
    Capture& capture_;
  };

  /// Whether an entry is that of a key. The index is no witness: between the look at a hash and the
  /// pin, another entry may have come to the same address.
  struct is_of {
    key_argument key;
    [[nodiscard]] bool operator()(const detail::graph_node& candidate) const {
      return Equal{}(static_cast<const node&>(candidate).key, key);
    }
  };

  template <class Distance>
  class typed_distance final : public distance_from {
   public:
    explicit typed_distance(const Distance& how_far) : distance_(how_far) {}
    [[nodiscard]] std::optional<std::uint64_t> operator()(
        const detail::graph_node& which) const override {
      return distance_(static_cast<const node&>(which).key);
    }

   private:
    const Distance& distance_;
  };

  [[nodiscard]] static detail::graph_pin find_quickly(detail::graph_core_base& core,
                                                      const Key& key) noexcept {
    return core.find_quickly(hash_of(key), is_of{key});
  }

  /// Out of line, by value and in registers, so that neither the key of a hit nor its handle needs
  /// an address.
  [[nodiscard, gnu::noinline]] detail::graph_pin find_slowly(key_argument key) {
    return find_locked(ref(key));
  }

  [[nodiscard]] static detail::graph_key ref(const Key& key) {
    return {hash_of(key), &key,
            [](const void* sought, const detail::graph_node& candidate) {
              return Equal{}(static_cast<const node&>(candidate).key,
                             *static_cast<const Key*>(sought));
            },
            [](const void* a, const void* b) {
              return Equal{}(*static_cast<const Key*>(a), *static_cast<const Key*>(b));
            }};
  }

  /// std::hash of a number is the number, and the index uses the upper bits. One product would do
  /// for numbers without a pattern; addresses at equal distances pile up without the second. The
  /// factor is 2^64 divided by the golden ratio: Knuth, The Art of Computer Programming, volume 3,
  /// section 6.4.
  [[nodiscard]] static std::uint64_t hash_of(const Key& key) {
    constexpr std::uint64_t factor = 0x9E3779B97F4A7C15U;
    const std::uint64_t once = static_cast<std::uint64_t>(Hash{}(key)) * factor;
    return (once ^ (once >> 32U)) * factor;
  }
};

}  // namespace lull

#endif  // LULL_GRAPH_CACHE_HPP
