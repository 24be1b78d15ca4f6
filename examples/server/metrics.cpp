#include "server/metrics.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace example {
namespace {

/// Observers should be answered within a second also where the platform hangs.
constexpr std::chrono::milliseconds probe_limit{500};

/// Labels of a sample, "model=\"a\",state=\"awake\"".
class labels {
 public:
  labels() = default;
  [[nodiscard]] labels with(std::string_view name, std::string_view value) const {
    labels more = *this;
    fmt::format_to(std::back_inserter(more.text_), "{}{}=\"", text_.empty() ? "" : ",", name);
    // Backslash, quote and newline must be escaped (Prometheus's exposition formats).
    for (const char c : value) {
      if (c == '\\' || c == '"') more.text_ += '\\';
      more.text_ += c == '\n' ? "\\n" : std::string(1, c);
    }
    more.text_ += '"';
    return more;
  }
  [[nodiscard]] std::string text() const { return text_.empty() ? "" : "{" + text_ + "}"; }

 private:
  std::string text_;
};

/// Puts the samples of a metric together, in whatever order they come.
class metrics_writer {
 public:
  template <class Value>
  void add(std::string_view name, std::string_view type, std::string_view help, const labels& of,
           Value value) {
    const auto [place, is_new] = places_.emplace(name, families_.size());
    if (is_new) {
      families_.push_back(fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type));
    }
    fmt::format_to(std::back_inserter(families_[place->second]), "{}{} {}\n", name, of.text(),
                   value);
  }
  template <class Value>
  void gauge(std::string_view name, std::string_view help, const labels& of, Value value) {
    add(name, "gauge", help, of, value);
  }
  void counter(std::string_view name, std::string_view help, const labels& of,
               std::uint64_t value) {
    add(name, "counter", help, of, value);
  }
  [[nodiscard]] std::string text() const { return fmt::format("{}", fmt::join(families_, "")); }

 private:
  std::vector<std::string> families_;
  std::map<std::string, std::size_t, std::less<>> places_;
};

double seconds(lull::duration span) {
  return std::chrono::duration<double>(span).count();
}

void write_sleeper(metrics_writer& out, const labels& of, const lull::sleeper_snapshot& seen) {
  using lull::sleep_state;
  for (const auto state : {sleep_state::awake, sleep_state::draining, sleep_state::sleeping,
                           sleep_state::asleep, sleep_state::waking}) {
    out.gauge("lull_state", "1 for the state that the model is in.",
              of.with("state", to_string(state)), seen.state == state ? 1 : 0);
  }
  const std::string level = seen.state == sleep_state::asleep ? seen.plan : "";
  bool is_level = level.empty();
  const auto write_level = [&](std::string_view name) {
    is_level = is_level || name == level;
    out.gauge("lull_sleep_level", "1 for the plan by which the model is asleep.",
              of.with("level", name), name == level ? 1 : 0);
  };
  for (const lull::sleep_level each : lull::supported_levels()) write_level(to_string(each));
  if (!is_level) write_level(level);
  out.gauge("lull_leases", "Work in flight.", of, seen.leases);
  out.gauge("lull_waiting", "Requests that wait for a wake.", of, seen.waiting);
  out.gauge("lull_idle_seconds", "Time since the last work ended.", of, seconds(seen.idle));
  const lull::sleep_counters& all = seen.counters;
  out.counter("lull_sleeps_total", "Sleeps that succeeded.", of, all.sleeps);
  out.counter("lull_wakes_total", "Wakes that succeeded.", of, all.wakes);
  out.counter("lull_failed_sleeps_total", "Sleeps that failed.", of, all.failed_sleeps);
  out.counter("lull_failed_wakes_total", "Wakes that failed.", of, all.failed_wakes);
  out.counter("lull_deepenings_total", "Times that a sleep became deeper.", of, all.deepenings);
  out.counter("lull_failed_deepenings_total", "Times that this failed.", of, all.failed_deepenings);
  out.gauge("lull_transfer_done_bytes", "Bytes moved by the last or current transition.", of,
            seen.done_bytes);
  out.gauge("lull_transfer_total_bytes", "Bytes to move by it.", of, seen.total_bytes);
  if (!seen.last) return;
  out.gauge("lull_last_transition_seconds", "How long the last transition took.", of,
            seconds(seen.last->elapsed));
}

void write_memory(metrics_writer& out, const labels& of, const lull::memory& memory) {
  std::map<std::pair<std::string, std::string>, std::uint64_t> bytes;
  for (const lull::region_info& region : memory.regions()) {
    bytes[{region.tag, std::string(to_string(region.state))}] += region.size_bytes;
  }
  for (const auto& [key, sum] : bytes) {
    out.gauge("lull_region_bytes", "Bytes of regions, by tag and by where they are.",
              of.with("tag", key.first).with("where", key.second), sum);
  }
}

