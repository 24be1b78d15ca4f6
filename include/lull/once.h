#ifndef LULL_ONCE_H
#define LULL_ONCE_H

/// @file
/// What is done once per context of a device, at the price of a flag. Part of <lull/lull.h>, and
/// what lull::once_per_context is made of.
///
///     static lull_once raised;  // for each device one of its own
///     ... of_device = lull_device_generation_counter(device), got once ...
///     if (lull_once_call(&raised, of_device, raise_limit, kernel)) { ... }

#include <lull/export.h>
#include <lull/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Which context of a device is the present one. There is one of these for each physical device
/// that the process has seen; it lives for ever, also when every registry is gone, and is the same
/// for whoever opens the device again. For reading alone.
typedef struct lull_generation {
  uint64_t count;   ///< how many contexts came before the present one; never falls
  uint64_t device;  ///< the number of the device in this process, from 1
} lull_generation;

/// What remembers that something was done; zeros: it was not. Nothing has to be destroyed.
typedef struct lull_once {
  uint64_t done_in;  ///< lull's own: the context that it was done in
} lull_once;

/// Does what is to be done once.
typedef lull_status (*lull_once_fn)(void* user);

/// The count of the present context, for what was made in it: when this has changed, that is gone.
/// One atomic load.
/// @param of must not be null
static inline uint64_t lull_generation_count(const lull_generation* of) {
  return __atomic_load_n(&of->count, __ATOMIC_ACQUIRE);
}

/// lull's own: the present context of a device, as no other context of any device is called.
static inline uint64_t lull_generation_name(const lull_generation* of) {
  return of->device << 40 | lull_generation_count(of);
}

/// Whether it was done in the present context of the device. Two atomic loads.
/// @param of must not be null
static inline int32_t lull_once_is_done(const lull_once* once, const lull_generation* of) {
  return __atomic_load_n(&once->done_in, __ATOMIC_ACQUIRE) == lull_generation_name(of);
}

/// lull_once_call for what was not done when the caller looked.
LULL_API lull_status lull_once_run(lull_once* once, const lull_generation* of, lull_once_fn work,
                                   void* user);

/// Calls `work` on this thread unless that was done in the device's present context, and blocks
/// while another thread does it. When it fails, the next call tries again. One lull_once serves one
/// device: with several, the work is done at every change from one to another. `work` must not call
/// this with the same `once`.
/// @param of lull_device_generation_counter of the device
/// @return LULL_ERROR_CALLBACK: what `work` returned was a failure
static inline lull_status lull_once_call(lull_once* once, const lull_generation* of,
                                         lull_once_fn work, void* user) {
  if (once && of && lull_once_is_done(once, of)) return LULL_OK;
  return lull_once_run(once, of, work, user);
}

#ifdef __cplusplus
}
#endif

#endif  // LULL_ONCE_H
