#ifndef LULL_C_SUSPEND_H
#define LULL_C_SUSPEND_H

/// @file
/// Any process off its GPUs and back (lull/suspend.hpp). Part of <lull/lull.h>.

#include <lull/backend.h>
#include <lull/c/device.h>
#include <lull/c/process.h>
#include <lull/export.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lull_suspend_step LULL_ENUM_BASE {
  LULL_SUSPEND_LOCKED = 0,
  LULL_SUSPEND_SAVED = 1,
  LULL_SUSPEND_RESTORED = 2,
  LULL_SUSPEND_UNLOCKED = 3
} lull_suspend_step;

/// Told of every step, on the caller's thread. `bytes` is LULL_UNKNOWN where none were moved, or
/// nobody knows how many.
typedef void (*lull_suspend_progress_fn)(void* user, lull_suspend_step step, int32_t pid,
                                         uint64_t bytes, int64_t elapsed_ns);

typedef struct lull_suspend_options {
  size_t struct_size;
  int32_t tree;        ///< with all its descendants that use a GPU; default 0
  int64_t timeout_ns;  ///< for the work that was submitted; 1 ms to a day; default 10 s
  /// Where it is written down, for other programs of this user; default null: nowhere.
  const char* directory;
  uint64_t device_bytes;                 ///< what they have on devices; default LULL_UNKNOWN
  uint64_t host_margin_bytes;            ///< host memory that must be left; default 1 GiB
  lull_suspend_progress_fn on_progress;  ///< default null
  void* on_progress_user;
} lull_suspend_options;
LULL_API void lull_suspend_options_init(lull_suspend_options* options);

typedef struct lull_resume_options {
  size_t struct_size;
  int32_t tree;                  ///< with all its descendants that are suspended; default 0
  int64_t timeout_ns;            ///< for others that suspend or resume; default 10 s
  const char* directory;         ///< where it was written down; default null: nowhere
  uint64_t device_bytes;         ///< what it needs, where nothing is known; default LULL_UNKNOWN
  uint64_t device_margin_bytes;  ///< what must be free beside that; default 256 MiB
  lull_suspend_progress_fn on_progress;  ///< default null
  void* on_progress_user;
} lull_resume_options;
LULL_API void lull_resume_options_init(lull_resume_options* options);

/// A process that is suspended. Goes in arrays, and so never grows.
typedef struct lull_suspended_process {
  int32_t pid;
  int32_t recorded;       ///< whether lull suspended it, and wrote it down
  int32_t by_pid;         ///< who did
  uint32_t by_user;       ///< and the user id
  int64_t since_unix_ns;  ///< when, since 1970; LULL_UNKNOWN_NS: not known
  uint64_t device_bytes;  ///< what it had on all devices; LULL_UNKNOWN
  uint64_t host_bytes;    ///< how much its host memory grew by; LULL_UNKNOWN
  lull_gpu_state state;   ///< suspended, locked or lost
  char command[64];       ///< its name
} lull_suspended_process;

/// Suspends any process of this machine. Blocks for as long as the driver takes (1.4 to 2.6 GB/s);
/// creates no context. After a failure all run as before, or the message says which does not.
/// @param devices those that it may have memory on
/// @param options may be null
/// @param count gets how many processes were suspended; may be null
/// @return LULL_ERROR_NOT_FOUND: no such process, or it uses no GPU; LULL_ERROR_UNSUPPORTED;
///         LULL_ERROR_BUSY: suspended or locked already; LULL_ERROR_TIMED_OUT;
///         LULL_ERROR_OUT_OF_HOST_MEMORY; LULL_ERROR_IO: the right to trace it lacks
LULL_API lull_status lull_pid_suspend(lull_device* const* devices, size_t device_count, int32_t pid,
                                      const lull_suspend_options* options, size_t* count);
/// Resumes a process that lull_pid_suspend suspended, or another program. Blocks for as long as
/// the driver takes (4 to 6 GB/s). What it had must be free, which is made sure of.
/// @param options may be null
/// @return LULL_ERROR_OUT_OF_DEVICE_MEMORY: suspended as before; LULL_ERROR_NOT_FOUND: it is not
///         suspended, or has ended; LULL_ERROR_BACKEND: it is lost, or still locked
LULL_API lull_status lull_pid_resume(lull_device* const* devices, size_t device_count, int32_t pid,
                                     const lull_resume_options* options);
/// The processes that are suspended, by id. Blocks for at most a second a process, should a driver
/// not answer.
/// @param directory where they were written down; may be null
/// @param processes gets an entry for each; room for `capacity` of them
/// @param count gets how many there are, which may be more than were written
LULL_API lull_status lull_suspended_list(lull_device* const* devices, size_t device_count,
                                         const char* directory, lull_suspended_process* processes,
                                         size_t capacity, size_t* count);

/// Suspends a child, and with options->tree what it has started. Its devices are those of its
/// options.
/// @param options may be null
/// @return as lull_pid_suspend
LULL_API lull_status lull_process_suspend(lull_process* process,
                                          const lull_suspend_options* options);
/// Brings back what lull_process_suspend took off the GPUs.
/// @param options may be null
/// @return as lull_pid_resume
LULL_API lull_status lull_process_resume(lull_process* process, const lull_resume_options* options);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_SUSPEND_H
