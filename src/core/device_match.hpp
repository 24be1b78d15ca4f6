#ifndef LULL_CORE_DEVICE_MATCH_HPP
#define LULL_CORE_DEVICE_MATCH_HPP

#include <lull/device.hpp>

#include <string_view>
#include <vector>

namespace lull::detail {

/// Whether `name` is the device's name, PCI address or UUID, in any case. A PCI address may lack
/// its domain ("65:00.0") or spell it with eight digits, as NVML does ("00000000:65:00.0").
bool matches(const device& candidate, std::string_view name);

/// The parts of a comma-separated list, without blanks around them.
/// @throws error (invalid_argument) when one is empty
std::vector<std::string_view> split_list(std::string_view list);

}  // namespace lull::detail

#endif  // LULL_CORE_DEVICE_MATCH_HPP
