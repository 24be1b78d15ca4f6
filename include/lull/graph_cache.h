#ifndef LULL_GRAPH_CACHE_H
#define LULL_GRAPH_CACHE_H

/// @file
/// The C API of the graph cache: lull::graph_cache with keys of 128 bits and graphs that are opaque
/// pointers, such as a cudaGraphExec_t. Part of <lull/lull.h>, whose conventions hold here too.
/// What is meant by a thing is said at its counterpart in the C++ headers.
///
///     lull_graph_pin pin = {0};
///     if (lull_graph_cache_find(cache, key, &pin) == LULL_OK && pin.graph != NULL) {
///       cudaGraphLaunch((cudaGraphExec_t)pin.graph, stream);
///       lull_graph_pin_release(&pin);
///     }

#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lull_device;
struct lull_sleeper;

typedef struct lull_graph_cache lull_graph_cache;
typedef struct lull_graph_budget lull_graph_budget;
typedef struct lull_graph_hold lull_graph_hold;

/// What a graph is found by: a digest of all that it depends on, or a number (then `high` is 0).
/// Two graphs with the same key are the same graph, so a digest must be one that does not collide.
typedef struct lull_graph_key {
  uint64_t high;
  uint64_t low;
} lull_graph_key;

// --- The vendor's side (lull/graph_driver.hpp) ------------------------------------------------

/// lull::graph_driver: how graphs are destroyed, and what they cost. Called on the thread that
/// evicts, captures or releases. A failure is logged and counted, and what was to be destroyed
/// counts as gone; but after LULL_ERROR_BUSY it is tried again. `destroy`, `before_destroy` and
/// `trim` are never called while a thread of this process captures.
typedef struct lull_graph_driver {
  size_t struct_size;
  lull_status (*destroy)(void* user, void* graph);  ///< mandatory, the others may be null
  lull_status (*before_destroy)(void* user);        ///< once before some are destroyed
  lull_status (*trim)(void* user);  ///< returns what the vendor keeps of graphs gone
  /// What a graph of so many nodes holds, in bytes; LULL_UNKNOWN, also for `nodes`: not known.
  uint64_t (*footprint)(void* user, void* graph, uint64_t nodes);
  /// What this process holds now of the memory that graphs are made of, in bytes; or LULL_UNKNOWN.
  uint64_t (*used_bytes)(void* user);
  void* user;
  /// Called once when nothing will call the others any more, on any thread, also when the cache
  /// could not be created. May be after lull_graph_cache_destroy: while a pin is out, or something
  /// is being captured in the process. May be null.
  void (*release)(void* user);
} lull_graph_driver;

// --- Bounds -----------------------------------------------------------------------------------

/// How much may be kept. Part of other structs, and so never grows.
typedef struct lull_graph_limits {
  uint64_t entries;      ///< above 0; LULL_NO_LIMIT: no bound
  uint64_t bytes;        ///< above 0; LULL_NO_LIMIT: no bound
  int64_t idle_time_ns;  ///< what is idle for so long goes with a sweep; above 0; or LULL_FOREVER
} lull_graph_limits;

/// Bounds that several caches share; above 0, or LULL_NO_LIMIT. What uses a budget keeps it alive.
LULL_API lull_status lull_graph_budget_create(uint64_t entries, uint64_t bytes,
                                              lull_graph_budget** budget);
LULL_API void lull_graph_budget_destroy(lull_graph_budget* budget);
/// Evicts what is above the bounds before it returns.
LULL_API lull_status lull_graph_budget_set_limits(lull_graph_budget* budget, uint64_t entries,
                                                  uint64_t bytes);
/// What all its caches hold, with what is evicted and not destroyed yet.
/// @param entries may be null
/// @param bytes may be null
LULL_API lull_status lull_graph_budget_usage(const lull_graph_budget* budget, uint64_t* entries,
                                             uint64_t* bytes);

// --- The cache --------------------------------------------------------------------------------

typedef struct lull_graph_cache_options {
  size_t struct_size;
  const lull_graph_driver* driver;  ///< copied; either this or `device` is needed, not both
  /// Graphs are the executable graphs of this device, and a reset of it clears the cache first:
  /// lull::make_graph_driver. What uses a device keeps it alive.
  const struct lull_device* device;
  /// For `device`: what a node of a graph holds; 0: no estimates; LULL_UNKNOWN (default): as the
  /// device's backend says.
  uint64_t bytes_per_node;
  int64_t clear_timeout_ns;         ///< for `device`: how long a reset waits; above 0; default 10 s
  lull_graph_limits limits;         ///< default: no bound
  const lull_graph_budget* budget;  ///< default null
  int32_t frequency_filter;         ///< keys that come once wash out no others; default 0
  uint64_t trim_after_bytes;        ///< of destroyed graphs; default 64 MiB
  const char* name;                 ///< for logs and metrics; default "graphs"
  lull_log_level log_threshold;     ///< default LULL_LOG_INFO
  lull_log_fn log;                  ///< default null: silent
  void* log_user;
  /// Told each key that leaves the cache, by the call that evicts it; default null.
  void (*evicted)(void* user, lull_graph_key key);
  void* evicted_user;
} lull_graph_cache_options;
LULL_API void lull_graph_cache_options_init(lull_graph_cache_options* options);

