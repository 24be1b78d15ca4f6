#ifndef LULL_ANY_GRAPH_CACHE_HPP
#define LULL_ANY_GRAPH_CACHE_HPP

/// @file
/// Everything about a graph cache that does not depend on the types of its keys and graphs: bounds,
/// budgets, shrinking, statistics.

#include <lull/clock.hpp>
#include <lull/export.h>
#include <lull/graph_cache_core.hpp>
#include <lull/graph_driver.hpp>
#include <lull/log.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace lull {

namespace detail {
struct graph_pool;
struct graph_pool_access;
}  // namespace detail

/// How much may be kept. An absent bound does not bound.
struct graph_limits {
  std::optional<std::uint64_t> entries = {};  ///< above 0
  std::optional<std::uint64_t> bytes = {};    ///< above 0
  /// An entry that was not used for this long is evicted by the next sweep(). Above 0.
  std::optional<duration> idle_time = {};
};

/// Bounds that several caches share: their sum stays below. The entry used least recently goes
/// first, whichever cache it is in. Caches of one budget share one lock for misses and evictions;
/// hits take none. Copies refer to the same budget. Thread-safe.
class LULL_API graph_budget {
 public:
  /// @param entries,bytes of all caches together; absent: no bound; above 0
  /// @throws error (invalid_argument)
  explicit graph_budget(std::optional<std::uint64_t> entries = {},
                        std::optional<std::uint64_t> bytes = {});

  /// Changes the bounds, and evicts what is above them before it returns.
  void set_limits(std::optional<std::uint64_t> entries, std::optional<std::uint64_t> bytes);

  /// What all caches of this budget hold, with what is evicted but not destroyed yet.
  [[nodiscard]] std::uint64_t entries() const;
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  friend struct detail::graph_pool_access;
  std::shared_ptr<detail::graph_pool> pool_;
};

struct graph_cache_options {
  graph_limits limits = {};
  /// Shared with other caches; absent: this cache's own limits only.
  std::optional<graph_budget> budget = {};
  /// Keeps keys that come once from washing out those that come often. A hit counts its use then, which
  /// is one more write to the entry.
  bool frequency_filter = false;
  /// Memory of destroyed graphs that may collect in the vendor's pools before graph_driver::trim()
  /// is called; sweep(), clear() and trim() always call it. The default is what eight small graphs
  /// of a decode step hold (8 MiB each: ggml-org/llama.cpp issue 25835).
  std::uint64_t trim_after_bytes = std::uint64_t{64} << 20;
  /// For logs and metrics.
  std::string name = "graphs";
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
  updated,  ///< taken out to become another graph
  stale,    ///< of a generation before a device reset
};
inline constexpr std::size_t graph_eviction_causes = 7;
LULL_API std::string_view to_string(graph_eviction cause) noexcept;

/// A cache at one moment. Counters count from its creation on.
struct graph_cache_stats {
  std::string name;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t captures = 0;
  std::uint64_t failed_captures = 0;
  std::uint64_t rejected = 0;  ///< captures whose footprint alone is above a bound
  std::array<std::uint64_t, graph_eviction_causes> evictions{};  ///< by graph_eviction
  std::uint64_t destroyed = 0;
  std::uint64_t dropped = 0;  ///< stale: given up without a vendor call
  std::uint64_t failed_destructions = 0;
  std::uint64_t unknown_footprints = 0;  ///< entries that nobody knows the size of; they count as 0

  std::uint64_t entries = 0;  ///< that can be found
  std::uint64_t bytes = 0;
  std::uint64_t handles = 0;          ///< out now
  std::uint64_t leaving_entries = 0;  ///< evicted, but still in use or held off by a capture
  std::uint64_t leaving_bytes = 0;
  std::uint64_t peak_entries = 0;  ///< with those that are leaving
  std::uint64_t peak_bytes = 0;

