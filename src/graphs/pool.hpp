#ifndef LULL_GRAPHS_POOL_HPP
#define LULL_GRAPHS_POOL_HPP

#include <lull/any_graph_cache.hpp>
#include <lull/error.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "graphs/flight.hpp"
#include "graphs/frequency_sketch.hpp"
#include "graphs/index.hpp"
#include "graphs/readers.hpp"
#include "graphs/recency_heap.hpp"

namespace lull::detail {

/// A number of entries and their bytes.
struct graph_tally {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;

  graph_tally& operator+=(const graph_tally& other) noexcept {
    entries += other.entries;
    bytes += other.bytes;
    return *this;
  }
  graph_tally& operator-=(const graph_tally& other) noexcept {
    entries -= other.entries;
    bytes -= other.bytes;
    return *this;
  }
};

/// Where the memory of graphs is counted. An entry goes live -> held (evicted but in use, or taken
/// by a caller) -> queued -> gone; a capture under way has its room reserved.
struct graph_account {
  graph_tally live;
  graph_tally held;
  graph_tally queued;
  graph_tally reserved;

  /// What destroying all that is queued would leave.
  [[nodiscard]] graph_tally lasting() const noexcept {
    return {live.entries + held.entries + reserved.entries,
            live.bytes + held.bytes + reserved.bytes};
  }
  /// What exists now.
  [[nodiscard]] graph_tally existing() const noexcept {
    return {live.entries + held.entries + queued.entries, live.bytes + held.bytes + queued.bytes};
  }
};

struct graph_bounds {
  std::optional<std::uint64_t> entries;
  std::optional<std::uint64_t> bytes;
};

/// Caches that share a budget, or one cache by itself.
struct graph_pool : std::enable_shared_from_this<graph_pool> {
  /// Guards everything here and in the cores but what is atomic. Never held while a driver, a
  /// capture or a log callback runs. Taken before the destruction gate's.
  mutable std::mutex mutex;
  /// Something was destroyed, released, or a capture ended.
  std::condition_variable changed;

  std::atomic<std::uint64_t> era{0};  ///< not below any stamp that was given before the last miss
  graph_bounds bounds;
  graph_account account;
  std::vector<std::shared_ptr<graph_core>> cores;
  bool draining = false;

  // Guarded by the destruction gate's mutex.
  std::shared_ptr<graph_pool> next_left;
  bool is_left = false;

  /// Raises the era above all stamps given so far.
  /// @return a stamp that is newer than all of them
  std::uint64_t new_stamp() noexcept;

  /// Destroys what is queued, with `lock` released meanwhile. Leaves it to the end of the last hold
  /// when there is one; leaves it to the thread that is at it when one is.
  void drain(std::unique_lock<std::mutex>& lock) noexcept;
  [[nodiscard]] bool has_work() const noexcept;

  /// Forgets cores whose cache is gone and that have nothing left. Lets `lock` go meanwhile,
  /// because drivers may go with them.
  void forget_retired(std::unique_lock<std::mutex>& lock) noexcept;

  /// Evicts until the pool's own bounds hold, or all that is left is in use.
  void enforce_bounds() noexcept;
  /// The core whose next victim was used least recently; null when all is in use.
  [[nodiscard]] graph_core* core_of_victim() noexcept;
};

/// Lets the mechanism reach into a budget.
struct graph_pool_access {
  static const std::shared_ptr<graph_pool>& of(const graph_budget& budget) noexcept {
    return budget.pool_;
  }
};

/// A cache but for its types. Functions are called with the pool's mutex held where they do not take
/// a lock by reference or say otherwise.
class graph_core final : public graph_core_base, public std::enable_shared_from_this<graph_core> {
 public:
  graph_core(std::shared_ptr<graph_driver> driver, graph_cache_options options,
             std::shared_ptr<graph_pool> in);
  ~graph_core();
  graph_core(const graph_core&) = delete;
  graph_core& operator=(const graph_core&) = delete;

