#include "plan/foresight.hpp"

#include <lull/budget_plan.hpp>
#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "gguf/model.hpp"
#include "plan/engine_options.hpp"

namespace lull::plan {
namespace {

using serve::config;
using serve::model_config;
using serve::sleep_rung;
using serve::sleep_way;

constexpr std::string_view host_name = "HOST";
// Long after the beginning of time, so that everything there was came before.
constexpr time_point present{std::chrono::hours(24 * 365 * 100)};

double seconds(duration span) {
  return std::chrono::duration<double>(span).count();
}

class planner {
 public:
  planner(const circumstances& now, const std::string& wanted) : now_(now) {
    const model_config* const found = now.configuration.find(wanted);
    if (found == nullptr) {
      std::string names;
      for (const model_config& each : now.configuration.models) {
        names += (names.empty() ? "" : ", ") + each.name;
      }
      throw error(status::not_found, fmt::format("there is no model '{}'; there are {}", wanted,
                                                 names.empty() ? "none" : names));
    }
    wanted_ = found;
    if (!now.state) {
      assume("nothing is loaded, and all that is used of a device is other programs'");
    }
  }

  foresight run() {
    result_.model = wanted_->name;
    add_devices();
    add_models();
    add_request();
    books_.add_up();
    plan_result plan = plan_admission(books_, request_);
    result_.outcome = plan.outcome;
    result_.words = describe(plan, books_);
    if (plan.outcome == plan_outcome::busy) {
      request_.take_busy = true;
      plan.victims = plan_admission(books_, request_).victims;
    }
    tell_devices(plan);
    tell_leaving(plan);
    tell_staying(plan);
    return std::move(result_);
  }

 private:
  void assume(std::string words) { result_.assumed.push_back(std::move(words)); }

  [[nodiscard]] const seen_device* seen(std::string_view name) const {
    for (const seen_device& each : now_.devices) {
      if (each.name == name) return &each;
    }
    return nullptr;
  }
  [[nodiscard]] const budget_device_snapshot* in_state(std::string_view name) const {
    if (!now_.state) return nullptr;
    for (const budget_device_snapshot& each : now_.state->devices) {
      if (each.name == name) return &each;
    }
    return nullptr;
  }
  [[nodiscard]] const budget_model_snapshot* state_of(const std::string& model) const {
    if (!now_.state) return nullptr;
    for (const budget_model_snapshot& each : now_.state->models) {
      if (each.name == model) return &each;
    }
    return nullptr;
  }

  // Devices --------------------------------------------------------------------------------------

  void add_devices() {
    for (const serve::device_config& each : now_.configuration.devices) add_device(each);
    if (books_.devices.empty()) add_all_gpus();
    // A group whose members come one at a time is a device with room for one of them.
    for (const serve::group_config& group : now_.configuration.groups) {
      if (group.swap) books_.devices.push_back({"group " + group.name, 1});
    }
  }

  void add_all_gpus() {
    const config& from = now_.configuration;
    const auto add = [&](std::string name) {
      add_device({std::move(name), {}, from.margin_bytes, from.margin_share});
    };
    if (now_.state) {
      for (const budget_device_snapshot& each : now_.state->devices) {
        if (!each.name.starts_with("group ")) add(each.name);
      }
    } else {
      for (const seen_device& each : now_.devices) {
        if (each.gpu) add(each.name);
      }
    }
    if (books_.devices.empty()) add(std::string(host_name));
  }

  void add_device(const serve::device_config& given) {
    const seen_device* const here = seen(given.name);
    const budget_device_snapshot* const then = in_state(given.name);
    plan_device device;
    device.name = given.name;
    if (given.capacity_bytes) {
      device.capacity_bytes = *given.capacity_bytes;
    } else if (then != nullptr) {
      device.capacity_bytes = then->capacity_bytes;
    } else if (here != nullptr && here->total_bytes) {
      device.capacity_bytes = *here->total_bytes;
    } else {
      throw error(
          status::not_found,
          fmt::format("device '{}': {}; give its `capacity`, or a state that has it", given.name,
                      here == nullptr ? "is not there" : "does not say how large it is"));
    }
    const double share = given.margin_share * static_cast<double>(device.capacity_bytes);
    device.margin_bytes = std::max(given.margin_bytes, static_cast<std::uint64_t>(share));
    if (then != nullptr) {
      device.foreign_bytes = then->foreign_bytes;
    } else if (here != nullptr && here->used_bytes && !given.capacity_bytes) {
      device.foreign_bytes = *here->used_bytes;
    } else {
      assume(fmt::format("no other program uses {}", given.name));
    }
    books_.devices.push_back(std::move(device));
  }

