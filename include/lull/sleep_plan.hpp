#ifndef LULL_SLEEP_PLAN_HPP
#define LULL_SLEEP_PLAN_HPP

/// @file
/// How deep a sleep is: levels, plans, and the rungs of a ladder.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>
#include <lull/memory.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

/// Named depths of sleep: presets over a sleep_plan.
enum class sleep_level : std::uint8_t {
  trim,     ///< empty caches and the vendor's pools, keep contents
  offload,  ///< contents to the backing store
  discard,  ///< contents dropped, refilled on wake
  suspend,  ///< contents to the backing store, the rest moved by the driver: nothing stays
  reset,    ///< contents dropped, the GPU context destroyed
  rebirth,  ///< contents dropped, the process image replaced: nothing stays anywhere
};
LULL_API std::string_view to_string(sleep_level level) noexcept;

/// @throws error (invalid_argument) that lists the levels
LULL_API sleep_level parse_sleep_level(std::string_view text);

/// What happens to the GPU context while asleep.
enum class context_action : std::uint8_t { keep, suspend, reset, rebirth };
LULL_API std::string_view to_string(context_action action) noexcept;

/// What a sleep does: with the contents, and with the context.
struct sleep_plan {
  std::string name = {};  ///< for reports: the level's name, or the caller's own
  eviction_plan contents = {};
  context_action context = context_action::keep;
  backing_store backing = backing_store::host_memory();  ///< for what is offloaded
  /// Where the devices cannot do what it says about the context: do the nearest that is less, and
  /// say so in the report, instead of refusing.
  bool fallback = false;
  /// How much this process may still hold of each of the devices, as measured when the plan has
  /// been carried out. More is told in the report, and the next rung of the ladder comes at once.
  /// What cannot be measured is told, and hurries nothing. Absent: no bound.
  std::optional<std::uint64_t> max_residue_bytes = {};
};

/// One step of a ladder: what is done after so long without a lease.
struct sleep_rung {
  duration after{};  ///< not below 0
  sleep_plan plan = {};
};

/// The levels that this build of lull can carry out. Ask before use.
[[nodiscard]] LULL_API std::vector<sleep_level> supported_levels();

/// Those of them that these devices can do together: `reset` needs one with a context at least, and
/// `suspend` that all but the host can. `rebirth` needs nothing of devices, but of the program
/// (sleeper_rebirth_options).
[[nodiscard]] LULL_API std::vector<sleep_level> supported_levels(
    const std::vector<device>& devices);

/// The plan of a level.
[[nodiscard]] LULL_API sleep_plan plan_for(sleep_level level);

}  // namespace lull

#endif  // LULL_SLEEP_PLAN_HPP