  // graph_core.cpp
  [[nodiscard]] graph_pin pin(graph_node& node) noexcept;
  [[nodiscard]] bool is_pinned(const graph_node& node) const noexcept;
  /// Puts a node into the cache, pinned. @pre reserve_for_one() was called for it
  graph_pin admit(std::unique_ptr<graph_node> node) noexcept;
  /// Memory for one more entry, so that admit cannot fail. @throws std::bad_alloc
  void reserve_for_one();
  [[nodiscard]] graph_node* find(const graph_key& key) const {
    return index.find(key.hash,
                      [&key](const graph_node& node) { return key.is_of(key.key, node); });
  }
  /// Counts a lookup that found nothing; later uses are newer than all before it.
  void note_miss(std::uint64_t hash) noexcept;
  void set_filter(bool on) noexcept;
  /// What the readers' clocks must reach for a use to go the short way.
  [[nodiscard]] std::uint64_t floor() const noexcept;
  graph_cache_stats stats() const;
  /// The end of the cache; the core goes when nothing of it is left. Takes the mutex.
  void retire() noexcept;
  void log(log_level level, std::string_view text) const noexcept {
    options.log.write(level, text);
  }

  // graph_eviction.cpp
  /// Takes an entry out of the index; settle_removed() must follow before the mutex is let go.
  void remove(graph_node& node, graph_eviction cause) noexcept;
  /// Sorts what was removed: in use, to be destroyed, or stale and dropped here.
  void settle_removed() noexcept;
  /// Moves what is not in use any more from awaiting to queued.
  void collect_unpinned() noexcept;
  /// Evicts everything, or everything that is not in use.
  std::uint64_t remove_all(graph_eviction cause, bool also_pinned) noexcept;
  /// Drops what is of an older generation, if the driver's was raised.
  std::uint64_t drop_stale() noexcept;
  void enforce_limits() noexcept;
  std::uint64_t evict_idle(time_point now) noexcept;
  /// The stamp of the entry that would go next; absent when all is in use.
  [[nodiscard]] std::optional<std::uint64_t> victim_stamp() noexcept;
  /// Evicts the entry that should go next.
  /// @param again whether another one has just gone for the same newcomer
  /// @return false when all is in use
  bool evict_one(graph_eviction cause, bool again = false) noexcept;
  /// The nearest entry that is not in use, out of the cache and held; null when there is none.
  template <class Distance>
  [[nodiscard]] graph_node* take_nearest(const Distance& how_far) {
    graph_node* nearest = nullptr;
    std::uint64_t least = 0;
    for (const recency_heap* const heap : {&main, &window}) {
      for (std::size_t i = 0; i < heap->size(); ++i) {
        graph_node& node = heap->node(i);
        const std::optional<std::uint64_t> far = how_far(node);
        if (!far || (nearest != nullptr && *far >= least) || is_pinned(node)) continue;
        nearest = &node;
        least = *far;
      }
    }
    return nearest == nullptr ? nullptr : take(*nearest);
  }
  /// Destroys a taken entry, or forgets it when its graph has gone elsewhere.
  void put_away(graph_node& node, bool has_graph) noexcept;
  /// Has a held node, which is on no list, destroyed by the next drain.
  void queue(graph_node& node) noexcept;

  // graph_destruction.cpp
  /// Has the next batch try again what was refused.
  void queue_postponed() noexcept;
  [[nodiscard]] bool has_work() const noexcept { return queued_nodes != nullptr || trim_wanted; }
  /// Destroys what is queued, with `lock` released meanwhile. @pre the gate lets destroy
  void destroy_queued(std::unique_lock<std::mutex>& lock) noexcept;

  // graph_capture.cpp
  /// Finds an entry or captures it; see graph_cache::get_or_capture.
  [[nodiscard]] graph_pin find_or_make(std::unique_lock<std::mutex>& lock, const graph_key& key,
                                       graph_maker& how, const graph_capture_options& wishes);
  /// Waits until what was evicted and begun before is gone. @throws error (timed_out, busy)
  void wait_until_cleared(std::unique_lock<std::mutex>& lock, time_point deadline);

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] std::uint64_t current_generation() const noexcept {
    return generation_->load(std::memory_order_acquire);
  }

