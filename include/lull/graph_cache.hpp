#ifndef LULL_GRAPH_CACHE_HPP
#define LULL_GRAPH_CACHE_HPP

/// @file
/// A bounded cache of captured graphs. C++17.

#include <lull/clock.hpp>
#include <lull/detail/graph_entry.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>
#include <lull/graph_driver.hpp>
#include <lull/log.hpp>

#include <array>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace lull {

/// How much may be kept. An absent bound does not bound; none may be 0.
struct graph_limits {
  std::optional<std::uint64_t> entries = {};
  std::optional<std::uint64_t> bytes = {};
  /// An entry that was not used for this long is evicted by the next sweep().
  std::optional<duration> idle_time = {};
};

/// Bounds that several caches share: their sum stays below. The entry used least recently goes
/// first, whichever cache it is in. Copies refer to the same budget. Thread-safe.
class LULL_API graph_budget {
 public:
  /// @throws error (invalid_argument)
  explicit graph_budget(std::optional<std::uint64_t> entries = {},
                        std::optional<std::uint64_t> bytes = {});
  /// Evicts what is above the new bounds before it returns.
  void set_limits(std::optional<std::uint64_t> entries, std::optional<std::uint64_t> bytes);
  /// What all its caches hold, with what is evicted but not destroyed yet.
  [[nodiscard]] std::uint64_t entries() const;
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  friend class detail::graph_core;
  std::shared_ptr<detail::graph_account> account_;
};

struct graph_cache_options {
  graph_limits limits = {};
  std::optional<graph_budget> budget = {};  ///< shared with other caches
  bool frequency_filter = false;  ///< keys that come once do not wash out those that come often
  /// Memory of destroyed graphs that may collect in the vendor's pools before graph_driver::trim()
  /// is called; sweep(), clear() and trim() always call it. The default is what eight small graphs
  /// of a decode step hold (8 MiB each: ggml-org/llama.cpp issue 25835).
  std::uint64_t trim_after_bytes = std::uint64_t{64} << 20;
  std::string name = "graphs";  ///< for logs and metrics
  const lull::clock* clock = &lull::steady_clock();
  log_sink log = {};
};

/// Why entries left the cache.
enum class graph_eviction : std::uint8_t {
  entries,  ///< the bound on entries, of the cache or the budget
  bytes,    ///< the bound on bytes
  idle,     ///< not used for the idle time
  cleared,  ///< clear() or trim()
  erased,   ///< erase()
  stale,    ///< of a generation before a device reset
};
inline constexpr std::size_t graph_eviction_causes = 6;

/// A cache at one moment. Counters count from its creation on.
struct graph_cache_stats {
  std::string name;
  std::uint64_t hits = 0, misses = 0;
  std::uint64_t captures = 0, failed_captures = 0;
  std::uint64_t updated = 0;   ///< captures that kept the executable that was there
  std::uint64_t rejected = 0;  ///< captures whose footprint alone is above a bound
  std::array<std::uint64_t, graph_eviction_causes> evictions{};  ///< by graph_eviction
  std::uint64_t destroyed = 0, failed_destructions = 0;
  std::uint64_t dropped = 0;             ///< stale: given up without a vendor call
  std::uint64_t unknown_footprints = 0;  ///< captures of a size nobody knows; they count as 0

  std::uint64_t entries = 0, bytes = 0;                  ///< with entries that have no graph
  std::uint64_t handles = 0;                             ///< out now
  std::uint64_t leaving_entries = 0, leaving_bytes = 0;  ///< evicted, but not destroyed yet
  std::uint64_t peak_entries = 0, peak_bytes = 0;        ///< with those that are leaving

  std::uint64_t returned_bytes = 0;  ///< what destroyed graphs were counted for
  /// How much less the process held after destroying, where the driver measures it.
  std::optional<std::uint64_t> measured_returned_bytes;
  double footprint_correction = 1;  ///< of estimates, learned from what destroying returned
  duration capturing{}, destroying{};

  [[nodiscard]] std::uint64_t evicted(graph_eviction cause) const noexcept {
    return evictions[static_cast<std::size_t>(cause)];
  }
};

