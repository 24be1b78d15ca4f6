// The server replaced by its own next image, asleep: who is connected is answered first, who comes
// waits in the queue of the listening socket, and all counters go on.

#include "server/rebirth.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "server/answers.hpp"
#include "server/server.hpp"

namespace example {
namespace {

using nlohmann::json;

constexpr const char* listener_name = "listener";
/// For those who are connected to get their answers and leave.
constexpr std::chrono::seconds patience{2};

json to_json(const lull::sleep_counters& of) {
  return {of.sleeps,       of.wakes,      of.failed_sleeps,
          of.failed_wakes, of.deepenings, of.failed_deepenings};
}

json to_json(const lull::graph_cache_stats& of) {
  return {of.hits, of.misses, of.captures, of.rejected, of.returned_bytes, of.evictions};
}

json to_json(const lasting_state& of) {
  return {{"plan", of.plan},
          {"deepened", of.way == lull::transition_report::direction::deepen},
          {"since_ns", of.since.time_since_epoch().count()},
          {"sleeps", to_json(of.sleeps)},
          {"graphs", to_json(of.graphs)},
          {"completions", of.completions}};
}

lasting_state state_from(const json& from) {
  lasting_state of;
  of.plan = from.at("plan");
  if (from.at("deepened").get<bool>()) of.way = lull::transition_report::direction::deepen;
  of.since = lull::time_point(lull::duration(from.at("since_ns").get<std::int64_t>()));
  const json& sleeps = from.at("sleeps");
  of.sleeps = {sleeps.at(0), sleeps.at(1), sleeps.at(2), sleeps.at(3), sleeps.at(4), sleeps.at(5)};
  const json& graphs = from.at("graphs");
  of.graphs.hits = graphs.at(0);
  of.graphs.misses = graphs.at(1);
  of.graphs.captures = graphs.at(2);
  of.graphs.rejected = graphs.at(3);
  of.graphs.returned_bytes = graphs.at(4);
  graphs.at(5).get_to(of.graphs.evictions);
  from.at("completions").get_to(of.completions);
  return of;
}

/// What it has counted, and what is in its cache of graphs, which goes with the image.
lull::graph_cache_stats graphs_at_the_end_of(const served_model& which) {
  lull::graph_cache_stats graphs = which.engine().graphs().stats();
  graphs.returned_bytes += graphs.bytes;
  graphs.evictions[static_cast<std::size_t>(lull::graph_eviction::cleared)] += graphs.entries;
  add(which.earlier, graphs);
  return graphs;
}

}  // namespace

std::string to_blob(const std::map<std::string, lasting_state>& models) {
  json all = json::object();
  for (const auto& [name, state] : models) all[name] = to_json(state);
  return to_text(all);
}

std::map<std::string, lasting_state> from_blob(const lull::reborn& left) {
  if (left.version != blob_version) {
    throw lull::error(lull::status::io,
                      fmt::format("the image before left state of version {}, and this is {}",
                                  left.version, blob_version));
  }
  try {
    std::map<std::string, lasting_state> models;
    const json all = json::parse(left.blob);
    for (const auto& [name, state] : all.items()) models[name] = state_from(state);
    return models;
  } catch (const json::exception& failure) {
    throw lull::error(lull::status::io,
                      fmt::format("the image before left something else: {}", failure.what()));
  }
}

void add(const lull::graph_cache_stats& earlier, lull::graph_cache_stats& to) {
  to.hits += earlier.hits;
  to.misses += earlier.misses;
  to.captures += earlier.captures;
  to.rejected += earlier.rejected;
  to.returned_bytes += earlier.returned_bytes;
  for (std::size_t i = 0; i < to.evictions.size(); ++i) to.evictions[i] += earlier.evictions[i];
}

// A model ---------------------------------------------------------------------------------------

void served_model::go_on_from(const lasting_state& before) {
  earlier = before.graphs;
  counters.completed = before.completions[0];
  counters.rejected = before.completions[1];
  counters.failed = before.completions[2];
  counters.abandoned = before.completions[3];
  counters.tokens = before.completions[4];
  lull::transition_report report;
  report.way = before.way;
  report.plan = before.plan;
  report.succeeded = true;
  report.elapsed = lull::steady_clock().now() - before.since;
  sleeper_.begin_asleep(plan_of(lull::sleep_level::rebirth), before.sleeps, report);
}

// The server ------------------------------------------------------------------------------------

server_options server::prepared(server_options options) {
  options.hand_over = [this](const served_model& which, const lull::sleep_counters& then) {
    return hand_over(which, then);
  };
  options.called_off = [this] { door_.open_again(); };
  if (options.left) {
    options.before = from_blob(*options.left);
    options.log.write(lull::log_level::info,
                      fmt::format("asleep, in image {} of this process", options.left->rebirths));
  }
  return options;
}

http::front_door_options server::door_options() const {
  http::front_door_options how{.host = options_.host, .port = options_.port};
  if (options_.left) how.listener = options_.left->descriptors.at(listener_name);
  return how;
}

/// On the model's compute loop, which computes nothing meanwhile; all models sleep.
lull::rebirth_handover server::hand_over(const served_model& which,
                                         const lull::sleep_counters& then) {
  if (!ready_) throw lull::error(lull::status::busy, "the server has not begun yet");
  const lull::time_point since = lull::steady_clock().now();
  const lull::time_point limit = lull::steady_clock().deadline_in(patience);
  const auto somebody_waits = [this] {
    return std::any_of(models_.all().begin(), models_.all().end(), [](const auto& each) {
      return each->counters.present != 0 || each->sleeper().observe().waiting != 0;
    });
  };
  const bool empty = door_.empty_out([&] {
    return somebody_waits() || stopping_.stop_requested() || lull::steady_clock().now() > limit;
  });
  if (!empty) {
    throw lull::error(lull::status::busy, "there are clients who wait, or do not leave");
  }
  std::map<std::string, lasting_state> models;
  for (const auto& each : models_.all()) {
    const lull::sleeper_snapshot seen = each->sleeper().observe();
    lasting_state& state = models[each->name()];
    state.sleeps = each.get() == &which ? then : seen.counters;
    state.graphs = graphs_at_the_end_of(*each);
    const completion_counters& all = each->counters;
    state.completions = {all.completed, all.rejected, all.failed, all.abandoned, all.tokens};
    state.plan = to_string(lull::sleep_level::rebirth);
    if (seen.deepening) state.way = lull::transition_report::direction::deepen;
    state.since = since;
  }
  return {{{listener_name, door_.listener()}}, blob_version, to_blob(models)};
}

/// Nobody is there to answer afterwards, and it is done when nobody waits for an answer. The last
/// model takes the process with it.
void server::sleep_by_rebirth(const std::vector<served_model*>& which, http::reply&& to) {
  lull::expect_rebirth_possible();
  to.send({.status = 202, .body = to_text({{"plan", "rebirth"}, {"accepted", true}})});
  static_cast<void>(run_beside(sleepers_, [which] {
    try {
      for (served_model* const each : which) {
        const bool last = each == which.back();
        if (!last && each->is_asleep()) continue;
        each->sleep(each->plan_of(last ? lull::sleep_level::rebirth : lull::sleep_level::discard));
      }
    } catch (const lull::error&) {  // NOLINT(bugprone-empty-catch): the log and /props tell
    }
  }));
}

}  // namespace example
