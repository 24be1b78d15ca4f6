#include "budget_json.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "readiness.hpp"

namespace lull::serve {
namespace {

using nlohmann::json;

/// The document's own version: another one where a member's meaning changes or one goes.
constexpr int version = 1;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

json milliseconds_of(std::optional<duration> span) {
  if (!span) return nullptr;
  return std::chrono::duration_cast<std::chrono::milliseconds>(*span).count();
}

/// What the device is called everywhere in the cluster, where it has such a name.
std::string id_of(const shared_device& device) {
  const std::string uuid = device.uuid();
  return uuid.empty() ? device.books.name : uuid;
}

/// One router's books, and what of them is written down.
class clerk {
 public:
  explicit clerk(fleet& models)
      : models_(models), books_(models.books().snapshot()), used_(models.used()) {
    for (const budget_model_snapshot& each : books_.models) held_[each.name] = &each;
  }

  /// Devices of the machine: not those that stand for groups.
  [[nodiscard]] json bytes(const bytes_by_device& all) const {
    json made = json::object();
    for (const shared_device& each : models_.memory().devices()) {
      const auto found = all.find(each.books.name);
      if (found != all.end()) made[id_of(each)] = found->second;
    }
    return made;
  }

  [[nodiscard]] json devices() const {
    json list = json::array();
    for (const shared_device& each : models_.memory().devices()) {
      for (const budget_device_snapshot& device : books_.devices) {
        if (device.name == each.books.name) list.push_back(one_device(each, device));
      }
    }
    return list;
  }

  [[nodiscard]] json models(bool plans) const {
    json list = json::array();
    for (const auto& each : models_.models()) {
      const auto books = held_.find(each->name());
      if (books == held_.end()) continue;
      json entry = one_model(*each, *books->second);
      if (plans) entry["plan"] = plan(*each);
      list.push_back(std::move(entry));
    }
    return list;
  }

  [[nodiscard]] json plan(const model& which) const {
    const budget_preview found = models_.books().preview(which.name());
    json leave = json::array();
    for (const budget_eviction& each : found.evictions) {
      // Levels have names of their own in the books.
      leave.push_back({{"model", each.model},
                       {"level", each.level.substr(each.level.find(':') + 1)},
                       {"frees", bytes(each.gain)}});
    }
    return {{"outcome", to_string(found.outcome)},
            {"puts_away", std::move(leave)},
            {"short_of", found.words.empty() ? json() : json(found.words)}};
  }

 private:
  [[nodiscard]] static bool is_idle(const model::view& seen, const budget_model_snapshot& books) {
    const bool rests = books.state == model_state::ready || books.state == model_state::asleep;
    return rests && books.leases == 0 && books.waiting == 0 && seen.waiting == 0 && !books.pinned &&
           books.kept_for <= duration::zero();
  }

  /// What a model would give back of a device, were it put away to there.
  [[nodiscard]] static std::uint64_t freed(const budget_model_snapshot& books,
                                           const model::depth_view& to, const std::string& device) {
    const auto now = books.holds.find(device);
    const auto then = to.left.find(device);
    const std::uint64_t held = now == books.holds.end() ? 0 : now->second;
    const std::uint64_t rest = then == to.left.end() ? 0 : then->second;
    return held - std::min(held, rest);
  }

  [[nodiscard]] json one_device(const shared_device& which,
                                const budget_device_snapshot& device) const {
    std::uint64_t tickets = 0;
    std::uint64_t freeable = 0;
    for (const auto& each : models_.models()) {
      const auto books = held_.find(each->name());
      if (books == held_.end()) continue;
      if (books->second->state == model_state::loading) {
        const auto promised = books->second->holds.find(device.name);
        if (promised != books->second->holds.end()) tickets += promised->second;
      }
      if (!is_idle(each->look(), *books->second)) continue;
      std::uint64_t most = 0;
      for (const model::depth_view& to : each->depths()) {
        most = std::max(most, freed(*books->second, to, device.name));
      }
      freeable += most;
    }
    const std::uint64_t taken = device.margin_bytes + device.foreign_bytes + device.held_bytes;
    const auto reading = used_.find(device.name);
    return {{"id", id_of(which)},
            {"name", device.name},
            {"uuid", which.uuid().empty() ? json() : json(which.uuid())},
            {"capacity_bytes", device.capacity_bytes},
            {"margin_bytes", device.margin_bytes},
            {"foreign_bytes", device.foreign_bytes},
            {"booked_bytes", device.held_bytes},
            {"ticket_bytes", tickets},
            {"free_bytes", device.capacity_bytes - std::min(device.capacity_bytes, taken)},
            {"freeable_bytes", freeable},
            {"used_bytes", reading == used_.end() ? json() : json(reading->second)}};
  }

  [[nodiscard]] json one_model(const model& which, const budget_model_snapshot& books) const {
    const model::view seen = which.look();
    const readiness ready = readiness_of(models_, which);
    json levels = json::array();
    for (const model::depth_view& each : which.depths()) {
      json level{{"level", each.level},
                 {"bytes", bytes(each.left)},
                 {"measured", each.measured},
                 {"back_ms", milliseconds_of(each.back)}};
      if (is_idle(seen, books) && each.depth > seen.depth) {
        bytes_by_device gain;
        for (const auto& [device, held] : books.holds) gain[device] = freed(books, each, device);
        level["frees_now"] = bytes(gain);
      }
      levels.push_back(std::move(level));
    }
    return {{"name", which.name()},
            {"aliases", which.config().aliases},
            {"state", to_string(seen.is)},
            {"level", seen.level.empty() ? json() : json(seen.level)},
            {"ready", ready.ready},
            {"why_not", ready.ready ? json() : json(ready.why)},
            {"bytes", bytes(books.holds)},
            {"awake_bytes", bytes(books.estimate)},
            {"awake_measured", books.measured},
            {"levels", std::move(levels)},
            {"expected_ms", milliseconds_of(which.time_to_come())},
            {"active", seen.active},
            {"waiting", seen.waiting},
            {"idle_ms", milliseconds_of(books.idle)},
            {"uses_per_second", books.uses_per_second},
            {"pinned", books.pinned},
            {"priority", books.priority},
            {"kept_for_ms", milliseconds_of(books.kept_for)},
            {"failures", seen.failures}};
  }

  fleet& models_;
  const budget_snapshot books_;
  const std::map<std::string, std::uint64_t> used_;
  std::map<std::string, const budget_model_snapshot*> held_;
};

}  // namespace

json plan_document(fleet& models, const model& which) {
  return clerk(models).plan(which);
}

json budget_document(fleet& models, bool plans) {
  const clerk books(models);
  const readiness ready = readiness_of(models);
  return {{"version", version},
          {"node", host_name()},
          {"time_ms", std::chrono::duration_cast<std::chrono::milliseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count()},
          {"ready", ready.ready},
          {"why_not", ready.ready ? json() : json(ready.why)},
          {"draining", models.is_draining()},
          {"devices", books.devices()},
          {"models", books.models(plans)}};
}

}  // namespace lull::serve
