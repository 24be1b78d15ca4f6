// The server replaced by its own next image, asleep: who is connected is answered first, who comes
// waits in the queue of the listening socket, and all counters go on.

#include "server/rebirth.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "server/server.hpp"

namespace example {
namespace {

using nlohmann::json;

constexpr const char* listener_name = "listener";
/// For those who are connected to get their answers and leave.
constexpr std::chrono::seconds patience{2};

json sleeps_json(const lull::sleep_counters& of) {
  return {of.sleeps,       of.wakes,      of.failed_sleeps,
          of.failed_wakes, of.deepenings, of.failed_deepenings};
}

lull::sleep_counters sleeps_from(const json& from) {
  return {from.at(0), from.at(1), from.at(2), from.at(3), from.at(4), from.at(5)};
}

json graphs_json(const lull::graph_cache_stats& of) {
  return {of.hits, of.misses, of.captures, of.rejected, of.returned_bytes, of.evictions};
}

lull::graph_cache_stats graphs_from(const json& from) {
  lull::graph_cache_stats of;
  of.hits = from.at(0);
  of.misses = from.at(1);
  of.captures = from.at(2);
  of.rejected = from.at(3);
  of.returned_bytes = from.at(4);
  from.at(5).get_to(of.evictions);
  return of;
}

/// What is in the cache goes with the image.
void give_up(lull::graph_cache_stats& of) {
  of.returned_bytes += of.bytes;
  of.evictions[static_cast<std::size_t>(lull::graph_eviction::cleared)] += of.entries;
}

}  // namespace

std::string to_blob(const lasting_state& state, const completion_counters& completions) {
  return json{
      {"plan", state.plan},
      {"deepened", state.way == lull::transition_report::direction::deepen},
      {"since_ns", state.since.time_since_epoch().count()},
      {"sleeps", sleeps_json(state.sleeps)},
      {"graphs", graphs_json(state.earlier.graphs)},
      {"completions",
       {completions.completed.load(), completions.rejected.load(), completions.failed.load(),
        completions.abandoned.load(), completions.tokens.load()}}}
      .dump();
}

lasting_state from_blob(const lull::reborn& before, completion_counters& completions) {
  if (before.version != blob_version) {
    throw lull::error(lull::status::io,
                      fmt::format("the image before left state of version {}, and this is {}",
                                  before.version, blob_version));
  }
  try {
    const json from = json::parse(before.blob);
    lasting_state state;
    state.plan = from.at("plan");
    if (from.at("deepened").get<bool>()) state.way = lull::transition_report::direction::deepen;
    state.since = lull::time_point(lull::duration(from.at("since_ns").get<std::int64_t>()));
    state.sleeps = sleeps_from(from.at("sleeps"));
    state.earlier.graphs = graphs_from(from.at("graphs"));
    const json& counts = from.at("completions");
    completions.completed = counts.at(0).get<std::uint64_t>();
    completions.rejected = counts.at(1).get<std::uint64_t>();
    completions.failed = counts.at(2).get<std::uint64_t>();
    completions.abandoned = counts.at(3).get<std::uint64_t>();
    completions.tokens = counts.at(4).get<std::uint64_t>();
    return state;
  } catch (const json::exception& failure) {
    throw lull::error(lull::status::io,
                      fmt::format("the image before left something else: {}", failure.what()));
  }
}

void add_earlier(const earlier_counts& earlier, lull::graph_cache_stats& to) {
  const lull::graph_cache_stats& before = earlier.graphs;
  to.hits += before.hits;
  to.misses += before.misses;
  to.captures += before.captures;
  to.rejected += before.rejected;
  to.returned_bytes += before.returned_bytes;
  for (std::size_t i = 0; i < to.evictions.size(); ++i) to.evictions[i] += before.evictions[i];
}

http::front_door_options server::door_options() const {
  http::front_door_options how{.host = options_.host, .port = options_.port};
  if (options_.before) how.listener = options_.before->descriptors.at(listener_name);
  return how;
}

void server::begin_reborn() {
  lasting_state state = from_blob(*options_.before, counters_);
  earlier_ = state.earlier;
  lull::transition_report report;
  report.way = state.way;
  report.plan = state.plan;
  report.succeeded = true;
  report.elapsed = lull::steady_clock().now() - state.since;
  loading_.reset();
  sleeper_.begin_asleep(plan_of(lull::sleep_level::rebirth), state.sleeps, report);
  ready_ = true;
  options_.log.write(lull::log_level::info,
                     fmt::format("asleep in image {} of this process", options_.before->rebirths));
}

/// On the compute loop, which computes nothing meanwhile.
lull::rebirth_handover server::hand_over(const lull::sleep_counters& then) {
  lasting_state state;
  state.since = lull::steady_clock().now();
  const lull::sleeper_snapshot seen = sleeper_.observe();
  state.plan = to_string(lull::sleep_level::rebirth);
  if (seen.deepening) state.way = lull::transition_report::direction::deepen;
  const auto limit = lull::steady_clock().deadline_in(patience);
  const bool empty = door_.empty_out([this, limit] {
    return sleeper_.observe().waiting != 0 || stopping_.stop_requested() ||
           lull::steady_clock().now() > limit;
  });
  if (!empty) {
    throw lull::error(lull::status::busy, "there are clients who wait, or do not leave");
  }
  state.sleeps = then;
  state.earlier.graphs = graphs().stats();
  give_up(state.earlier.graphs);
  add_earlier(earlier_, state.earlier.graphs);
  return {{{listener_name, door_.listener()}}, blob_version, to_blob(state, counters_)};
}

}  // namespace example
