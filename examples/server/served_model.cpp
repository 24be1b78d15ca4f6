#include "server/served_model.hpp"

#include <algorithm>
#include <utility>

#include "server/answers.hpp"

namespace example {

std::vector<lull::sleep_level> serving_options::levels() const {
  if (sleep_ladder.empty()) return {sleep_level};
  std::vector<lull::sleep_level> result;
  for (const ladder_step& each : sleep_ladder) result.push_back(each.level);
  return result;
}

served_model::served_model(const model_file& file, const shared_resources& with,
                           const serving_options& options)
    : name_(file.name),
      options_(options),
      device_(with.device),
      engine_(file.path, with, options, options.before.count(file.name) != 0),
      loop_(engine_, options.parallel, options.word_delay),
      sleeper_(sleeper_options_from(with.releases)) {
  {
    const auto nothing_sleeps = sleeper_.acquire();
    engine_.join(sleeper_);
  }
  const auto before = options.before.find(name_);
  if (before != options.before.end()) {
    go_on_from(before->second);
  } else {
    sleeper_.sleep(plan_of(lull::sleep_level::discard));  // nothing is there yet
  }
}

lull::sleeper_options served_model::sleeper_options_from(lull::release_clock& releases) {
  lull::sleeper_options result;
  // The sleeper knows no "at once"; what is idle for a moment is idle.
  if (options_.sleep_idle && options_.sleep_ladder.empty()) {
    result.idle_time = std::max(*options_.sleep_idle, std::chrono::milliseconds{1});
  }
  result.plan = plan_of(options_.sleep_level);
  for (const ladder_step& each : options_.sleep_ladder) {
    result.ladder.push_back({each.after, plan_of(each.level)});
  }
  result.watch_idle = true;
  result.run_on = [this](lull::transition_work work) {
    loop_.post(std::packaged_task<void()>(std::move(work)));
  };
  if (options_.hand_over) {
    result.rebirth.hand_over = [this](const lull::sleep_counters& then) {
      return options_.hand_over(*this, then);
    };
    result.rebirth.called_off = options_.called_off;
  }
  result.releases = &releases;
  result.log = options_.log;
  return result;
}

lull::sleep_plan served_model::plan_of(std::optional<lull::sleep_level> level) const {
  return plan_for(level.value_or(options_.levels().front()), device_, options_.offload_directory);
}

lull::transition_report served_model::sleep(const lull::sleep_plan& plan) {
  lull::transition_report report = sleeper_.sleep(plan);
  // It was asleep by another plan: what that has not done is done now, without a wake.
  if (report.plan != plan.name) report = sleeper_.deepen(plan);
  return report;
}

bool served_model::is_asleep() const {
  const lull::sleep_state state = sleeper_.observe().state;
  return state == lull::sleep_state::asleep || state == lull::sleep_state::waking;
}

std::string_view served_model::status() const {
  const lull::sleeper_snapshot seen = sleeper_.observe();
  const bool was_loaded = seen.counters.wakes > 0;
  if (seen.state == lull::sleep_state::waking) return was_loaded ? "sleeping" : "loading";
  if (seen.state == lull::sleep_state::asleep) return was_loaded ? "sleeping" : "unloaded";
  return "loaded";
}

nlohmann::json served_model::props() const {
  const lull::sleeper_snapshot seen = sleeper_.observe();
  nlohmann::json result{{"is_sleeping", seen.state == lull::sleep_state::asleep},
                        {"state", std::string(to_string(seen.state))},
                        {"model", name_},
                        {"model_path", engine_.facts().path.string()},
                        {"device", device_.name()},
                        {"total_slots", options_.parallel},
                        {"sleep_level", seen.plan},
                        {"idle_ms", milliseconds(seen.idle)},
                        {"waiting", seen.waiting}};
  result["sleep_idle_seconds"] = options_.sleep_idle
                                     ? nlohmann::json(milliseconds(*options_.sleep_idle) / 1000)
                                     : nlohmann::json(-1);
  if (!options_.sleep_ladder.empty()) {
    result["sleep_idle_seconds"] = milliseconds(options_.sleep_ladder.front().after) / 1000;
    result["sleep_ladder"] = to_string(options_.sleep_ladder);
  }
  result["graph_cache"] = to_json(engine_.graphs().limits());
  if (seen.last) result["last_transition"] = to_json(*seen.last);
  return result;
}

}  // namespace example
