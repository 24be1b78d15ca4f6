#ifndef LULL_CAPI_DEVICE_HPP
#define LULL_CAPI_DEVICE_HPP

#include <lull/c/device.h>
#include <lull/device.hpp>

#include <cstddef>
#include <vector>

struct lull_device {
  lull::device value;
};

namespace lull::capi {

/// @param name of the list, for errors
std::vector<device> devices_of(lull_device* const* devices, std::size_t count,
                               const char* name = "devices");

}  // namespace lull::capi

#endif  // LULL_CAPI_DEVICE_HPP
