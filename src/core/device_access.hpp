#ifndef LULL_CORE_DEVICE_ACCESS_HPP
#define LULL_CORE_DEVICE_ACCESS_HPP

#include <lull/device.hpp>

#include <memory>

#include "core/device_state.hpp"

namespace lull::detail {

/// The way from a device to what it refers to, for the library's own mechanisms.
struct device_access {
  static const std::shared_ptr<device_state>& state(const device& of) noexcept { return of.state_; }
};

}  // namespace lull::detail

#endif  // LULL_CORE_DEVICE_ACCESS_HPP
