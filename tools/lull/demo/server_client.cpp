#include "server_client.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <vector>

#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

namespace lull::demo {
namespace {

using nlohmann::json;

constexpr const char* loopback = "127.0.0.1";

/// The body of a good answer.
std::string body_of(const httplib::Result& result, std::string_view route) {
  if (!result) {
    throw error(status::io, fmt::format("{}: no answer: {}", route, to_string(result.error())));
  }
  if (result->status / 100 != 2) {
    throw error(status::io,
                fmt::format("{}: answered {}: {}", route, result->status, result->body));
  }
  return result->body;
}

/// A member of a JSON body.
template <class T>
T member(const std::string& body, const char* name, std::string_view route) {
  try {
    return json::parse(body).at(name).get<T>();
  } catch (const json::exception& failure) {
    throw error(status::io, fmt::format("{}: answered '{}', which has no usable '{}': {}", route,
                                        body, name, failure.what()));
  }
}

/// The values of a metric, one for each set of labels; at least one.
std::vector<double> samples(std::string_view text, std::string_view name) {
  std::vector<double> found;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(name)) continue;
    const std::string_view rest = line.substr(name.size());
    if (rest.empty() || (rest.front() != ' ' && rest.front() != '{')) continue;
    found.push_back(std::strtod(std::string(line.substr(line.rfind(' ') + 1)).c_str(), nullptr));
  }
  if (found.empty()) throw error(status::not_found, fmt::format("there is no metric '{}'", name));
  return found;
}

}  // namespace

double metric(std::string_view text, std::string_view name) {
  return samples(text, name).front();
}

double metric_sum(std::string_view text, std::string_view name) {
  const std::vector<double> all = samples(text, name);
  return std::accumulate(all.begin(), all.end(), 0.0);
}

server_client::server_client(int port, std::chrono::seconds patience)
    : http_(std::make_unique<httplib::Client>(loopback, port)) {
  http_->set_keep_alive(true);
  http_->set_tcp_nodelay(true);
  http_->set_read_timeout(patience);
}

server_client::~server_client() = default;

std::string server_client::complete(const std::string& prompt, int tokens,
                                    const std::string& model) {
  constexpr std::string_view route = "POST /completion";
  json request{{"prompt", prompt}, {"n_predict", tokens}, {"stream", false}};
  if (!model.empty()) request["model"] = model;
  const std::string body =
      body_of(http_->Post("/completion", request.dump(), "application/json"), route);
  return member<std::string>(body, "content", route);
}

void server_client::sleep() {
  body_of(http_->Post("/sleep", "{}", "application/json"), "POST /sleep");
}

std::uint64_t server_client::wakes() {
  return static_cast<std::uint64_t>(metric(metrics(), "lull_wakes_total"));
}

seconds server_client::last_transition() {
  return seconds(metric(metrics(), "lull_last_transition_seconds"));
}

graph_counts server_client::graphs() {
  const std::string text = metrics();
  const auto count = [&](std::string_view name) {
    return static_cast<std::uint64_t>(metric_sum(text, name));
  };
  return {count("lull_graph_cache_captures_total"), count("lull_graph_cache_hits_total"),
          count("lull_graph_cache_evictions_total"), count("lull_graph_cache_bytes"),
          count("lull_graph_cache_returned_bytes_total")};
}

void server_client::check_health() {
  body_of(http_->Get("/health"), "GET /health");
}

models_seen server_client::models() {
  constexpr std::string_view route = "GET /models";
  const std::string body = body_of(http_->Get("/models"), route);
  try {
    const json all = json::parse(body);
    models_seen seen;
    for (const json& each : all.at("data")) {
      if (each.at("status") == "loaded") seen.loaded.push_back(each.at("id"));
    }
    const json& device = all.at("device");
    const auto bytes = [&](const char* name) { return device.at(name).get<std::uint64_t>(); };
    seen.held_bytes = bytes("models_hold_bytes");
    seen.limit_bytes = bytes("capacity_bytes") - bytes("margin_bytes") - bytes("others_hold_bytes");
    for (const json& each : all.at("put_to_sleep")) {
      seen.displaced.push_back(
          {each.at("model"), each.at("level"), each.at("freed_bytes"), each.at("why")});
    }
    return seen;
  } catch (const json::exception& failure) {
    throw error(status::io, fmt::format("{}: answered '{}': {}", route, body, failure.what()));
  }
}

phase_kind server_client::state() {
  constexpr std::string_view route = "GET /props";
  const auto state = member<std::string>(body_of(http_->Get("/props"), route), "state", route);
  if (state == "draining" || state == "sleeping") return phase_kind::going_to_sleep;
  if (state == "asleep") return phase_kind::asleep;
  if (state == "waking") return phase_kind::waking;
  if (state == "awake") return phase_kind::awake;
  throw error(status::io, fmt::format("{}: unknown state '{}'", route, state));
}

std::string server_client::metrics() {
  return body_of(http_->Get("/metrics"), "GET /metrics");
}

}  // namespace lull::demo