  std::uint64_t returned_bytes = 0;  ///< what destroyed graphs were counted for
  /// How much less the process held after destroying, where the driver measures it.
  std::optional<std::uint64_t> measured_returned_bytes;
  /// What estimates are multiplied with, learned from what destroying returned.
  double footprint_correction = 1;
  duration capturing{};
  duration destroying{};

  [[nodiscard]] std::uint64_t evicted(graph_eviction cause) const noexcept {
    return evictions[static_cast<std::size_t>(cause)];
  }
};

/// One JSON object, on one line.
[[nodiscard]] LULL_API std::string to_json(const graph_cache_stats& stats);
/// In Prometheus's text format, with the cache's name as label `cache`.
[[nodiscard]] LULL_API std::string to_prometheus(const graph_cache_stats& stats);

/// What a caller knows about a capture beforehand.
struct graph_capture_options {
  /// What the graph will hold. Absent: the driver is asked afterwards, and room is made for what
  /// recent captures took.
  std::optional<std::uint64_t> bytes = {};
  /// Until when to wait for another thread's capture of the same key, and for captures elsewhere
  /// that hold off the destruction of what has to make room. On the cache's clock.
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

  /// Changes the bounds, and evicts what is above them before it returns; what is in use goes when
  /// it is released. Entries that were idle wait for the next sweep().
  /// @throws error (invalid_argument)
  void set_limits(const graph_limits& limits);
  [[nodiscard]] graph_limits limits() const;

  /// Changes graph_cache_options::frequency_filter.
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
  /// end, of this cache or elsewhere. What is captured meanwhile does not stay either.
  /// Drivers of devices that can be reset have it called before that.
  /// @throws error (timed_out) that says what is in use; it still goes when it is released
  void clear(time_point deadline = no_deadline);

  /// Evicts everything that is not in use, destroys it unless a capture is under way, and has the
  /// driver return memory. Never waits for handles or captures.
  /// @return how many entries it evicted
  std::uint64_t trim();

  /// clear() with a deadline that is so far away on the cache's clock.
  void clear_within(duration span);

  /// Drops what was captured before the driver's generation was raised, without a vendor call.
  /// Lookups never find such entries, also before this is called.
  /// @return how many entries it dropped
  std::uint64_t reset_generation();

  /// @name Observing. Waits for no capture and no destruction.
  /// @{
  [[nodiscard]] graph_cache_stats stats() const;
  [[nodiscard]] std::size_t size() const;
  /// Whether no graph of the cache exists any more: none that can be found, none that is on its way
  /// out, none being captured.
  [[nodiscard]] bool holds_nothing() const;
  /// @}

 protected:
  /// How far an entry is from what is sought; absent: it cannot be used.
  class LULL_API distance_from {
   public:
    [[nodiscard]] virtual std::optional<std::uint64_t> operator()(
        const detail::graph_node& node) const = 0;

   protected:
    ~distance_from() = default;
  };

  any_graph_cache(std::shared_ptr<graph_driver> driver, graph_cache_options options);
  ~any_graph_cache();

  [[nodiscard]] detail::graph_core_base& quick() const noexcept { return *quick_; }
  [[nodiscard]] detail::graph_pin find_locked(const detail::graph_key& key);
  [[nodiscard]] detail::graph_pin make_or_wait(const detail::graph_key& key,
                                               detail::graph_maker& how,
                                               const graph_capture_options& options);
  [[nodiscard]] detail::graph_node* take_nearest(const distance_from& how_far);
  /// Tells the driver that the caller takes a graph over.
  void disown(detail::graph_node& node) noexcept;
  /// Destroys a taken entry, or its shell when the caller has moved the graph out.
  void put_away(detail::graph_node* node, bool has_graph) noexcept;
  bool erase_key(const detail::graph_key& key);

 private:
  [[nodiscard]] detail::graph_core& core() const noexcept;

  detail::graph_core_base* quick_;
  std::shared_ptr<void> attachment_;  ///< the driver's
};

}  // namespace lull

#endif  // LULL_ANY_GRAPH_CACHE_HPP