  [[nodiscard]] std::optional<std::uint32_t> find_device(std::string_view name) const {
    for (std::uint32_t index = 0; index < books_.devices.size(); ++index) {
      if (books_.devices[index].name == name) return index;
    }
    return std::nullopt;
  }

  [[nodiscard]] bool is_gpu(const plan_device& device) const {
    return device.name != host_name && !device.name.starts_with("group ");
  }

  /// Of devices that are not in the books nothing is known.
  [[nodiscard]] std::vector<device_bytes> listed(const bytes_by_device& named) const {
    std::vector<device_bytes> list;
    for (const auto& [name, bytes] : named) {
      if (const auto device = find_device(name)) list.push_back({*device, bytes});
    }
    return list;
  }
  [[nodiscard]] bytes_by_device named(const std::vector<device_bytes>& list) const {
    bytes_by_device all;
    for (const device_bytes& each : list) {
      if (each.bytes > 0) all[books_.devices[each.device].name] = each.bytes;
    }
    return all;
  }

  // Models ---------------------------------------------------------------------------------------

  void add_models() {
    for (const model_config& each : now_.configuration.models) add_model(each);
    if (!now_.state) return;
    for (const budget_model_snapshot& each : now_.state->models) {
      if (configured(each.name)) continue;
      plan_model other;
      other.name = each.name;
      other.state = each.state;
      other.holds = listed(each.holds);
      other.leases = each.leases;
      books_.models.push_back(std::move(other));
    }
  }

  [[nodiscard]] bool configured(const std::string& model) const {
    const auto& models = now_.configuration.models;
    return std::any_of(models.begin(), models.end(),
                       [&](const model_config& each) { return each.name == model; });
  }

  void add_model(const model_config& given) {
    const budget_model_snapshot* const then = state_of(given.name);
    plan_model model;
    model.name = given.name;
    model.pinned = given.pinned;
    const bytes_by_device need = need_of(given, then, nullptr);
    for (const sleep_rung& rung : given.ladder) {
      model.levels.push_back({rung.level, listed(left_at(given, rung, need)), 1});
    }
    model.depth = model.levels.size();
    if (then != nullptr) add_state(model, *then);
    if (&given == wanted_) request_.model = books_.models.size();
    books_.models.push_back(std::move(model));
  }

  void add_state(plan_model& model, const budget_model_snapshot& then) const {
    model.state = then.state;
    model.holds = listed(then.holds);
    model.leases = then.leases;
    model.keep_until = present + then.kept_for;
    model.last_used = then.idle ? present - *then.idle : time_point{};
    model.uses_per_second = then.uses_per_second;
    if (then.wake_times.size() == model.levels.size()) {
      for (std::size_t level = 0; level < model.levels.size(); ++level) {
        model.levels[level].wake_seconds = seconds(then.wake_times[level]);
      }
    }
    if (then.state == model_state::ready || then.state == model_state::leaving) model.depth = 0;
    if (then.state == model_state::asleep) model.depth = depth_of(model, then.level);
  }

  /// A router numbers its levels: "0:offload".
  static std::size_t depth_of(const plan_model& model, const std::string& level) {
    for (std::size_t depth = 0; depth < model.levels.size(); ++depth) {
      const std::string& name = model.levels[depth].name;
      if (level == name || level == fmt::format("{}:{}", depth, name)) return depth + 1;
    }
    throw error(status::invalid_argument,
                fmt::format("the state has model '{}' asleep at '{}', a level that the "
                            "configuration does not give it",
                            model.name, level));
  }

