#include <lull/any_graph_cache.hpp>

#include <chrono>
#include <iterator>

#include "vocabulary/text.hpp"

namespace lull {
namespace {

double seconds(duration span) {
  return std::chrono::duration<double>(span).count();
}

/// For JSON strings and for Prometheus label values, whose escapes JSON's reader shares.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char each : text) {
    if (each == '"' || each == '\\') {
      result += '\\';
      result += each;
    } else if (each == '\n') {
      result += "\\n";
    } else if (static_cast<unsigned char>(each) < 0x20) {
      result += '?';
    } else {
      result += each;
    }
  }
  return result;
}

std::string or_null(const std::optional<std::uint64_t>& figure) {
  return figure ? detail::text("{}", *figure) : "null";
}

/// One family of metrics, as Prometheus's text format wants it.
class exposition {
 public:
  explicit exposition(std::string_view cache)
      : label_(detail::text("cache=\"{}\"", escaped(cache))) {}

  template <class Value>
  void counter(std::string_view name, std::string_view help, Value value) {
    family(name, "counter", help);
    sample(name, "", value);
  }
  template <class Value>
  void gauge(std::string_view name, std::string_view help, Value value) {
    family(name, "gauge", help);
    sample(name, "", value);
  }
  void family(std::string_view name, std::string_view type, std::string_view help) {
    text_ += detail::text("# HELP lull_graph_cache_{} {}\n", name, help);
    text_ += detail::text("# TYPE lull_graph_cache_{} {}\n", name, type);
  }
  template <class Value>
  void sample(std::string_view name, std::string_view more_labels, Value value) {
    text_ += detail::text("lull_graph_cache_{}{{}{}} {}\n", name, label_, more_labels, value);
  }
  [[nodiscard]] std::string text() && { return std::move(text_); }

 private:
  std::string label_;
  std::string text_;
};

}  // namespace

std::string_view to_string(graph_eviction cause) noexcept {
  switch (cause) {
    case graph_eviction::entries: return "entries";
    case graph_eviction::bytes: return "bytes";
    case graph_eviction::idle: return "idle";
    case graph_eviction::cleared: return "cleared";
    case graph_eviction::erased: return "erased";
    case graph_eviction::updated: return "updated";
    case graph_eviction::stale: return "stale";
  }
  return "unknown";
}

std::string to_json(const graph_cache_stats& stats) {
  std::string evictions;
  for (std::size_t i = 0; i < graph_eviction_causes; ++i) {
    evictions += detail::text("{}\"{}\":{}", i == 0 ? "" : ",",
                              to_string(static_cast<graph_eviction>(i)), stats.evictions[i]);
  }
  std::string text = detail::text(
      R"({"name":"{}","hits":{},"misses":{},"captures":{},"failed_captures":{},"rejected":{},)"
      R"("evictions":{{}},"destroyed":{},"dropped":{},"failed_destructions":{},)",
      escaped(stats.name), stats.hits, stats.misses, stats.captures, stats.failed_captures,
      stats.rejected, evictions, stats.destroyed, stats.dropped, stats.failed_destructions);
  text += detail::text(
      R"("unknown_footprints":{},"entries":{},"bytes":{},"handles":{},"leaving_entries":{},)"
      R"("leaving_bytes":{},"peak_entries":{},"peak_bytes":{},"returned_bytes":{},)"
      R"("measured_returned_bytes":{},"footprint_correction":{},"capturing_seconds":{},)"
      R"("destroying_seconds":{}})",
      stats.unknown_footprints, stats.entries, stats.bytes, stats.handles, stats.leaving_entries,
      stats.leaving_bytes, stats.peak_entries, stats.peak_bytes, stats.returned_bytes,
      or_null(stats.measured_returned_bytes), detail::fixed(stats.footprint_correction, 4),
      detail::fixed(seconds(stats.capturing), 6), detail::fixed(seconds(stats.destroying), 6));
  return text;
}

std::string to_prometheus(const graph_cache_stats& stats) {
  exposition out(stats.name);
  out.counter("hits_total", "Lookups that found a graph.", stats.hits);
  out.counter("misses_total", "Lookups that found none.", stats.misses);
  out.counter("captures_total", "Captures that succeeded.", stats.captures);
  out.counter("failed_captures_total", "Captures that failed.", stats.failed_captures);
  out.counter("rejected_total", "Graphs above a bound by themselves.", stats.rejected);
  out.family("evictions_total", "counter", "Graphs that left the cache, by cause.");
  for (std::size_t i = 0; i < graph_eviction_causes; ++i) {
    out.sample("evictions_total",
               detail::text(",cause=\"{}\"", to_string(static_cast<graph_eviction>(i))),
               stats.evictions[i]);
  }
  out.counter("destroyed_total", "Graphs that the vendor destroyed.", stats.destroyed);
  out.counter("dropped_total", "Graphs that died with their context.", stats.dropped);
  out.counter("failed_destructions_total", "Graphs that the vendor failed to destroy.",
              stats.failed_destructions);
  out.counter("unknown_footprints_total", "Graphs that nobody knows the size of.",
              stats.unknown_footprints);
  out.gauge("entries", "Graphs that can be found.", stats.entries);
  out.gauge("bytes", "What they count for.", stats.bytes);
  out.gauge("handles", "Graphs in use.", stats.handles);
  out.gauge("leaving_entries", "Graphs evicted but not destroyed yet.", stats.leaving_entries);
  out.gauge("leaving_bytes", "What they count for.", stats.leaving_bytes);
  out.gauge("peak_entries", "The most graphs that existed at a time.", stats.peak_entries);
  out.gauge("peak_bytes", "The most that they counted for.", stats.peak_bytes);
  out.counter("returned_bytes_total", "What destroyed graphs counted for.", stats.returned_bytes);
  if (stats.measured_returned_bytes) {
    out.counter("measured_returned_bytes_total", "What destroying was seen to return.",
                *stats.measured_returned_bytes);
  }
  out.gauge("footprint_correction", "What estimates are multiplied with.",
            stats.footprint_correction);
  out.counter("capturing_seconds_total", "Time spent capturing.", seconds(stats.capturing));
  out.counter("destroying_seconds_total", "Time spent destroying.", seconds(stats.destroying));
  return std::move(out).text();
}

}  // namespace lull
