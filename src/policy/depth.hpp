#ifndef LULL_POLICY_DEPTH_HPP
#define LULL_POLICY_DEPTH_HPP

#include <lull/device.hpp>
#include <lull/sleeper.hpp>

#include <vector>

namespace lull::detail {

// How deep plans are. There are two depths: of the context, and of the contents with each tag.

/// Whether a sleep by `found` does all that `asked` says.
[[nodiscard]] bool covers(const sleep_plan& found, const sleep_plan& asked);

/// What a sleep does that began by `from` and went on by `to`: the deeper of both in everything,
/// and else as `to`.
[[nodiscard]] sleep_plan joined(const sleep_plan& from, const sleep_plan& to);

/// @throws error (invalid_argument) that names a rung which is not deeper and later than the one
///         before
void check_ladder(const std::vector<sleep_rung>& rungs);

/// What the devices can do of a plan: the plan, or where it has a fallback the nearest shallower
/// one, under that one's name.
/// @param can_be_reborn whether the program can be replaced by its next image
/// @throws error (unsupported) that names the nearest
[[nodiscard]] sleep_plan possible_on(const std::vector<device>& devices, const sleep_plan& asked,
                                     bool can_be_reborn);

/// Compares what devices still hold with what the plan allows, and tells of what is more, or is not
/// known.
/// @param measured the devices as the transition left them
/// @return whether one is known to hold more
[[nodiscard]] bool exceeds_residue(const sleep_plan& plan,
                                   const std::vector<device_report>& measured, transition& current);

}  // namespace lull::detail

#endif  // LULL_POLICY_DEPTH_HPP