  /// What a router takes a level to leave, until that was measured.
  [[nodiscard]] bytes_by_device left_at(const model_config& given, const sleep_rung& rung,
                                        const bytes_by_device& need) const {
    if (rung.left) return *rung.left;
    bytes_by_device left;
    const bool suspends = std::any_of(now_.devices.begin(), now_.devices.end(),
                                      [](const seen_device& each) { return each.suspends; });
    const bool driver =
        rung.way == sleep_way::driver || (rung.way == sleep_way::automatic && suspends);
    if (rung.way == sleep_way::stop || driver) return left;
    constexpr std::uint64_t part = 10;
    for (const auto& [device, bytes] : given.memory.empty() ? need : given.memory) {
      left[device] = bytes / part;
    }
    return left;
  }

  /// @param source gets how it is known
  bytes_by_device need_of(const model_config& given, const budget_model_snapshot* then,
                          std::string* source) const {
    std::string ignored;
    std::string& how = source != nullptr ? *source : ignored;
    bytes_by_device need;
    if (then != nullptr && then->measured) {
      need = then->estimate;
      how = "measured when it was last loaded";
    } else if (!given.memory.empty()) {
      need = given.memory;
      how = "`memory` of the configuration";
    } else if (given.memory_anywhere) {
      need[first_device()] = *given.memory_anywhere;
      how = "`memory` of the configuration";
    } else if (source != nullptr) {
      need = need_from_header(given, how);
    }
    if (need.empty() && then != nullptr) {
      need = then->estimate;
      how = "what the state expects";
    }
    for (const serve::group_config& group : now_.configuration.groups) {
      const bool member =
          std::find(group.members.begin(), group.members.end(), given.name) != group.members.end();
      if (group.swap && member && !need.empty()) need["group " + group.name] = 1;
    }
    return need;
  }

  [[nodiscard]] std::string first_device() const {
    for (const plan_device& each : books_.devices) {
      if (is_gpu(each)) return each.name;
    }
    return books_.devices.front().name;
  }

  bytes_by_device need_from_header(const model_config& given, std::string& how) const try {
    auto options = engine_options_of(given.command);
    if (!options) return {};
    std::size_t place = 0;
    for (const plan_device& each : books_.devices) {
      if (!is_gpu(each)) continue;
      const double share = place < options->split.size() ? options->split[place]
                                                         : static_cast<double>(each.capacity_bytes);
      ++place;
      if (share > 0) options->use.devices.push_back({each.name, share});
    }
    const auto estimate = gguf::estimate(gguf::read_model(options->model_file), options->use);
    bytes_by_device need;
    for (const auto& [device, share] : estimate.devices) {
      if (find_device(device)) need[device] = share.total_bytes();
    }
    how = fmt::format("the header of {}{}", options->model_file,
                      estimate.context_known ? "" : ", which does not say what a context takes");
    return need;
  } catch (const error&) {
    throw;
  } catch (const std::exception& failure) {
    throw error(status::invalid_argument,
                fmt::format("model '{}': its file cannot be read: {}", given.name, failure.what()));
  }

  void add_request() {
    const budget_model_snapshot* const then = state_of(wanted_->name);
    result_.need = need_of(*wanted_, then, &result_.need_known_by);
    if (result_.need.empty()) {
      throw error(status::invalid_argument,
                  fmt::format("nobody says what model '{}' needs: give `memory`, or a GGUF file in "
                              "its `cmd`, or a state where it was measured",
                              wanted_->name));
    }
    request_.now = present;
    const plan_model& model = books_.models[*request_.model];
    result_.is_ready = model.state == model_state::ready;
    if (result_.is_ready) return;
    for (const auto& [name, bytes] : result_.need) {
      const auto device = find_device(name);
      if (!device) {
        throw error(status::not_found,
                    fmt::format("model '{}' needs device '{}', which the configuration does not "
                                "have",
                                model.name, name));
      }
      std::uint64_t held = 0;
      for (const device_bytes& each : model.holds) {
        if (each.device == *device) held = each.bytes;
      }
      if (bytes > held) request_.extra.push_back({*device, bytes - held});
    }
  }

  // What came of it ------------------------------------------------------------------------------

  [[nodiscard]] const std::vector<device_bytes>& left_by(const plan_victim& victim) const {
    return books_.models[victim.model].levels[victim.level].left;
  }

