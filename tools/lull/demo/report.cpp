#include "report.hpp"

#include <lull/bytes.hpp>
#include <lull/version.h>

#include <cmath>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "text_table.hpp"

namespace lull::demo {
namespace {

using nlohmann::ordered_json;

std::string_view meaning(sleep_level level) {
  switch (level) {
    case sleep_level::trim: return "caches emptied, contents stay";
    case sleep_level::offload: return "weights go to a file and are copied back";
    case sleep_level::discard: return "weights are dropped and read from the model again";
    case sleep_level::suspend: return "the driver moves all GPU state to the host";
    case sleep_level::reset: return "weights are dropped and the GPU context is destroyed";
    case sleep_level::rebirth: return "the process image is replaced";
  }
  return "";
}

double gigabytes_per_second(std::uint64_t bytes, seconds span) {
  return span.count() > 0 ? static_cast<double>(bytes) / 1e9 / span.count() : 0;
}

std::string_view mark(bool good) {
  return good ? "✓" : "✗";
}

/// The plain numbers of a series, short enough to be kept: milliseconds and bytes.
ordered_json series_json(const timeline& memory) {
  ordered_json samples = ordered_json::array();
  for (const memory_sample& one : memory.samples) {
    samples.push_back({std::lround(one.at.count() * 1e3), one.bytes});
  }
  ordered_json phases = ordered_json::array();
  for (const phase& one : memory.phases) {
    phases.push_back({{"state", to_string(one.kind)},
                      {"begin_ms", std::lround(one.begin.count() * 1e3)},
                      {"end_ms", std::lround(one.end.count() * 1e3)}});
  }
  return {{"phases", phases}, {"samples_ms_bytes", samples}};
}

ordered_json cycle_json(const sleep_cycle& cycle, std::uint64_t weights_bytes) {
  return {{"cause", to_string(cycle.cause)},
          {"awake_bytes", cycle.awake_bytes},
          {"asleep_bytes", cycle.asleep_bytes},
          {"awake_again_bytes", cycle.awake_again_bytes},
          {"fell_by_percent_of_weights", cycle.fell_by(weights_bytes) * 100},
          {"to_sleep_seconds", cycle.to_sleep.count()},
          {"to_wake_seconds", cycle.to_wake.count()},
          {"first_answer_seconds", cycle.first_answer.count()},
          {"answers_equal", cycle.answers_equal},
          {"wakes_by_observing", cycle.wakes_by_observing},
          {"wakes", cycle.wakes},
          {"graph_bytes", cycle.graph_bytes},
          {"graph_bytes_returned", cycle.graph_bytes_returned}};
}

ordered_json level_json(const level_result& level, std::uint64_t weights_bytes) {
  ordered_json cycles = ordered_json::array();
  for (const sleep_cycle& one : level.cycles) cycles.push_back(cycle_json(one, weights_bytes));
  return {{"level", to_string(level.level)},
          {"cycles", cycles},
          {"graphs",
           {{"captures", level.graphs.captures},
            {"hits", level.graphs.hits},
            {"evictions", level.graphs.evictions}}},
          {"observer_requests", level.observed.requests},
          {"observer_failures", level.observed.failures},
          {"observer_slowest_seconds", level.observed.slowest.count()},
          {"memory", series_json(level.memory)}};
}

/// "HOST lacks 48 MiB", of the whole sum.
std::string cause_in(const std::string& why) {
  const std::size_t begin = why.find(": ");
  if (begin == std::string::npos) return why;
  return why.substr(begin + 2, why.find(':', begin + 2) - begin - 2);
}

std::string turns_table(const turns_result& turns) {
  constexpr auto right = tool::table_column::side::right;
  tool::text_table table({{"ASKED FOR"},
                          {"ANSWERED AFTER", right},
                          {"PUT TO SLEEP FOR IT"},
                          {"TO LEVEL"},
                          {"FREED", right},
                          {"BECAUSE"},
                          {"LOADED THEN"},
                          {"SAME ANSWER"}});
  for (const turn& each : turns.turns) {
    const displaced_model nobody{"-", "", 0, ""};
    const displaced_model& who = each.displaced.empty() ? nobody : each.displaced.front();
    table.add({each.model, fmt::format("{:.3f} s", each.answered_after.count()), who.model,
               who.level, who.freed_bytes == 0 ? "" : format_bytes(who.freed_bytes),
               cause_in(who.why), fmt::format("{}", fmt::join(each.loaded, ", ")),
               each.is_first ? "" : std::string(mark(each.answer_equal))});
  }
  return fmt::format("\n{} models of {} on {}, where they may hold {}:\n{}", turns.models.size(),
                     format_bytes(turns.model_bytes), turns.device, format_bytes(turns.limit_bytes),
                     table.text());
}

ordered_json turns_json(const turns_result& turns) {
  ordered_json list = ordered_json::array();
  for (const turn& each : turns.turns) {
    ordered_json gone = ordered_json::array();
    for (const displaced_model& who : each.displaced) {
      gone.push_back({{"model", who.model},
                      {"level", who.level},
                      {"freed_bytes", who.freed_bytes},
                      {"why", who.why}});
    }
    list.push_back({{"asked_for", each.model},
                    {"answered_after_seconds", each.answered_after.count()},
                    {"put_to_sleep", gone},
                    {"loaded", each.loaded},
                    {"held_bytes", each.held_bytes},
                    {"answer_equal", each.answer_equal}});
  }
  return {{"model_bytes", turns.model_bytes}, {"limit_bytes", turns.limit_bytes}, {"turns", list}};
}

std::string graphs_line(const level_result& level) {
  std::uint64_t returned_bytes = 0;
  for (const sleep_cycle& cycle : level.cycles) returned_bytes += cycle.graph_bytes_returned;
  return fmt::format("{}: {} graphs captured, {} hits, {} evictions, {} returned by {} sleeps\n",
                     to_string(level.level), level.graphs.captures, level.graphs.hits,
                     level.graphs.evictions, format_bytes(returned_bytes), level.cycles.size());
}

/// The level's timeline with what the picture says beside the measured line.
timeline annotated(const level_result& level) {
  timeline result = level.memory;
  result.title = fmt::format("{}: {}", to_string(level.level), meaning(level.level));
  auto cycle = level.cycles.begin();
  for (phase& one : result.phases) {
    if (one.kind != phase_kind::asleep || cycle == level.cycles.end()) continue;
    one.note = fmt::format("{}, by {}", format_bytes(cycle->asleep_bytes), to_string(cycle->cause));
    ++cycle;
  }
  return result;
}

}  // namespace

std::vector<std::string> demo_result::wrong() const {
  std::vector<std::string> all;
  for (const level_result& level : levels) {
    for (std::string& what : judge(level, weights_bytes)) all.push_back(std::move(what));
  }
  if (swap) {
    for (std::string& what : judge(*swap)) all.push_back(std::move(what));
  }
  if (turns) {
    for (std::string& what : judge(*turns)) all.push_back(std::move(what));
  }
  return all;
}

std::string to_table(const demo_result& result) {
  constexpr auto right = tool::table_column::side::right;
  tool::text_table table({{"LEVEL"},
                          {"ASLEEP BY"},
                          {"AWAKE", right},
                          {"ASLEEP", right},
                          {"AGAIN", right},
                          {"FELL, OF WEIGHTS", right},
                          {"TO SLEEP", right},
                          {"TO WAKE", right},
                          {"WAKE GB/s", right},
                          {"1ST ANSWER", right},
                          {"SAME ANSWERS", right},
                          {"WAKES", right}});
  for (const level_result& level : result.levels) {
    for (const sleep_cycle& cycle : level.cycles) {
      table.add({std::string(to_string(cycle.level)), std::string(to_string(cycle.cause)),
                 format_bytes(cycle.awake_bytes), format_bytes(cycle.asleep_bytes),
                 format_bytes(cycle.awake_again_bytes),
                 fmt::format("{:.1f} %", cycle.fell_by(result.weights_bytes) * 100),
                 fmt::format("{:.3f} s", cycle.to_sleep.count()),
                 fmt::format("{:.3f} s", cycle.to_wake.count()),
                 fmt::format("{:.2f}", gigabytes_per_second(result.weights_bytes, cycle.to_wake)),
                 fmt::format("{:.3f} s", cycle.first_answer.count()),
                 std::string(mark(cycle.answers_equal)),
                 fmt::format("{} {}", cycle.wakes, mark(cycle.wakes == 1))});
    }
  }
  std::string text = table.text();
  for (const level_result& level : result.levels) {
    text += fmt::format("{}: {} observer requests, {} failed, the slowest took {:.1f} ms\n",
                        to_string(level.level), level.observed.requests, level.observed.failures,
                        level.observed.slowest.count() * 1e3);
  }
  for (const level_result& level : result.levels) text += graphs_line(level);
  if (result.turns) text += turns_table(*result.turns);
  return text;
}

std::string to_json(const demo_result& result) {
  ordered_json levels = ordered_json::array();
  for (const level_result& one : result.levels) {
    levels.push_back(level_json(one, result.weights_bytes));
  }
  ordered_json swap;
  if (result.swap) {
    swap = {{"set_bytes", result.swap->set_bytes},
            {"in_turn_seconds", result.swap->in_turn.count()},
            {"at_once_seconds", result.swap->at_once.count()},
            {"sleepers_seconds", result.swap->sleepers.count()},
            {"contents_equal", result.swap->contents_equal}};
  }
  const ordered_json all{{"lull_version", lull_version_string()},
                         {"device", result.device},
                         {"weights_bytes", result.weights_bytes},
                         {"clients", result.clients},
                         {"wrong", result.wrong()},
                         {"levels", levels},
                         {"swap", swap},
                         {"turns", result.turns ? turns_json(*result.turns) : ordered_json()}};
  return all.dump(1) + '\n';
}

chart to_chart(const demo_result& result) {
  chart picture;
  picture.title = "An inference server gives its memory back when idle";
  picture.subtitle = fmt::format("{} of weights on {}, {} concurrent clients; measured every 20 ms",
                                 format_bytes(result.weights_bytes), result.device, result.clients);
  picture.series = "server's resident memory";
  picture.mark_bytes = result.weights_bytes;
  picture.mark = "size of the weights";
  for (const level_result& one : result.levels) picture.panels.push_back(annotated(one));
  return picture;
}

}  // namespace lull::demo
