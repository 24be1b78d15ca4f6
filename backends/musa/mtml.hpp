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
  vendor_library from = vendor_library::open({"libmtml.so.1", "libmtml.so"});
  symbol_group needed{from};

  vendor_fn<"mtmlLibraryInit", int(library**)> init{needed};
  vendor_fn<"mtmlLibraryInitDeviceByPciSbdf", int(const library*, const char*, device**)>
      by_pci_address{needed};
  vendor_fn<"mtmlLibraryFreeDevice", int(device*)> free_device{needed};
  vendor_fn<"mtmlDeviceInitMemory", int(const device*, memory**)> init_memory{needed};
  vendor_fn<"mtmlDeviceFreeMemory", int(memory*)> free_memory{needed};
  vendor_fn<"mtmlMemoryGetTotal", int(const memory*, unsigned long long*)> total{needed};
  vendor_fn<"mtmlMemoryGetUsed", int(const memory*, unsigned long long*)> used{needed};
};

}  // namespace lull::backends::mtml

#endif  // LULL_BACKENDS_MUSA_MTML_HPP
