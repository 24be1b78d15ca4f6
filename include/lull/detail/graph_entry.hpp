#ifndef LULL_DETAIL_GRAPH_ENTRY_HPP
#define LULL_DETAIL_GRAPH_ENTRY_HPP

/// @file
/// What the template in <lull/graph_cache.hpp> shares with the library. Not for direct use.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace lull {
struct graph_capture_options;

namespace detail {
class graph_core;
struct graph_account;
struct graph_entry;
struct graph_flight;
struct graph_handle_access;
struct graph_tally;

/// What a capture function says about the size of its graph.
struct graph_size {
  std::optional<std::uint64_t> bytes;
  std::optional<std::uint64_t> nodes;
};
/// Captures a graph into an entry, and puts the one that was there into `old`. Called under no
/// lock.
using graph_maker = std::function<graph_size(graph_entry& into, graph_entry& old)>;

/// An entry of a cache; key and graph follow in the derived class.
struct LULL_API graph_entry {
  virtual ~graph_entry();
  /// What the driver knows the graph by; null: there is nothing to destroy.
  [[nodiscard]] virtual void* handle() noexcept = 0;
  /// An entry of the same key without a graph.
  [[nodiscard]] virtual std::unique_ptr<graph_entry> make_empty() const = 0;

  /// Undoes one pin; the entry may be gone afterwards.
  void unpin() noexcept;
  /// See graph_cache::recapture. @pre the caller has pinned it
  void recapture(const graph_maker& how, const graph_capture_options& wishes);

  // Pins are counted above these two bits of `pins`.
  static constexpr std::uint32_t leaving = 1;  ///< evicted: goes with the last pin
  static constexpr std::uint32_t wanted = 2;   ///< somebody would have evicted it, but for its pins
  static constexpr std::uint32_t one_pin = 4;
  std::atomic<std::uint32_t> pins{0};
  std::atomic<std::uint32_t> uses{0};   ///< since the frequency filter looked
  std::atomic<std::uint64_t> stamp{0};  ///< the number of the last use
  std::uint64_t hash = 0;
  std::uint64_t generation = 0;  ///< that the graph was captured under
  bool findable = false;         ///< has a graph, and nobody captures another

  // Guarded by the mutex of the books alone.
  bool captured = false;   ///< has a graph
  bool estimated = false;  ///< whether `bytes` is an estimate
  bool in_window = false;  ///< has yet to pass the frequency filter
  bool untold = false;     ///< evicted, and the caller does not know
  graph_core* core = nullptr;
  graph_entry* next = nullptr;                       ///< in a list of what was evicted
  graph_tally graph_account::*counted_as = nullptr;  ///< null: it does not count
  std::uint64_t bytes = 0;                           ///< what it counts for
  std::uint64_t ordered_by = 0;                      ///< the stamp that the order of uses saw last
  std::uint64_t swept_stamp = 0;                     ///< the stamp that the last sweep saw
  std::int64_t used_at = 0;              ///< it was used last at this time or before; clock ticks
  std::shared_ptr<graph_flight> flight;  ///< its capture under way
};

/// A key of unknown type: how to recognize it, and how to make its entry.
struct graph_key {
  std::uint64_t hash;
  const void* key;
  bool (*is_of)(const void* key, const graph_entry& entry);
  std::unique_ptr<graph_entry> (*make)(const void* key);
};

}  // namespace detail
}  // namespace lull

#endif  // LULL_DETAIL_GRAPH_ENTRY_HPP
