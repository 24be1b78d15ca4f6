#include "state_json.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace lull::serve {
namespace {

using nlohmann::json;

std::int64_t unix_ms(time_point when) {
  const auto ago = steady_clock().now() - when;
  const auto then = std::chrono::system_clock::now() - ago;
  return std::chrono::duration_cast<std::chrono::milliseconds>(then.time_since_epoch()).count();
}

/// Devices of the machine: not those that stand for groups.
json bytes_of(const bytes_by_device& all, const holdings& memory) {
  json made = json::object();
  for (const shared_device& each : memory.devices()) {
    const auto found = all.find(each.books.name);
    if (found != all.end()) made[each.books.name] = found->second;
  }
  return made;
}

std::int64_t whole_seconds_of(duration span) {
  return std::chrono::duration_cast<std::chrono::seconds>(span).count();
}

/// The time to the last rung, in seconds; 0: it stays.
std::int64_t ttl_of(const model_config& model) {
  const auto& last = model.ladder.back().after;
  return last ? whole_seconds_of(*last) : 0;
}

}  // namespace

const char* llama_state(model::phase is) noexcept {
  switch (is) {
    case model::phase::starting:
    case model::phase::waking: return "loading";
    case model::phase::ready: return "loaded";
    case model::phase::asleep: return "sleeping";
    default: return "unloaded";
  }
}

const char* swap_state(model::phase is) noexcept {
  switch (is) {
    case model::phase::starting:
    case model::phase::waking: return "starting";
    case model::phase::ready:
    case model::phase::asleep: return "ready";
    case model::phase::leaving: return "stopping";
    default: return "stopped";
  }
}

json ui_state(fleet& models) {
  const budget_snapshot books = models.books().snapshot();
  std::map<std::string, const budget_model_snapshot*> held;
  for (const budget_model_snapshot& each : books.models) held[each.name] = &each;
  json list = json::array();
  json waiting = json::array();
  for (const auto& each : models.models()) {
    const model::view seen = each->look();
    const auto found = held.find(each->name());
    json entry{{"name", each->name()},
               {"state", to_string(seen.is)},
               {"level", seen.level.empty() ? json() : json(seen.level)},
               {"active", seen.active},
               {"waiting", seen.waiting},
               {"pinned", seen.pinned},
               {"pid", seen.pid > 0 ? json(seen.pid) : json()},
               {"last_error", seen.last_error}};
    if (found != held.end()) {
      entry["holds"] = bytes_of(found->second->holds, models.memory());
      entry["estimate"] = bytes_of(found->second->estimate, models.memory());
    }
    if (seen.waiting > 0) {
      std::string why =
          seen.is == model::phase::ready ? "" : models.books().preview(each->name()).words;
      if (why.empty()) why = fmt::format("it is {}", to_string(seen.is));
      waiting.push_back(
          {{"model", each->name()}, {"since_ms", unix_ms(seen.waiting_since)}, {"why", why}});
    }
    list.push_back(std::move(entry));
  }
  const auto used = models.used();
  json devices = json::array();
  for (const shared_device& each : models.memory().devices()) {
    json entry{{"name", each.books.name}, {"uuid", each.uuid()}};
    for (const budget_device_snapshot& device : books.devices) {
      if (device.name != each.books.name) continue;
      entry["capacity_bytes"] = device.capacity_bytes;
      entry["margin_bytes"] = device.margin_bytes;
      entry["foreign_bytes"] = device.foreign_bytes;
    }
    const auto reading = used.find(each.books.name);
    entry["used_bytes"] = reading == used.end() ? json() : json(reading->second);
    json by_model = json::object();
    for (const auto& [name, model] : held) {
      const auto bytes = model->holds.find(each.books.name);
      if (bytes != model->holds.end()) by_model[name] = bytes->second;
    }
    entry["by_model"] = std::move(by_model);
    devices.push_back(std::move(entry));
  }
  return {{"time_ms", unix_ms(steady_clock().now())},
          {"models", std::move(list)},
          {"devices", std::move(devices)},
          {"waiting", std::move(waiting)}};
}

json model_list(const fleet& models) {
  json list = json::array();
  for (const auto& each : models.models()) {
    const model_config& config = each->config();
    if (config.unlisted) continue;
    const model::view seen = each->look();
    json status{{"value", llama_state(seen.is)}, {"args", config.command}};
    if (seen.is == model::phase::failed) status["failed"] = true;
    json entry{{"id", config.name},  {"object", "model"},         {"created", 0},
               {"owned_by", "lull"}, {"aliases", config.aliases}, {"status", std::move(status)}};
    if (!config.title.empty()) entry["name"] = config.title;
    if (!config.description.empty()) entry["description"] = config.description;
    list.push_back(std::move(entry));
  }
  return {{"object", "list"}, {"data", std::move(list)}};
}

json running_list(const fleet& models) {
  json list = json::array();
  for (const auto& each : models.models()) {
    const model::view seen = each->look();
    if (seen.is == model::phase::stopped || seen.is == model::phase::failed) continue;
    const model_config& config = each->config();
    list.push_back({{"model", config.name},
                    {"state", swap_state(seen.is)},
                    {"cmd", fmt::format("{}", fmt::join(config.command, " "))},
                    {"proxy", "http://" + config.upstream.text() + config.upstream_path},
                    {"ttl", ttl_of(config)},
                    {"name", config.title},
                    {"description", config.description}});
  }
  return {{"running", std::move(list)}};
}

json swap_status(const fleet& models) {
  json list = json::array();
  for (const auto& each : models.models()) {
    list.push_back({{"id", each->name()},
                    {"name", each->config().title},
                    {"description", each->config().description},
                    {"state", swap_state(each->look().is)},
                    {"unlisted", each->config().unlisted}});
  }
  return list;
}

}  // namespace lull::serve
