#ifndef LULL_C_LEASE_H
#define LULL_C_LEASE_H

/// @file
/// Leases: work that keeps everything awake, and the ways to wait for one (lull/sleeper.hpp). Part
/// of <lull/lull.h>.
///
/// A lease belongs to the work, and not to the request that asked for it: a request that gives up
/// while its computation goes on leaves a lease with the computation (lull_lease_share).

#include <lull/c/cancel.h>
#include <lull/export.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lull_sleeper;

/// What a lease is for.
typedef enum lull_lease_use LULL_ENUM_BASE {
  LULL_USE_WORK = 0,    ///< counts as activity: the idle time starts when it comes back
  LULL_USE_OBSERVE = 1  ///< holds everything awake too, and leaves the idle time alone: for metrics
} lull_lease_use;

/// Work in flight. Zeros hold nothing. May be moved as bytes, but only one copy counts, and may be
/// given back on another thread. Must not outlive the sleeper. Never grows.
typedef struct lull_lease {
  struct lull_sleeper* sleeper;  ///< null: it holds nothing
  lull_lease_use use;
} lull_lease;

/// A lease; wakes first when asleep. Blocks while asleep or in a transition, at most `timeout_ns`.
/// @param cancel may be null
/// @param lease is overwritten: release first what it holds
/// @return LULL_ERROR_TIMED_OUT; LULL_ERROR_CANCELLED; LULL_ERROR_BUSY: asked by a participant; or
///         why the wake failed. The next caller tries again.
LULL_API lull_status lull_sleeper_acquire(struct lull_sleeper* sleeper, int64_t timeout_ns,
                                          const lull_cancel* cancel, lull_lease* lease);

/// A lease if awake. Never waits, never wakes.
/// @param lease is overwritten: release first what it holds
/// @return LULL_ERROR_BUSY when not awake. That does not count as a failure: the thread's last
///         error stays.
LULL_API lull_status lull_sleeper_try_acquire(struct lull_sleeper* sleeper, lull_lease_use use,
                                              lull_lease* lease);

/// One more lease beside one that is held, of the same use, also while a sleep waits for leases to
/// come back. Never waits, never wakes.
/// @param held another struct than `lease`
/// @param lease is overwritten: release first what it holds
/// @return LULL_ERROR_INVALID_ARGUMENT when `held` holds nothing
LULL_API lull_status lull_lease_share(const lull_lease* held, lull_lease* lease);

/// Gives a lease back and empties the struct, so that a second release is harmless.
LULL_API void lull_lease_release(lull_lease* lease);

// --- More to say about the wait ---------------------------------------------------------------

/// Whether somebody still waits; 0 gives up (LULL_ERROR_CANCELLED). Called under no lock.
typedef int32_t (*lull_keep_waiting_fn)(void* user);

typedef struct lull_acquire_options {
  size_t struct_size;
  int64_t timeout_ns;         ///< default LULL_FOREVER
  const lull_cancel* cancel;  ///< default null
  /// Asked from time to time while waiting, for servers that can only ask whether the client is
  /// still there: on the waiting thread; for lull_sleeper_acquire_async on the one that serves all
  /// such waits, so it must be quick there. Default null.
  lull_keep_waiting_fn keep_waiting;
  void* keep_waiting_user;
  int64_t check_every_ns;  ///< how often; above 0; default 250 ms
} lull_acquire_options;
LULL_API void lull_acquire_options_init(lull_acquire_options* options);

/// lull_sleeper_acquire with more to say about the wait.
/// @param options may be null
/// @param lease is overwritten: release first what it holds
LULL_API lull_status lull_sleeper_acquire_with(struct lull_sleeper* sleeper,
                                               const lull_acquire_options* options,
                                               lull_lease* lease);

/// How a lull_sleeper_acquire_async ended.
/// @param status LULL_OK, or why there is no lease: then this thread's last error tells more
/// @param lease the receiver's, to be given back when the work is done; empty on a failure
typedef void (*lull_acquired_fn)(void* user, lull_status status, lull_lease lease);

/// Asks for a lease without waiting for it: for event loops. `done` is called exactly once: within
/// this call if awake, else on a thread that serves all such waits of this sleeper and is started
/// at the first of them; under no lock. It must not block, as it holds up the other waits, but not
/// transitions: it posts the lease to whoever works under it. lull_sleeper_destroy ends the waits
/// that are left with LULL_ERROR_CANCELLED.
/// @param options may be null. What it refers to must last until `done` is called, but for `cancel`
/// @return LULL_OK: `done` was called or will be; else it will not be
LULL_API lull_status lull_sleeper_acquire_async(struct lull_sleeper* sleeper,
                                                const lull_acquire_options* options,
                                                lull_acquired_fn done, void* user);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_LEASE_H