void write_graphs(metrics_writer& out, const labels& model, const lull::graph_cache_stats& stats) {
  const labels of = model.with("cache", stats.name);
  const auto count = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    out.counter(fmt::format("lull_graph_cache_{}_total", name), help, of, value);
  };
  const auto gauge = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    out.gauge(fmt::format("lull_graph_cache_{}", name), help, of, value);
  };
  count("hits", "Lookups that found a graph.", stats.hits);
  count("misses", "Lookups that did not.", stats.misses);
  count("captures", "Graphs captured.", stats.captures);
  count("rejected", "Graphs that are too large for the bounds.", stats.rejected);
  constexpr std::array causes{"entries", "bytes", "idle", "cleared", "erased", "stale"};
  static_assert(causes.size() == lull::graph_eviction_causes);
  for (std::size_t i = 0; i < causes.size(); ++i) {
    out.counter("lull_graph_cache_evictions_total", "Graphs that left, by cause.",
                of.with("cause", causes[i]), stats.evictions[i]);
  }
  gauge("entries", "Graphs that can be found.", stats.entries);
  gauge("bytes", "What they count for.", stats.bytes);
  gauge("handles", "Graphs in use.", stats.handles);
  gauge("leaving_bytes", "Evicted, but not destroyed yet.", stats.leaving_bytes);
  count("returned_bytes", "What destroyed graphs counted for.", stats.returned_bytes);
}

void write_model(metrics_writer& out, const served_model& which) {
  const labels of = labels().with("model", which.name());
  write_sleeper(out, of, which.sleeper().observe());
  write_memory(out, of, which.engine().memory());
  const completion_counters& all = which.counters;
  out.counter("server_completions_total", "Completions that were answered.", of, all.completed);
  out.counter("server_rejected_total", "Completions that were turned away: too many waited.", of,
              all.rejected);
  out.counter("server_failed_total", "Completions that failed.", of, all.failed);
  out.counter("server_abandoned_total", "Completions whose clients left before the end.", of,
              all.abandoned);
  out.counter("server_tokens_total", "Tokens that were generated.", of, all.tokens);
  lull::graph_cache_stats graphs = which.engine().graphs().stats();
  add(which.earlier, graphs);
  write_graphs(out, of, graphs);
}

void write_device(metrics_writer& out, const lull::device& device) {
  const labels of = labels().with("device", device.name());
  lull::memory_info info;
  try {
    info = device.memory(probe_limit);
  } catch (const lull::error&) {
    // A management library that hangs is no reason for the other metrics to be missing.
    out.gauge("lull_device_probe_failed", "The device's memory could not be asked for.", of, 1);
  }
  const auto write = [&](std::string_view name, std::string_view help,
                         const std::optional<std::uint64_t>& figure) {
    if (figure) out.gauge(name, help, of, *figure);  // not known: a missing sample, not 0
  };
  write("lull_device_total_bytes", "Memory of the device.", info.total_bytes);
  write("lull_device_free_bytes", "Memory of the device that can be had.", info.free_bytes);
  write("lull_device_used_bytes", "Memory of the device that this process holds.",
        info.used_by_process_bytes);
}

void write_budget(metrics_writer& out, const lull::budget_snapshot& seen) {
  for (const lull::budget_model_snapshot& each : seen.models) {
    for (const auto& [device, bytes] : each.estimate) {
      out.gauge("lull_budget_estimate_bytes",
                "What the model is expected to hold when it is there.",
                labels().with("model", each.name).with("device", device), bytes);
    }
  }
  for (const lull::budget_device_snapshot& each : seen.devices) {
    const labels of = labels().with("device", each.name);
    out.gauge("lull_budget_held_bytes", "What models hold and were promised.", of, each.held_bytes);
    out.gauge("lull_budget_foreign_bytes", "What others hold of it.", of, each.foreign_bytes);
  }
  const lull::budget_counters& all = seen.counters;
  out.counter("lull_budget_evictions_total", "Models put to sleep for others.", {}, all.evictions);
  out.counter("lull_budget_failed_evictions_total", "Times that this failed.", {},
              all.failed_evictions);
  out.counter("lull_budget_refused_total", "Requests for models that can never fit.", {},
              all.refused);
}

}  // namespace

std::uint64_t resident_bytes() {
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string metrics_text(const models& of) {
  metrics_writer out;
  for (const auto& each : of.all()) write_model(out, *each);
  write_device(out, of.device());
  write_budget(out, of.budget());
  out.gauge("process_resident_memory_bytes", "Resident set of the server.", {}, resident_bytes());
  return out.text();
}

}  // namespace example
