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

std::vector<device> devices_of(lull_device* const* devices, std::size_t count);

}  // namespace lull::capi

#endif  // LULL_CAPI_DEVICE_HPP
