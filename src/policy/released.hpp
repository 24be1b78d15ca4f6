#ifndef LULL_POLICY_RELEASED_HPP
#define LULL_POLICY_RELEASED_HPP

#include <lull/report.hpp>
#include <lull/settle.hpp>
#include <lull/sleeper.hpp>

#include <string>
#include <vector>

namespace lull::detail {

/// Marks the devices on which a transition gave up memory.
/// @param told devices whose memory a participant says it gave up
void mark_released(release_clock& releases, const std::vector<device_report>& devices,
                   const std::vector<std::string>& told, context_action context) noexcept;

}  // namespace lull::detail

#endif  // LULL_POLICY_RELEASED_HPP
