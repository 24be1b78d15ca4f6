#ifndef LULL_BACKENDS_MUSA_MTML_HPP
#define LULL_BACKENDS_MUSA_MTML_HPP

/// @file
/// What we use of MTML, Moore Threads' management library, in declarations of our own. Names and
/// signatures as in version 2.2.0, which the Python binding MooreThreads/mthreads-ml-py calls. It
/// cannot say what one process holds.

#include "common/vendor_fn.hpp"

namespace lull::backends::mtml {

struct library;
struct device;
struct memory;

/// MtmlReturn. Only the value we tell apart.
inline constexpr int success = 0;

struct api {
  vendor_fn<"mtmlLibraryInit", int(library**)> init;
  vendor_fn<"mtmlLibraryInitDeviceByPciSbdf", int(const library*, const char*, device**)>
      by_pci_address;
  vendor_fn<"mtmlLibraryFreeDevice", int(device*)> free_device;
  vendor_fn<"mtmlDeviceInitMemory", int(const device*, memory**)> init_memory;
  vendor_fn<"mtmlDeviceFreeMemory", int(memory*)> free_memory;
  vendor_fn<"mtmlMemoryGetTotal", int(const memory*, unsigned long long*)> total;
  vendor_fn<"mtmlMemoryGetUsed", int(const memory*, unsigned long long*)> used;
};

}  // namespace lull::backends::mtml

#endif  // LULL_BACKENDS_MUSA_MTML_HPP