  const std::shared_ptr<graph_driver> driver;
  graph_cache_options options;
  const std::shared_ptr<graph_pool> pool;
  graph_index index{table_};
  graph_readers readers;
  recency_heap main;
  recency_heap window;  ///< newcomers, while the frequency filter is on
  graph_account account;
  graph_node* removed_nodes = nullptr;   ///< between remove() and settle_removed()
  graph_node* awaiting_nodes = nullptr;  ///< evicted and in use
  graph_node* queued_nodes = nullptr;    ///< to be destroyed
  std::vector<std::shared_ptr<graph_flight>> flights;
  std::uint64_t clearings = 0;  ///< what was begun before the last one does not stay
  std::uint64_t swept_generation = 0;
  std::uint64_t expected_bytes = 0;  ///< what room is made for when a capture does not say
  std::uint64_t untrimmed_bytes = 0;
  graph_node* postponed_nodes = nullptr;  ///< queued, and refused for the moment
  bool trim_wanted = false;
  bool retired = false;  ///< its cache is gone
  std::shared_ptr<graph_core> next_forgotten;
  time_point last_sweep;
  frequency_sketch sketch;
  std::uint64_t sampled_at = 0;  ///< hits and misses when the sketch was halved last
  graph_cache_stats counted;     ///< what is counted under the mutex
  /// Whether captures come without any footprint but what can be measured around them.
  std::atomic<bool> measure_captures{true};

 private:
  friend class graph_core_base;

  template <class Predicate>
  std::uint64_t remove_where(graph_eviction cause, const Predicate& wanted) noexcept;
  recency_heap& heap_of(const graph_node& node) noexcept { return node.in_window ? window : main; }
  [[nodiscard]] graph_node* take(graph_node& node) noexcept;
  void age_sketch() noexcept;
  [[nodiscard]] graph_node* candidate(recency_heap& heap) noexcept;
  /// What goes next, and what takes a place among the settled for it; null where there is none.
  struct contest {
    graph_node* loser = nullptr;
    graph_node* winner = nullptr;
  };
  [[nodiscard]] contest hold_contest(bool again) noexcept;
  void promote(graph_node& node) noexcept;
  [[nodiscard]] std::size_t window_entries() const noexcept;
  [[nodiscard]] std::uint32_t frequency(const graph_node& node) const noexcept;
  void flush_uses(graph_node& node) noexcept;
  void note_peak() noexcept;
  void drop(graph_node& node) noexcept;

  struct destruction_batch;
  void run(destruction_batch& batch) noexcept;
  [[nodiscard]] status destroy(graph_node& node) noexcept;
  void learn(const destruction_batch& batch) noexcept;

  void join(std::unique_lock<std::mutex>& lock, const std::shared_ptr<graph_flight>& flight,
            time_point deadline);
  [[nodiscard]] graph_pin lead(std::unique_lock<std::mutex>& lock, graph_flight& flight,
                               graph_maker& how, const graph_capture_options& wishes);
  /// Ends a flight, however it went.
  struct landing {
    ~landing();
    graph_core& core;
    std::unique_lock<std::mutex>& lock;
    const std::shared_ptr<graph_flight>& flight;
  };
  struct capture_result;
  [[nodiscard]] capture_result capture(graph_maker& how, const graph_capture_options& wishes);
  [[nodiscard]] graph_pin keep(std::unique_lock<std::mutex>& lock, const graph_flight& flight,
                               capture_result made);
  [[nodiscard]] std::uint64_t footprint_of(const capture_result& made, graph_node& node) noexcept;
  void make_room(std::unique_lock<std::mutex>& lock, std::uint64_t bytes, time_point deadline);
  void wait_for_destructions(std::unique_lock<std::mutex>& lock, const graph_flight& flight,
                             time_point deadline);
  /// Which bound keeps one more entry out.
  struct shortage {
    graph_eviction cause;
    bool of_pool;
  };
  [[nodiscard]] std::optional<shortage> find_shortage(std::uint64_t bytes) const noexcept;
  [[nodiscard]] bool evict_for(std::uint64_t bytes) noexcept;
  [[nodiscard]] bool is_above_bounds() const noexcept;
  [[nodiscard]] std::optional<std::uint64_t> lowest_byte_bound() const noexcept;
  void reject_if_too_large(std::uint64_t bytes);
  void wait(std::unique_lock<std::mutex>& lock, time_point deadline) const {
    options.clock->wait_until(pool->changed, lock, deadline);
  }

 public:
  /// Adds to one figure of this core's account and the pool's.
  void add(graph_tally graph_account::*what, graph_tally amount) noexcept {
    account.*what += amount;
    pool->account.*what += amount;
  }
  void subtract(graph_tally graph_account::*what, graph_tally amount) noexcept {
    account.*what -= amount;
    pool->account.*what -= amount;
  }
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_POOL_HPP