  void tell_devices(const plan_result& plan) {
    for (const plan_device& each : books_.devices) {
      result_.devices.push_back({each, 0, 0, each.held_bytes});
    }
    for (const plan_sum& sum : plan.sums) {
      result_.devices[sum.device].asked_bytes = sum.extra_bytes;
      result_.devices[sum.device].missing_bytes = sum.missing_bytes;
    }
    if (plan.outcome == plan_outcome::impossible) return;
    for (const plan_sum& sum : plan.sums) {
      result_.devices[sum.device].after_bytes += sum.extra_bytes;
    }
    for (const plan_victim& victim : plan.victims) {
      for (const device_bytes& held : books_.models[victim.model].holds) {
        result_.devices[held.device].after_bytes -= held.bytes;
      }
      for (const device_bytes& left : left_by(victim)) {
        result_.devices[left.device].after_bytes += left.bytes;
      }
    }
  }

  [[nodiscard]] std::uint64_t held_where_short(const plan_model& model) const {
    std::uint64_t bytes = 0;
    for (const device_bytes& held : model.holds) {
      if (result_.devices[held.device].missing_bytes > 0) bytes += held.bytes;
    }
    return bytes;
  }

  /// "used 0.05 times a second, takes 2.0 s to come back, idle for 3.5 s"
  [[nodiscard]] std::string habits(const plan_model& model, std::size_t level) const {
    std::string words = fmt::format("used {:.3g} times a second, takes {:.3g} s to come back",
                                    model.uses_per_second, model.levels[level].wake_seconds);
    if (model.last_used != time_point{}) {
      words += fmt::format(", idle for {:.3g} s", seconds(present - model.last_used));
    }
    return words;
  }

  void tell_leaving(const plan_result& plan) {
    for (const plan_victim& victim : plan.victims) {
      const plan_model& model = books_.models[victim.model];
      leaving_model leaver{model.name, model.levels[victim.level].name, {}, {}, victim.key, {}};
      leaver.left = named(left_by(victim));
      for (const device_bytes& held : model.holds) {
        const std::string& device = books_.devices[held.device].name;
        const auto left = leaver.left.find(device);
        const std::uint64_t rest = left == leaver.left.end() ? 0 : left->second;
        if (held.bytes > rest) leaver.gain[device] = held.bytes - rest;
      }
      const std::uint64_t held = held_where_short(model);
      leaver.why = habits(model, victim.level) +
                   (held > 0 ? fmt::format("; holds {} where it is short", format_bytes(held))
                             : "; makes room for what the others leave");
      if (model.leases > 0)
        leaver.why += fmt::format("; {} use it, which ends first", model.leases);
      if (model.keep_until > present) {
        leaver.why += fmt::format("; kept for {:.3g} s yet", seconds(model.keep_until - present));
      }
      result_.leaving.push_back(std::move(leaver));
    }
  }

  void tell_staying(const plan_result& plan) {
    for (std::size_t index = 0; index < books_.models.size(); ++index) {
      const plan_model& model = books_.models[index];
      const bool leaves = std::any_of(plan.victims.begin(), plan.victims.end(),
                                      [&](const plan_victim& each) { return each.model == index; });
      if (leaves || index == request_.model || held_where_short(model) == 0) continue;
      result_.staying.push_back({model.name, why_it_stays(model, plan)});
    }
  }

  [[nodiscard]] std::string why_it_stays(const plan_model& model, const plan_result& plan) const {
    if (model.levels.empty()) return "is not in the configuration";
    if (model.pinned) return "is pinned";
    if (model.state == model_state::loading || model.state == model_state::leaving) {
      return fmt::format("is {}", to_string(model.state));
    }
    if (model.depth >= model.levels.size()) return "is as far away as it goes";
    if (plan.outcome == plan_outcome::impossible) return "not even with it gone there is room";
    if (model.leases > 0) return fmt::format("{} use it", model.leases);
    if (model.keep_until > present) {
      return fmt::format("is kept for {:.3g} s yet", seconds(model.keep_until - present));
    }
    return "is missed more, or need not leave: " + habits(model, model.depth);
  }

  const circumstances& now_;
  const model_config* wanted_ = nullptr;
  plan_books books_;
  plan_request request_;
  foresight result_;
};

}  // namespace

foresight foresee(const circumstances& now, const std::string& model) {
  return planner(now, model).run();
}

}  // namespace lull::plan
