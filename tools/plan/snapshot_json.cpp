#include "plan/snapshot_json.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

namespace lull::plan {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

double milliseconds(duration span) {
  return std::chrono::duration<double, std::milli>(span).count();
}

/// An object of the file, which knows its place in it.
class object {
 public:
  object(const json& from, std::string file, std::string place)
      : from_(from), file_(std::move(file)), place_(std::move(place)) {
    if (!from.is_object()) fail("", "is no object");
  }

  [[noreturn]] void fail(const std::string& key, const std::string& words) const {
    const std::string dot = place_.empty() || key.empty() ? "" : ".";
    throw error(status::invalid_argument,
                fmt::format("{}: {}{}{}: {}", file_, place_, dot, key, words));
  }

  [[nodiscard]] std::string text(const char* key, std::string otherwise = {}) const {
    const json* const found = find(key);
    if (found == nullptr) return otherwise;
    if (!found->is_string()) fail(key, "is no text");
    return found->get<std::string>();
  }
  [[nodiscard]] std::uint64_t count(const char* key) const {
    const json* const found = find(key);
    return found == nullptr ? 0 : count_of(*found, key);
  }
  [[nodiscard]] std::int32_t whole(const char* key) const {
    const json* const found = find(key);
    if (found == nullptr) return 0;
    if (!found->is_number_integer()) fail(key, "is no whole number");
    return found->get<std::int32_t>();
  }
  [[nodiscard]] double number(const char* key) const {
    const json* const found = find(key);
    return found == nullptr ? 0 : number_of(*found, key);
  }
  [[nodiscard]] bool flag(const char* key) const {
    const json* const found = find(key);
    if (found == nullptr) return false;
    if (!found->is_boolean()) fail(key, "is neither true nor false");
    return found->get<bool>();
  }
  [[nodiscard]] duration span(const char* key) const { return span_of(number(key), key); }
  [[nodiscard]] std::vector<duration> spans(const char* key) const {
    std::vector<duration> all;
    const json* const found = find(key);
    if (found == nullptr) return all;
    if (!found->is_array()) fail(key, "is no list of spans in milliseconds");
    for (std::size_t i = 0; i < found->size(); ++i) {
      const std::string place = fmt::format("{}[{}]", key, i);
      all.push_back(span_of(number_of((*found)[i], place), place));
    }
    return all;
  }
  [[nodiscard]] bool has(const char* key) const { return find(key) != nullptr; }

  [[nodiscard]] bytes_by_device bytes(const char* key) const {
    bytes_by_device all;
    const json* const found = find(key);
    if (found == nullptr) return all;
    if (!found->is_object()) fail(key, "is no object of devices and bytes");
    for (const auto& [device, bytes] : found->items()) {
      all[device] = count_of(bytes, std::string(key) + "." + device);
    }
    return all;
  }

  template <class Take>
  void each(const char* key, const Take& take) const {
    const json* const found = find(key);
    if (found == nullptr) return;
    if (!found->is_array()) fail(key, "is no list");
    for (std::size_t i = 0; i < found->size(); ++i) {
      take(object((*found)[i], file_, fmt::format("{}[{}]", key, i)));
    }
  }

 private:
  [[nodiscard]] const json* find(const char* key) const {
    const auto found = from_.find(key);
    return found == from_.end() || found->is_null() ? nullptr : &*found;
  }
  [[nodiscard]] std::uint64_t count_of(const json& value, const std::string& key) const {
    if (!value.is_number_unsigned()) fail(key, "is no count: a whole number that is not negative");
    return value.get<std::uint64_t>();
  }
  [[nodiscard]] double number_of(const json& value, const std::string& key) const {
    if (!value.is_number() || !std::isfinite(value.get<double>())) fail(key, "is no number");
    return value.get<double>();
  }
  [[nodiscard]] duration span_of(double milliseconds, const std::string& key) const {
    constexpr double most = 1e12;  // 30 years
    if (milliseconds < 0 || milliseconds > most) fail(key, "is no span in milliseconds");
    const std::chrono::duration<double, std::milli> given(milliseconds);
    return std::chrono::duration_cast<duration>(given);
  }