/// What a caller knows about a capture beforehand. Times are on the cache's clock.
struct graph_capture_options {
  /// What the graph will hold. Absent: the driver is asked afterwards, and room is made for what
  /// recent captures took.
  std::optional<std::uint64_t> bytes = {};
  /// Until when to wait for another thread's capture of the same key, and for captures elsewhere
  /// that hold off the destruction of what has to make room.
  time_point deadline = no_deadline;
  /// Until when to wait when all that could make room is in use. The default does not wait: the
  /// calling thread may be the one that uses it.
  time_point room_deadline = time_point::min();
};

/// The part of graph_cache that does not depend on its types. Thread-safe.
class LULL_API any_graph_cache {
 public:
  any_graph_cache(const any_graph_cache&) = delete;
  any_graph_cache& operator=(const any_graph_cache&) = delete;

  /// Evicts what is above the new bounds before it returns; what is in use goes when it is
  /// released, what was idle with the next sweep(). @throws error (invalid_argument)
  void set_limits(const graph_limits& limits);
  [[nodiscard]] graph_limits limits() const;
  /// Changes graph_cache_options::frequency_filter. @throws std::bad_alloc
  void set_frequency_filter(bool on);

  /// Evicts what was idle for too long, drops what a reset has left, destroys what waits for it,
  /// and has the driver return memory. Idle times are known to one eighth: an entry never goes
  /// early, and at most an eighth late when sweep() is called at each next_deadline().
  /// @param now on the cache's clock
  /// @return how many entries it evicted
  std::uint64_t sweep(time_point now);
  /// When sweep() should be called next; absent while nothing would go by time alone.
  [[nodiscard]] std::optional<time_point> next_deadline() const;

  /// Evicts everything and waits until it is destroyed: for handles to come back, and captures to
  /// end, of this cache or elsewhere. What is being captured does not stay either. Drivers of
  /// devices that can be reset have it called before that.
  /// @throws error timed_out, which says what is in use, and it still goes when it is released;
  ///         busy: this thread captures
  void clear(time_point deadline = no_deadline);
  /// clear() with a deadline that is so far away on the cache's clock.
  void clear_within(duration span);
  /// Evicts everything that is not in use, destroys it unless a capture is under way, and has the
  /// driver return memory. Never waits for handles or captures. @return how many it evicted
  std::uint64_t trim();
  /// Drops what was captured before the driver's generation was raised, without a vendor call.
  /// Lookups never find such entries, also before this is called. @return how many it dropped
  std::uint64_t reset_generation();

  // Observing waits for no capture and no destruction.
  [[nodiscard]] graph_cache_stats stats() const;
  [[nodiscard]] std::size_t size() const;
  /// Whether no entry exists, on its way out and being captured included.
  [[nodiscard]] bool holds_nothing() const;

 protected:
  any_graph_cache(std::shared_ptr<graph_driver> driver, graph_cache_options options,
                  std::function<void(const detail::graph_entry&)> on_evict);
  ~any_graph_cache();

  // Entries come pinned; null: there is none.
  [[nodiscard]] detail::graph_entry* find_entry(const detail::graph_key& key);
  /// @param how null: the entry is wanted, with or without a graph
  [[nodiscard]] detail::graph_entry* get_entry(const detail::graph_key& key,
                                               const detail::graph_maker* how,
                                               const graph_capture_options& wishes);
  /// Neither a use nor a miss; also finds what has no graph.
  [[nodiscard]] detail::graph_entry* look_at(const detail::graph_key& key) const;
  void for_each_entry(const std::function<void(const detail::graph_entry&)>& see) const;
  bool erase_entry(const detail::graph_key& key);

 private:
  std::shared_ptr<detail::graph_core> core_;
  std::shared_ptr<void> attachment_;  ///< the driver's
};

/// What a capture function may return instead of the graph alone.
template <class Graph>
struct captured_graph {
  Graph graph;
  std::optional<std::uint64_t> bytes = {};  ///< what it holds; absent: the driver is asked
  /// How many nodes it has, for the driver's estimate: see device::graph_node_count().
  std::optional<std::uint64_t> nodes = {};
};

