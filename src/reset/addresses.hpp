#ifndef LULL_RESET_ADDRESSES_HPP
#define LULL_RESET_ADDRESSES_HPP

#include <lull/device.hpp>

#include <string>

namespace lull::detail {

/// Whether what is reserved on a device stays reserved when it is reset.
[[nodiscard]] bool addresses_outlive_reset(const device& which) noexcept;

/// What keeps a device from being reset because its reservations would be lost, and not all of them
/// may move: "MUSA0: a reset would lose ..."; empty when nothing does.
[[nodiscard]] std::string addresses_in_the_way(const device& which);

/// @throws error (unsupported) with that
void expect_addresses_may_go(const device& which);

}  // namespace lull::detail

#endif  // LULL_RESET_ADDRESSES_HPP