  const json& from_;
  std::string file_;
  std::string place_;
};

model_state state_of(const object& from) {
  const std::string name = from.text("state", "unloaded");
  for (const model_state each : {model_state::unloaded, model_state::asleep, model_state::loading,
                                 model_state::ready, model_state::leaving}) {
    if (to_string(each) == name) return each;
  }
  from.fail("state",
            fmt::format("'{}' is none: unloaded, asleep, loading, ready or leaving", name));
}

budget_model_snapshot model_of(const object& from) {
  budget_model_snapshot model;
  model.name = from.text("name");
  if (model.name.empty()) from.fail("name", "is missing");
  model.state = state_of(from);
  model.level = from.text("level");
  model.holds = from.bytes("holds_bytes");
  model.estimate = from.bytes("estimate_bytes");
  model.measured = from.flag("measured");
  model.leases = static_cast<std::uint32_t>(std::min<std::uint64_t>(from.count("leases"), ~0U));
  model.waiting = static_cast<std::uint32_t>(std::min<std::uint64_t>(from.count("waiting"), ~0U));
  model.wake_times = from.spans("wake_ms");
  model.priority = from.whole("priority");
  model.pinned = from.flag("pinned");
  model.kept_for = from.span("kept_for_ms");
  if (from.has("idle_ms")) model.idle = from.span("idle_ms");
  model.uses_per_second = from.number("uses_per_second");
  return model;
}

}  // namespace

ordered_json to_json(const budget_snapshot& snapshot) {
  ordered_json devices = ordered_json::array();
  for (const budget_device_snapshot& each : snapshot.devices) {
    devices.push_back({{"name", each.name},
                       {"capacity_bytes", each.capacity_bytes},
                       {"margin_bytes", each.margin_bytes},
                       {"foreign_bytes", each.foreign_bytes},
                       {"held_bytes", each.held_bytes}});
  }
  ordered_json models = ordered_json::array();
  for (const budget_model_snapshot& each : snapshot.models) {
    ordered_json wakes = ordered_json::array();
    for (const duration wake : each.wake_times) wakes.push_back(milliseconds(wake));
    ordered_json model{{"name", each.name},
                       {"state", to_string(each.state)},
                       {"level", each.level},
                       {"holds_bytes", each.holds},
                       {"estimate_bytes", each.estimate},
                       {"measured", each.measured},
                       {"leases", each.leases},
                       {"waiting", each.waiting},
                       {"wake_ms", wakes},
                       {"priority", each.priority},
                       {"pinned", each.pinned},
                       {"kept_for_ms", milliseconds(each.kept_for)},
                       {"uses_per_second", each.uses_per_second}};
    if (each.idle) model["idle_ms"] = milliseconds(*each.idle);
    models.push_back(std::move(model));
  }
  const budget_counters& counted = snapshot.counters;
  return {{"devices", devices},
          {"models", models},
          {"counters",
           {{"loads", counted.loads},
            {"given_up", counted.given_up},
            {"evictions", counted.evictions},
            {"failed_evictions", counted.failed_evictions},
            {"refused", counted.refused},
            {"timed_out", counted.timed_out},
            {"corrected", counted.corrected}}}};
}

budget_snapshot parse_snapshot(const std::string& text, const std::string& file) {
  json parsed;
  try {
    parsed = json::parse(text);
  } catch (const json::parse_error& mistake) {
    const std::size_t until = std::min(mistake.byte, text.size());
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(until), '\n');
    throw error(status::invalid_argument,
                fmt::format("{}:{}: is no JSON: {}", file, line, mistake.what()));
  }
  const object top(parsed, file, "");
  budget_snapshot snapshot;
  top.each("devices", [&](const object& from) {
    budget_device_snapshot device;
    device.name = from.text("name");
    if (device.name.empty()) from.fail("name", "is missing");
    device.capacity_bytes = from.count("capacity_bytes");
    device.margin_bytes = from.count("margin_bytes");
    device.foreign_bytes = from.count("foreign_bytes");
    device.held_bytes = from.count("held_bytes");
    snapshot.devices.push_back(std::move(device));
  });
  top.each("models", [&](const object& from) { snapshot.models.push_back(model_of(from)); });
  return snapshot;
}

}  // namespace lull::plan