/// Keeps captured graphs by key: least recently used go first, bounded by entries, bytes and idle
/// time. See any_graph_cache for everything but lookup and capture.
///
/// What lookups return is pinned: it stays valid until it is released, whatever happens to the
/// cache meanwhile. A hit allocates nothing, and waits for no capture, no destruction and no
/// vendor.
///
/// Graphs are destroyed by the driver, never by the destructor of Graph. It gets the pointer when
/// Graph is one (as cudaGraphExec_t is), else what Graph's `void* executable()` returns, else a
/// pointer to the Graph; null is never destroyed.
///
/// Thread-safe. Handles must be released before the cache is destroyed; should some not be, their
/// graphs are not destroyed before they are, and a line is logged. What was evicted while something
/// was being captured may be destroyed after the cache, too: so a driver keeps alive what it uses.
///
/// @tparam Key copyable, with `Hash` and `Equal`, which are called under a lock of the cache
/// @tparam Graph default-constructible and movable
template <class Key, class Graph, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class graph_cache : public any_graph_cache {
 private:
  template <class G, class = void>
  struct has_executable : std::false_type {};
  template <class G>
  struct has_executable<G, std::void_t<decltype(std::declval<G&>().executable())>>
      : std::true_type {};

  struct entry_type final : detail::graph_entry {
    explicit entry_type(const Key& its_key) : key(its_key) {}
    [[nodiscard]] void* handle() noexcept override {
      if constexpr (std::is_pointer_v<Graph>) {
        return const_cast<void*>(static_cast<const void*>(graph));
      } else if constexpr (has_executable<Graph>::value) {
        return graph.executable();
      } else {
        return &graph;
      }
    }
    [[nodiscard]] std::unique_ptr<detail::graph_entry> make_empty() const override {
      return std::make_unique<entry_type>(key);
    }

    const Key key;
    Graph graph{};
  };

 public:
  /// A pinned entry, or nothing. Move-only. May be released on another thread than it was taken on.
  class handle {
   public:
    handle() = default;
    handle(handle&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
    handle& operator=(handle&& other) noexcept {
      if (this != &other) {
        release();
        entry_ = std::exchange(other.entry_, nullptr);
      }
      return *this;
    }
    ~handle() { release(); }

    [[nodiscard]] explicit operator bool() const noexcept { return entry_ != nullptr; }
    // All below but release(): @pre it holds an entry
    [[nodiscard]] Graph& operator*() const noexcept { return entry_->graph; }
    [[nodiscard]] Graph* operator->() const noexcept { return &entry_->graph; }
    [[nodiscard]] const Key& key() const noexcept { return entry_->key; }
    /// Whether it has a graph; what get_or_insert() returns may have none.
    [[nodiscard]] bool captured() const noexcept { return entry_->captured; }
    /// recapture() with a graph that is there already.
    /// @param with moved from, unless there is no room for it
    void replace(captured_graph<Graph>&& with) const {
      graph_capture_options wishes;
      wishes.bytes = with.bytes;
      recapture(
          *this, [&with] { return std::move(with); }, wishes);
    }
    /// Unpins early. If the entry was evicted meanwhile it is destroyed now, on this thread, unless
    /// a capture is under way. Harmless when there is nothing to release.
    void release() noexcept {
      if (entry_ != nullptr) std::exchange(entry_, nullptr)->unpin();
    }

   private:
    friend class graph_cache;
    friend struct detail::graph_handle_access;
    explicit handle(detail::graph_entry* entry) noexcept
        : entry_(static_cast<entry_type*>(entry)) {}
    entry_type* entry_ = nullptr;
  };

  /// @param driver destroys the graphs; not null
  /// @param on_evict is told each key that leaves the cache, once, by the call that evicts it and
  ///        before its graph is destroyed; not when the cache itself is destroyed. Called under no
  ///        lock; what it throws is logged
  /// @throws error (invalid_argument) when the driver is null or a limit is 0
  explicit graph_cache(std::shared_ptr<graph_driver> driver, graph_cache_options options = {},
                       std::function<void(const Key&)> on_evict = {})
      : any_graph_cache(std::move(driver), std::move(options), forward(std::move(on_evict))) {}

  /// The entry of a key, pinned; empty when there is none with a graph. Counts as its use.
  [[nodiscard]] handle find(const Key& key) { return handle(find_entry(ref(key))); }

  /// The entry of a key, captured first when there is none.
  ///
  /// One thread captures; others who want the same key wait for it. Room is made before `capture`
  /// runs, so that bounds hold at the peak too, and nothing is destroyed in the process while it
  /// does. It runs on the calling thread, under no lock; it may use other keys of the cache.
  ///
  /// @param capture returns a Graph or a captured_graph<Graph>. What it throws comes out of here,
  ///        the others get an lull::error with the same message, and there is no entry then.
  /// @throws error out_of_device_memory: the graph alone is above a bound (nothing is evicted for
  ///         it where its footprint was given); busy: all that could make room is in use, or
  ///         somebody has the entry without a graph; timed_out; stale: the device was reset
  ///         meanwhile; invalid_argument: `capture` asks for the key that it is called for
  template <class Capture>
  [[nodiscard]] handle get_or_capture(const Key& key, Capture&& capture,
                                      const graph_capture_options& options = {}) {
    const detail::graph_maker how = maker(capture);
    return handle(get_entry(ref(key), &how, options));
  }

  /// The entry of a key, made without a graph when there is none: for callers who warm up before
  /// they capture, and keep what they know of the graph in it. It counts and goes like any other.
  /// @throws error busy: there is no room; timed_out
  [[nodiscard]] handle get_or_insert(const Key& key, const graph_capture_options& options = {}) {
    return handle(get_entry(ref(key), nullptr, options));
  }

  /// Captures the graph of an entry that is there, or captures it anew; all else is as with
  /// get_or_capture. Lookups miss the entry meanwhile. Its footprint is counted anew.
  ///
  /// A capture that returns the executable that is there has updated it in place. Else the old one
  /// is destroyed afterwards; until then the bound on bytes may be exceeded by the smaller of the
  /// two.
  /// @param at the only handle of the entry
  /// @param capture may read the present graph, and update its executable. When it throws, the
  ///        entry stays as it is; what fails after it evicts the entry.
  /// @throws error as get_or_capture; busy: another handle of the entry is out
  template <class Capture>
  static void recapture(const handle& at, Capture&& capture,
                        const graph_capture_options& options = {}) {
    at.entry_->recapture(maker(capture), options);
  }

  /// Evicts the entry of a key. @return whether there was one
  bool erase(const Key& key) { return erase_entry(ref(key)); }

  /// Calls `see` with a handle of each entry, one after the other, those without a graph included.
  /// Does not count as their use. What is being captured, or comes meanwhile, may be left out.
  template <class See>
  void for_each(See&& see) {
    std::vector<Key> keys;
    for_each_entry([&keys](const detail::graph_entry& each) {
      keys.push_back(static_cast<const entry_type&>(each).key);
    });
    for (const Key& key : keys) {
      if (handle each{look_at(ref(key))}) see(each);
    }
  }

 private:
  template <class Capture>
  [[nodiscard]] static detail::graph_maker maker(Capture& capture) {
    return [&capture](detail::graph_entry& into, detail::graph_entry& old) {
      captured_graph<Graph> made{capture()};
      static_cast<entry_type&>(old).graph =
          std::exchange(static_cast<entry_type&>(into).graph, std::move(made.graph));
      return detail::graph_size{made.bytes, made.nodes};
    };
  }

  [[nodiscard]] static std::function<void(const detail::graph_entry&)> forward(
      std::function<void(const Key&)> to) {
    if (!to) return {};
    return [to = std::move(to)](const detail::graph_entry& gone) {
      to(static_cast<const entry_type&>(gone).key);
    };
  }

  [[nodiscard]] static detail::graph_key ref(const Key& key) {
    // std::hash of a number is the number. One product would do for numbers without a pattern;
    // addresses at equal distances pile up without the second. The factor is 2^64 divided by the
    // golden ratio: Knuth, The Art of Computer Programming, volume 3, section 6.4.
    constexpr std::uint64_t factor = 0x9E3779B97F4A7C15U;
    const std::uint64_t once = static_cast<std::uint64_t>(Hash{}(key)) * factor;
    return {(once ^ (once >> 32U)) * factor, &key,
            [](const void* sought, const detail::graph_entry& candidate) {
              return Equal{}(static_cast<const entry_type&>(candidate).key,
                             *static_cast<const Key*>(sought));
            },
            [](const void* of) -> std::unique_ptr<detail::graph_entry> {
              return std::make_unique<entry_type>(*static_cast<const Key*>(of));
            }};
  }
};

}  // namespace lull

#endif  // LULL_GRAPH_CACHE_HPP
