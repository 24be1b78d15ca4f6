#ifndef TOOLS_PLAN_FORESIGHT_HPP
#define TOOLS_PLAN_FORESIGHT_HPP

/// @file
/// What a budget would do to let a model in, from a configuration and from what is known of now.

#include <lull/budget.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace lull::plan {

/// What a device of this machine says.
struct seen_device {
  std::string name;
  bool gpu = true;
  bool suspends = false;  ///< the driver takes processes off it
  std::optional<std::uint64_t> total_bytes = {};
  std::optional<std::uint64_t> used_bytes = {};  ///< by everybody
};

/// What to plan from.
struct circumstances {
  serve::config configuration = {};
  std::vector<seen_device> devices = {};
  /// What is loaded. Absent: nothing, and all that is used is other programs'.
  std::optional<budget_snapshot> state = {};
};

struct leaving_model {
  std::string model;
  std::string level;
  bytes_by_device gain;  ///< what comes back
  bytes_by_device left;  ///< what it holds then
  double key = 0;        ///< plan_victim::key
  std::string why;
};

struct staying_model {
  std::string model;
  std::string why;
};

struct planned_device {
  plan_device books;
  std::uint64_t asked_bytes = 0;
  std::uint64_t missing_bytes = 0;  ///< while nobody has left
  std::uint64_t after_bytes = 0;    ///< held, when all is done; where nothing is, as now
};

struct foresight {
  std::string model;
  plan_outcome outcome = plan_outcome::planned;
  bool is_ready = false;      ///< already
  bytes_by_device need;       ///< what it will hold
  std::string need_known_by;  ///< "measured when it was last loaded", ...
  std::vector<planned_device> devices;
  std::vector<leaving_model> leaving;  ///< least missed first; of `busy`: who would be waited for
  std::vector<staying_model> staying;  ///< those that hold what is short
  std::string words;                   ///< the sums of the devices that are short
  std::vector<std::string> assumed;
};

/// @param model its name or one of its aliases
/// @throws error not_found: no such model, or device; invalid_argument: nobody says what it needs,
///         or the state does not go with the configuration
[[nodiscard]] foresight foresee(const circumstances& now, const std::string& model);

}  // namespace lull::plan

#endif  // TOOLS_PLAN_FORESIGHT_HPP