/// @return LULL_ERROR_UNSUPPORTED: the device has no graphs (LULL_CAP_GRAPHS)
LULL_API lull_status lull_graph_cache_create(const lull_graph_cache_options* options,
                                             lull_graph_cache** cache);
/// Destroys all graphs that are not in use, or has that done when captures under way end. Pins
/// should have been released; the graph of one that was not is destroyed when it is, and a line is
/// logged.
LULL_API void lull_graph_cache_destroy(lull_graph_cache* cache);

/// An entry in use: its graph stays valid until lull_graph_pin_release, whatever happens to the
/// cache. Owned by the caller; a zeroed one holds nothing. May be moved as bytes, but only one copy
/// counts, and may be released on another thread. Functions that return one overwrite it: release
/// it before.
typedef struct lull_graph_pin {
  void* graph;  ///< null: it holds nothing, or an entry without a graph
  void* entry;  ///< lull's own
} lull_graph_pin;

/// The graph of a key, pinned. That there is none is no failure: then `pin` holds nothing. A hit
/// allocates nothing, and waits for no capture, no destruction and no vendor.
LULL_API lull_status lull_graph_cache_find(lull_graph_cache* cache, lull_graph_key key,
                                           lull_graph_pin* pin);
/// Gives a pin back and empties the struct, so that a second release is harmless. If the entry was
/// evicted meanwhile its graph is destroyed now, unless a capture is under way.
LULL_API void lull_graph_pin_release(lull_graph_pin* pin);

/// What a capture function hands over. `struct_size` is set by the library: what lies beyond it is
/// not there.
typedef struct lull_captured_graph {
  size_t struct_size;
  void* graph;     ///< not null
  uint64_t bytes;  ///< what it holds; LULL_UNKNOWN (preset): the driver is asked
  uint64_t nodes;  ///< how many it has, for the driver's estimate; LULL_UNKNOWN (preset): not known
} lull_captured_graph;

/// The nodes of a graph of a device: of the template (cudaGraph_t), not of what is launched.
LULL_API lull_status lull_device_graph_node_count(const struct lull_device* device, void* graph,
                                                  uint64_t* nodes);

/// Captures a graph: a failure is the result of those who asked for it, and means that there is no
/// graph to destroy. Runs on the thread that asks, under no lock; may use other keys of the cache.
typedef lull_status (*lull_capture_fn)(void* user, lull_captured_graph* captured);

typedef struct lull_graph_capture_options {
  size_t struct_size;
  uint64_t bytes;  ///< what the graph will hold; LULL_UNKNOWN (default): not known
  /// How long to wait for another thread's capture of the key, and for captures that hold off the
  /// destruction of what has to make room; default LULL_FOREVER.
  int64_t timeout_ns;
  /// How long to wait when all that could make room is in use; default 0, because this thread may
  /// be the one that uses it.
  int64_t room_timeout_ns;
} lull_graph_capture_options;
LULL_API void lull_graph_capture_options_init(lull_graph_capture_options* options);

/// The graph of a key, pinned; captured first when there is none. One thread captures, others who
/// want the same key wait for it. Nothing is destroyed in the process while `capture` runs.
/// @param options may be null
/// @return what `capture` failed with, also to those who waited for it; LULL_ERROR_CALLBACK: it
///         succeeded without a graph; LULL_ERROR_OUT_OF_DEVICE_MEMORY: the graph alone is above a
///         bound; LULL_ERROR_BUSY: all that could make room is in use; LULL_ERROR_TIMED_OUT;
///         LULL_ERROR_INVALID_ARGUMENT: `capture` asks for the key that it is called for
LULL_API lull_status lull_graph_cache_get_or_capture(lull_graph_cache* cache, lull_graph_key key,
                                                     lull_capture_fn capture, void* user,
                                                     const lull_graph_capture_options* options,
                                                     lull_graph_pin* pin);
/// The entry of a key, pinned; made without a graph when there is none.
/// @param options may be null
LULL_API lull_status lull_graph_cache_get_or_insert(lull_graph_cache* cache, lull_graph_key key,
                                                    const lull_graph_capture_options* options,
                                                    lull_graph_pin* pin);
/// Captures the graph of a pinned entry, or captures it anew: lull::graph_cache::recapture. When
/// `capture` hands over the graph that is there, it was updated in place; else the old one is
/// destroyed.
/// @param pin the only one of the entry; its graph is the new one then
/// @param options may be null
LULL_API lull_status lull_graph_pin_recapture(lull_graph_pin* pin, lull_capture_fn capture,
                                              void* user,
                                              const lull_graph_capture_options* options);
/// @param graph null where the entry has none
typedef void (*lull_graph_see_fn)(void* user, lull_graph_key key, void* graph);
/// Calls `see` for each entry, pinned meanwhile.
LULL_API lull_status lull_graph_cache_for_each(lull_graph_cache* cache, lull_graph_see_fn see,
                                               void* user);

