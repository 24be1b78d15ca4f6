#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "nearest.hpp"
#include "read_parts.hpp"

namespace lull::serve {
namespace {

/// Shallow first.
constexpr std::array<std::pair<std::string_view, sleep_way>, 5> levels{{
    {"auto", sleep_way::automatic},
    {"offload", sleep_way::routes},
    {"discard", sleep_way::routes},
    {"suspend", sleep_way::driver},
    {"stop", sleep_way::stop},
}};

std::size_t depth_of(const std::string& level) {
  return static_cast<std::size_t>(
      std::find_if(levels.begin(), levels.end(),
                   [&](const auto& each) { return each.first == level; }) -
      levels.begin());
}

/// @throws std::invalid_argument
sleep_rung rung_at(const std::string& level) {
  const std::size_t depth = depth_of(level);
  if (depth == levels.size()) {
    std::vector<std::string> names;
    for (const auto& [name, way] : levels) names.emplace_back(name);
    throw std::invalid_argument(
        fmt::format("there is no level '{}'{}; there are auto, offload, discard, suspend, stop",
                    level, did_you_mean(level, names)));
  }
  return {.level = level, .way = levels[depth].second};
}

/// "offload", or "offload:30s".
sleep_rung parse_rung(std::string text) {
  const std::size_t first = text.find_first_not_of(' ');
  text =
      first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
  const std::size_t colon = std::min(text.find(':'), text.size());
  sleep_rung rung = rung_at(text.substr(0, colon));
  if (colon < text.size()) rung.after = parse_span(text.substr(colon + 1));
  return rung;
}

/// "offload:30s,suspend:10m".
std::vector<sleep_rung> parse_ladder(const std::string& text) {
  std::vector<sleep_rung> ladder;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    ladder.push_back(parse_rung(text.substr(at, end - at)));
    at = end + 1;
  }
  return ladder;
}

sleep_rung read_rung(section& owner, const YAML::Node& node, const config& router) {
  const std::string key = owner.path("ladder");
  if (!node.IsMap()) return owner.parsed(node, key, parse_rung).value_or(sleep_rung{});
  section given(owner.found(), node, key);
  sleep_rung rung;
  if (!given.has("level")) {
    given.mistake("level", "is missing: offload, discard, suspend or stop");
  } else {
    rung = given.value("level", rung_at).value_or(sleep_rung{});
  }
  rung.after = given.span("after");
  if (auto left = given.map("left")) rung.left = read_sizes(*left, router);
  given.finish();
  return rung;
}

/// Deeper and later from rung to rung.
void check_order(section& given, const std::vector<sleep_rung>& ladder) {
  std::optional<duration> last;
  for (std::size_t i = 0; i < ladder.size(); ++i) {
    const sleep_rung& rung = ladder[i];
    if (i > 0 && depth_of(ladder[i - 1].level) >= depth_of(rung.level)) {
      given.mistake("ladder", fmt::format("'{}' is not deeper than '{}' before it; the order is "
                                          "offload, discard, suspend, stop",
                                          rung.level, ladder[i - 1].level));
    }
    if (rung.level == "auto" && ladder.size() > 1 && ladder[1].way != sleep_way::stop) {
      given.mistake("ladder", "'auto' chooses a level by itself; only 'stop' goes with it");
    }
    if (!rung.after) continue;
    if (last && *last >= *rung.after) {
      given.mistake("ladder",
                    fmt::format("'{}' comes no later than what is before it", rung.level));
    }
    last = rung.after;
  }
}

sleep_way parse_way(const std::string& text) {
  if (text == "auto") return sleep_way::automatic;
  if (text == "driver" || text == "suspend") return sleep_way::driver;
  if (text == "routes") return sleep_way::routes;
  if (text == "stop") return sleep_way::stop;
  throw std::invalid_argument(
      fmt::format("'{}' is no way to sleep{}; there are auto, driver (the driver suspends the "
                  "process), routes (the server's own /sleep) and stop",
                  text, did_you_mean(text, {"auto", "driver", "routes", "stop"})));
}

/// The one level that `sleep` and `level` come to.
std::vector<sleep_rung> one_level(section& given) {
  const sleep_way way = given.value("sleep", parse_way).value_or(sleep_way::automatic);
  if (!given.has("level")) {
    switch (way) {
      case sleep_way::automatic: return {rung_at("auto")};
      case sleep_way::driver: return {rung_at("suspend")};
      case sleep_way::routes: return {rung_at("offload")};
      case sleep_way::stop: return {};
    }
  }
  const std::optional<sleep_rung> rung = given.value("level", rung_at);
  if (!rung) return {};
  if (given.has("sleep") && rung->way != way) {
    given.mistake("level", fmt::format("'{}' is not a level of that way to sleep; leave `sleep` "
                                       "out",
                                       rung->level));
  }
  return {*rung};
}

}  // namespace

std::optional<std::vector<sleep_rung>> read_ladder(section& given, const config& router) {
  const bool has_one = given.has("sleep") || given.has("level");
  const std::optional<YAML::Node> node = given.node("ladder");
  if (!node) {
    if (!has_one) return std::nullopt;
    return one_level(given);
  }
  if (has_one) {
    given.mistake("ladder", "says how it sleeps, as `sleep` and `level` do; leave those out");
  }
  std::vector<sleep_rung> ladder;
  if (node->IsSequence()) {
    for (const YAML::Node& each : given.list("ladder")) {
      ladder.push_back(read_rung(given, each, router));
    }
  } else {
    ladder = given.value("ladder", parse_ladder).value_or(std::vector<sleep_rung>{});
  }
  const auto is_wrong = [](const sleep_rung& rung) { return rung.level.empty(); };  // and was said
  ladder.erase(std::remove_if(ladder.begin(), ladder.end(), is_wrong), ladder.end());
  check_order(given, ladder);
  return ladder;
}

}  // namespace lull::serve
