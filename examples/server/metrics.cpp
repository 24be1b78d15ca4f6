#include "server/metrics.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace example {
namespace {

/// Backslash, quote and newline must be escaped in a label's value (Prometheus's exposition
/// formats).
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '"') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else {
      result += c;
    }
  }
  return result;
}

/// Observers should be answered within a second also where the platform hangs.
constexpr std::chrono::milliseconds probe_limit{500};

double seconds(lull::duration span) {
  return std::chrono::duration<double>(span).count();
}

class metrics_writer {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   type);
  }
  template <class Value>
  void sample(Value value, std::string_view labels = {}) {
    fmt::format_to(std::back_inserter(text_), "{}{}{}{} {}\n", name_, labels.empty() ? "" : "{",
                   labels, labels.empty() ? "" : "}", value);
  }
  template <class Value>
  void single(std::string_view name, std::string_view type, std::string_view help, Value value) {
    family(name, type, help);
    sample(value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

void write_sleeper(metrics_writer& out, const lull::sleeper_snapshot& seen) {
  out.family("lull_state", "gauge", "1 for the state that the server is in.");
  for (const auto state :
       {lull::sleep_state::awake, lull::sleep_state::draining, lull::sleep_state::sleeping,
        lull::sleep_state::asleep, lull::sleep_state::waking}) {
    out.sample(seen.state == state ? 1 : 0, fmt::format("state=\"{}\"", to_string(state)));
  }
  out.family("lull_sleep_level", "gauge", "1 for the plan by which the server is asleep.");
  bool is_level = false;
  for (const auto level :
       {lull::sleep_level::trim, lull::sleep_level::offload, lull::sleep_level::discard,
        lull::sleep_level::suspend, lull::sleep_level::reset, lull::sleep_level::rebirth}) {
    const bool here = seen.state == lull::sleep_state::asleep && seen.plan == to_string(level);
    is_level = is_level || here;
    out.sample(here ? 1 : 0, fmt::format("level=\"{}\"", to_string(level)));
  }
  if (seen.state == lull::sleep_state::asleep && !is_level) {
    out.sample(1, fmt::format("level=\"{}\"", escaped(seen.plan)));
  }
  out.single("lull_leases", "gauge", "Work in flight.", seen.leases);
  out.single("lull_waiting", "gauge", "Requests that wait for a wake.", seen.waiting);
  out.single("lull_idle_seconds", "gauge", "Time since the last work ended.", seconds(seen.idle));
  out.single("lull_sleeps_total", "counter", "Sleeps that succeeded.", seen.counters.sleeps);
  out.single("lull_wakes_total", "counter", "Wakes that succeeded.", seen.counters.wakes);
  out.single("lull_failed_sleeps_total", "counter", "Sleeps that failed.",
             seen.counters.failed_sleeps);
  out.single("lull_failed_wakes_total", "counter", "Wakes that failed.",
             seen.counters.failed_wakes);
  out.single("lull_deepenings_total", "counter", "Times that a sleep became deeper.",
             seen.counters.deepenings);
  out.single("lull_failed_deepenings_total", "counter", "Times that this failed.",
             seen.counters.failed_deepenings);
  out.single("lull_transfer_done_bytes", "gauge", "Bytes moved by the last or current transition.",
             seen.done_bytes);
  out.single("lull_transfer_total_bytes", "gauge", "Bytes to move by it.", seen.total_bytes);
  if (seen.last) {
    out.single("lull_last_transition_seconds", "gauge", "How long the last transition took.",
               seconds(seen.last->elapsed));
  }
}

void write_memory(metrics_writer& out, const lull::memory& memory) {
  std::map<std::pair<std::string, std::string>, std::uint64_t> bytes;
  for (const lull::region_info& region : memory.regions()) {
    bytes[{region.tag, std::string(to_string(region.state))}] += region.size_bytes;
  }
  out.family("lull_region_bytes", "gauge", "Bytes of regions, by tag and by where they are.");
  for (const auto& [key, sum] : bytes) {
    out.sample(sum, fmt::format("tag=\"{}\",where=\"{}\"", escaped(key.first), key.second));
  }
}

void write_device(metrics_writer& out, const lull::device& device) {
  const std::string label = fmt::format("device=\"{}\"", escaped(device.name()));
  lull::memory_info info;
  try {
    info = device.memory(probe_limit);
  } catch (const lull::error&) {
    // A management library that hangs is no reason for the other metrics to be missing.
    out.family("lull_device_probe_failed", "gauge", "The device's memory could not be asked for.");
    out.sample(1, label);
  }
  const auto write = [&](std::string_view name, std::string_view help,
                         const std::optional<std::uint64_t>& figure) {
    if (!figure) return;  // not known: a missing sample, not 0
    out.family(name, "gauge", help);
    out.sample(*figure, label);
  };
  write("lull_device_total_bytes", "Memory of the device.", info.total_bytes);
  write("lull_device_free_bytes", "Memory of the device that can be had.", info.free_bytes);
  write("lull_device_used_bytes", "Memory of the device that this process holds.",
        info.used_by_process_bytes);
}

void write_graphs(metrics_writer& out, const lull::graph_cache_stats& stats) {
  const std::string label = fmt::format("cache=\"{}\"", escaped(stats.name));
  const auto write = [&](std::string_view name, std::string_view type, std::string_view help,
                         std::uint64_t value) {
    out.family(fmt::format("lull_graph_cache_{}", name), type, help);
    out.sample(value, label);
  };
  write("hits_total", "counter", "Lookups that found a graph.", stats.hits);
  write("misses_total", "counter", "Lookups that did not.", stats.misses);
  write("captures_total", "counter", "Graphs captured.", stats.captures);
  write("rejected_total", "counter", "Graphs that are too large for the bounds.", stats.rejected);
  out.family("lull_graph_cache_evictions_total", "counter", "Graphs that left, by cause.");
  constexpr std::array causes{"entries", "bytes", "idle", "cleared", "erased", "stale"};
  static_assert(causes.size() == lull::graph_eviction_causes);
  for (std::size_t i = 0; i < causes.size(); ++i) {
    out.sample(stats.evictions[i], fmt::format("{},cause=\"{}\"", label, causes[i]));
  }
  write("entries", "gauge", "Graphs that can be found.", stats.entries);
  write("bytes", "gauge", "What they count for.", stats.bytes);
  write("handles", "gauge", "Graphs in use.", stats.handles);
  write("leaving_bytes", "gauge", "Evicted, but not destroyed yet.", stats.leaving_bytes);
  write("returned_bytes_total", "counter", "What destroyed graphs counted for.",
        stats.returned_bytes);
}

}  // namespace

std::uint64_t resident_bytes() {
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string metrics_text(const lull::sleeper& sleeper, const engine& what,
                         const completion_counters& completions, const earlier_counts& earlier) {
  metrics_writer out;
  write_sleeper(out, sleeper.observe());
  write_memory(out, what.memory());
  write_device(out, what.device());
  out.single("process_resident_memory_bytes", "gauge", "Resident set of the server.",
             resident_bytes());
  out.single("server_completions_total", "counter", "Completions that were answered.",
             completions.completed.load());
  out.single("server_rejected_total", "counter",
             "Completions that were turned away: too many waited.", completions.rejected.load());
  out.single("server_failed_total", "counter", "Completions that failed.",
             completions.failed.load());
  out.single("server_abandoned_total", "counter", "Completions whose clients left before the end.",
             completions.abandoned.load());
  out.single("server_tokens_total", "counter", "Tokens that were generated.",
             completions.tokens.load());
  lull::graph_cache_stats graphs = what.graphs().stats();
  add_earlier(earlier, graphs);
  write_graphs(out, graphs);
  return out.take();
}

}  // namespace example
