#ifndef EXAMPLES_SERVER_SERVED_MODEL_HPP
#define EXAMPLES_SERVER_SERVED_MODEL_HPP

#include <lull/lull.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/completion.hpp"
#include "server/compute_loop.hpp"
#include "server/engine.hpp"
#include "server/rebirth.hpp"
#include "server/sleep_plans.hpp"

namespace example {

/// A model as it was named on the command line.
struct model_file {
  std::string name;  ///< that requests have as "model"
  std::filesystem::path path;
};

class served_model;

/// How each model of a server is served.
struct serving_options : engine_options {
  std::optional<std::chrono::milliseconds> sleep_idle;  ///< 0: as soon as there is no work
  lull::sleep_level sleep_level = lull::sleep_level::discard;
  /// Instead of both: deeper and deeper sleeps, as time passes without work.
  std::vector<ladder_step> sleep_ladder;
  std::optional<std::filesystem::path> offload_directory;  ///< see plan_for()
  int parallel = 2;                                        ///< completions computed at once
  /// For tests: makes every word take this much longer.
  std::chrono::milliseconds word_delay{0};
  /// Of models that were there in the image before this one, by name: they go on from that.
  std::map<std::string, lasting_state> before;
  /// What goes over to the next image, at level `rebirth`; as in lull::sleeper_rebirth_options.
  std::function<lull::rebirth_handover(const served_model& which, const lull::sleep_counters& then)>
      hand_over;
  std::function<void()> called_off;

  /// The levels that it may sleep by, shallow first.
  [[nodiscard]] std::vector<lull::sleep_level> levels() const;
};

/// A model, the loop that computes with it, and the sleeper that decides when it sleeps. It begins
/// asleep and not loaded; the first lease loads it. Thread-safe.
///
/// Each model has a loop of its own: with one for all, a model that is being loaded for half a
/// minute would hold up the words of the others.
class served_model {
 public:
  /// Reads the headers of the model's files.
  /// @throws as engine
  served_model(const model_file& file, const shared_resources& with,
               const serving_options& options);
  served_model(const served_model&) = delete;
  served_model& operator=(const served_model&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const example::engine& engine() const noexcept { return engine_; }
  [[nodiscard]] compute_loop& loop() noexcept { return loop_; }
  [[nodiscard]] lull::sleeper& sleeper() noexcept { return sleeper_; }
  [[nodiscard]] const lull::sleeper& sleeper() const noexcept { return sleeper_; }
  completion_counters counters;
  lull::graph_cache_stats earlier;  ///< of graphs in images before this one

  /// The plan of a level; absent: that of the first that it sleeps by.
  [[nodiscard]] lull::sleep_plan plan_of(std::optional<lull::sleep_level> level) const;
  /// Sleeps by this plan, from awake or from a shallower sleep. Blocks.
  /// @throws lull::error as sleeper::sleep() and deepen()
  lull::transition_report sleep(const lull::sleep_plan& plan);

  [[nodiscard]] bool is_asleep() const;
  /// As llama.cpp's router words it: unloaded, loading, loaded, sleeping.
  [[nodiscard]] std::string_view status() const;
  /// All that can be said without waking it.
  [[nodiscard]] nlohmann::json props() const;

 private:
  [[nodiscard]] lull::sleeper_options sleeper_options_from(lull::release_clock& releases);
  void go_on_from(const lasting_state& before);  // rebirth.cpp

  const std::string name_;
  const serving_options options_;
  const lull::device device_;
  // In the order in which they need each other: the last one ends first.
  example::engine engine_;
  compute_loop loop_;
  lull::sleeper sleeper_;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_SERVED_MODEL_HPP