/// Evicts the entry of a key. `erased` (may be null) gets whether there was one.
LULL_API lull_status lull_graph_cache_erase(lull_graph_cache* cache, lull_graph_key key,
                                            int32_t* erased);
/// Evicts everything, and blocks until it is destroyed: for pins to be released and captures to
/// end, at most `timeout_ns`. To be called before a device reset, which lull's own do for caches
/// over the device.
/// @return LULL_ERROR_TIMED_OUT, and the message says what is in use; it still goes when released
LULL_API lull_status lull_graph_cache_clear(lull_graph_cache* cache, int64_t timeout_ns);
/// Evicts everything that is not in use and has the vendor return memory. Waits for no pin and no
/// capture. `evicted` may be null.
LULL_API lull_status lull_graph_cache_trim(lull_graph_cache* cache, uint64_t* evicted);
/// Evicts what was idle for too long, destroys what waits for it, and has the vendor return memory.
/// `evicted` may be null.
LULL_API lull_status lull_graph_cache_sweep(lull_graph_cache* cache, uint64_t* evicted);
/// How long until lull_graph_cache_sweep should be called; LULL_FOREVER while nothing would go by
/// time.
LULL_API lull_status lull_graph_cache_next_deadline(const lull_graph_cache* cache, int64_t* in_ns);
/// The device was reset, and all graphs died with its context: drops them without a call to the
/// driver. For caches with a lull_graph_driver; others know by themselves. `dropped` may be null.
LULL_API lull_status lull_graph_cache_device_was_reset(lull_graph_cache* cache, uint64_t* dropped);

/// Evicts what is above the bounds before it returns; what is in use goes when it is released.
LULL_API lull_status lull_graph_cache_set_limits(lull_graph_cache* cache,
                                                 const lull_graph_limits* limits);
LULL_API lull_status lull_graph_cache_limits(const lull_graph_cache* cache,
                                             lull_graph_limits* limits);
LULL_API lull_status lull_graph_cache_set_frequency_filter(lull_graph_cache* cache, int32_t on);

/// lull::graph_cache_stats. Counters count from the cache's creation on.
typedef struct lull_graph_stats {
  size_t struct_size;
  uint64_t hits;
  uint64_t misses;
  uint64_t captures;
  uint64_t failed_captures;
  uint64_t rejected;             ///< captures whose footprint alone is above a bound
  uint64_t evicted_for_entries;  ///< by the bound on entries, of the cache or the budget
  uint64_t evicted_for_bytes;    ///< by the bound on bytes
  uint64_t evicted_idle;         ///< not used for the idle time
  uint64_t evicted_cleared;      ///< by lull_graph_cache_clear and lull_graph_cache_trim
  uint64_t evicted_erased;       ///< by lull_graph_cache_erase
  uint64_t evicted_stale;        ///< of before a device reset
  uint64_t updated;              ///< captures that kept the graph that was there
  uint64_t destroyed;
  uint64_t dropped;  ///< stale: given up without a call
  uint64_t failed_destructions;
  uint64_t unknown_footprints;  ///< captures of a size nobody knows; they count as 0
  uint64_t entries;             ///< that can be found, and those without a graph
  uint64_t bytes;
  uint64_t pins;             ///< out now
  uint64_t leaving_entries;  ///< evicted, but still in use or held off by a capture
  uint64_t leaving_bytes;
  uint64_t peak_entries;  ///< with those that are leaving
  uint64_t peak_bytes;
  uint64_t returned_bytes;           ///< what destroyed graphs were counted for
  uint64_t measured_returned_bytes;  ///< how much less was used after; LULL_UNKNOWN where not known
  double footprint_correction;       ///< what estimates are multiplied with
  int64_t capturing_ns;
  int64_t destroying_ns;
  char name[64];
} lull_graph_stats;
/// Waits for no capture and no destruction.
LULL_API lull_status lull_graph_cache_stats(const lull_graph_cache* cache, lull_graph_stats* stats);

// --- Holding off destruction, and sleeping ----------------------------------------------------

/// Until it is destroyed no cache of this process destroys a graph (lull::graph_hold): for captures
/// that do not go through a cache. Nests. Blocks while graphs are being destroyed, at most
/// `timeout_ns`.
LULL_API lull_status lull_graph_hold_create(int64_t timeout_ns, lull_graph_hold** hold);
/// On the thread that made it. The last hold of the process destroys what has been waiting for it.
LULL_API void lull_graph_hold_destroy(lull_graph_hold* hold);
/// How many holds exist in this process, those of captures included.
LULL_API uint64_t lull_graph_hold_count(void);

/// Clears a cache at every sleep, and while awake sweeps it when that is due. To be added after the
/// memory that its graphs use: what is added last sleeps first. The cache must outlive the sleeper.
/// @param clear_timeout_ns how long a sleep waits for graphs in use and captures under way before
///        it fails; 0: not at all
/// @return LULL_ERROR_BUSY when not awake
LULL_API lull_status lull_sleeper_manage_graphs(struct lull_sleeper* sleeper,
                                                lull_graph_cache* cache, int64_t clear_timeout_ns);

#ifdef __cplusplus
}
#endif

#endif  // LULL_GRAPH_CACHE_H
