
#include "capi/graph_handles.hpp"
#include "capi/guard.hpp"
#include "vocabulary/text.hpp"

using lull::graph_eviction;
using lull::capi::guard;
using lull::capi::required;

namespace {

static_assert(lull::graph_eviction_causes == 7, "each has its figure in lull_graph_cache_stats");

lull_graph_cache_stats convert(const lull::graph_cache_stats& from) {
  lull_graph_cache_stats to{};
  to.hits = from.hits;
  to.misses = from.misses;
  to.captures = from.captures;
  to.failed_captures = from.failed_captures;
  to.rejected = from.rejected;
  to.evicted_for_entries = from.evicted(graph_eviction::entries);
  to.evicted_for_bytes = from.evicted(graph_eviction::bytes);
  to.evicted_idle = from.evicted(graph_eviction::idle);
  to.evicted_cleared = from.evicted(graph_eviction::cleared);
  to.evicted_erased = from.evicted(graph_eviction::erased);
  to.evicted_updated = from.evicted(graph_eviction::updated);
  to.evicted_stale = from.evicted(graph_eviction::stale);
  to.destroyed = from.destroyed;
  to.dropped = from.dropped;
  to.failed_destructions = from.failed_destructions;
  to.unknown_footprints = from.unknown_footprints;
  to.entries = from.entries;
  to.bytes = from.bytes;
  to.pins = from.handles;
  to.leaving_entries = from.leaving_entries;
  to.leaving_bytes = from.leaving_bytes;
  to.peak_entries = from.peak_entries;
  to.peak_bytes = from.peak_bytes;
  to.returned_bytes = from.returned_bytes;
  to.measured_returned_bytes = from.measured_returned_bytes.value_or(LULL_UNKNOWN);
  to.footprint_correction = from.footprint_correction;
  to.capturing_ns = from.capturing.count();
  to.destroying_ns = from.destroying.count();
  lull::capi::set_text(to.name, from.name);
  return to;
}

/// Gives a text to a caller who may only ask for its size; see lull_graph_cache_to_json.
void hand_out(const std::string& from, char* text, std::size_t capacity, std::size_t* size) {
  required(size, "size");
  if (capacity != 0) required(text, "text");
  *size = from.size() + 1;
  if (capacity == 0) return;
  if (*size > capacity) {
    lull::detail::fail(lull::status::invalid_argument,
                       "the text takes {} bytes, and capacity is {}", *size, capacity);
  }
  std::memcpy(text, from.c_str(), *size);
}

}  // namespace

lull_status lull_graph_cache_get_stats(const lull_graph_cache* cache,
                                       lull_graph_cache_stats* stats) {
  return guard([&] {
    required(stats, "stats");
    lull::capi::write_versioned(stats, convert(required(cache, "cache").value.stats()), "stats");
  });
}

lull_status lull_graph_cache_to_json(const lull_graph_cache* cache, char* text, size_t capacity,
                                     size_t* size) {
  return guard(
      [&] { hand_out(to_json(required(cache, "cache").value.stats()), text, capacity, size); });
}

lull_status lull_graph_cache_to_prometheus(const lull_graph_cache* cache, char* text,
                                           size_t capacity, size_t* size) {
  return guard([&] {
    hand_out(to_prometheus(required(cache, "cache").value.stats()), text, capacity, size);
  });
}
