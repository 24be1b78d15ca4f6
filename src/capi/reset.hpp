#ifndef LULL_CAPI_RESET_HPP
#define LULL_CAPI_RESET_HPP

#include <lull/c/reset.h>
#include <lull/device.hpp>

#include <functional>

namespace lull::capi {

/// The program's own reset of a device; empty for null.
std::function<void(const device&)> own_reset(lull_reset_fn reset, void* user);

}  // namespace lull::capi

#endif  // LULL_CAPI_RESET_HPP
