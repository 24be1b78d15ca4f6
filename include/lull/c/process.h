#ifndef LULL_C_PROCESS_H
#define LULL_C_PROCESS_H

/// @file
/// Children that stop when told to, with all that they have forked (lull/process.hpp). Part of
/// <lull/lull.h>.

#include <lull/c/cancel.h>
#include <lull/c/device.h>
#include <lull/c/settle.h>
#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_process lull_process;

typedef enum lull_process_state LULL_ENUM_BASE {
  LULL_PROCESS_LOADING = 0,
  LULL_PROCESS_READY = 1,
  LULL_PROCESS_SLEEPING = 2,
  LULL_PROCESS_AWAKE = 3,
  LULL_PROCESS_STOPPED = 4
} lull_process_state;

/// The child's side: tells the parent in which state this process is. Blocks for at most 100 ms.
/// @param progress 0 to 1; NaN or below 0, as LULL_UNKNOWN_PROGRESS is: none
/// @param written gets whether it was written, which without such a parent it is not; may be null
LULL_API lull_status lull_parent_notify(lull_process_state state, double progress,
                                        int32_t* written);

typedef enum lull_exit_kind LULL_ENUM_BASE {
  LULL_EXIT_EXITED = 0,
  LULL_EXIT_SIGNALLED = 1,
  LULL_EXIT_UNKNOWN = 2
} lull_exit_kind;

/// lull::exit_status. Part of other structs, and so never grows.
typedef struct lull_exit_status {
  lull_exit_kind how;
  int32_t value;  ///< the exit code, or the number of the signal
  int32_t core_dumped;
  int32_t shell_code;  ///< as shells say it: the exit code, 128 + the signal, 255 when unknown
} lull_exit_status;

typedef struct lull_stop_options {
  size_t struct_size;
  int32_t signal;        ///< default SIGTERM
  int64_t grace_ns;      ///< 0: killed at once; default 10 s
  int64_t kill_wait_ns;  ///< above 0; default 5 s
  /// Called with the process id before a kill, on a thread of its own; default null. When it has
  /// not returned in time it is left behind, so `user` must not end.
  lull_status (*before_kill)(void* user, int32_t id);
  void* before_kill_user;
  int64_t before_kill_timeout_ns;  ///< above 0; default 5 s
} lull_stop_options;
LULL_API void lull_stop_options_init(lull_stop_options* options);

/// What one of the child's standard streams is.
typedef enum lull_stdio LULL_ENUM_BASE {
  LULL_STDIO_INHERIT = 0,  ///< that of this process
  LULL_STDIO_NULL = 1,     ///< /dev/null
  LULL_STDIO_PIPE = 2      ///< a pipe: lull_process_take_pipe
} lull_stdio;

/// Goes in arrays, and so never grows.
typedef struct lull_variable {
  const char* name;
  const char* value;  ///< null: removed
} lull_variable;

/// A line of the child. `progress` is LULL_UNKNOWN_PROGRESS when it said none.
typedef void (*lull_process_event_fn)(void* user, lull_process_state state, double progress);
/// A line that was skipped. `text` is its beginning, any bytes, `text_size` of them.
typedef void (*lull_rejected_line_fn)(void* user, const char* reason, const char* text,
                                      size_t text_size, uint64_t line_size);

typedef struct lull_process_options {
  size_t struct_size;
  const char* const* arguments;  ///< the program, then its arguments
  size_t argument_count;
  const lull_variable* environment;  ///< on top of this process's; default none
  size_t environment_count;
  int32_t inherit_environment;     ///< default 1
  const char* directory;           ///< where it starts; default null: here
  lull_stdio input;                ///< default LULL_STDIO_NULL
  lull_stdio output;               ///< default LULL_STDIO_INHERIT
  lull_stdio errors;               ///< default LULL_STDIO_INHERIT
  int32_t state_pipe;              ///< default 1
  lull_process_event_fn on_event;  ///< on the child's thread, as the others; default null
  void* on_event_user;
  lull_rejected_line_fn on_rejected;  ///< default null
  void* on_rejected_user;
  const lull_stop_options* stopping;  ///< default null: its defaults
  const char* pid_directory;          ///< default null: none
  /// The kernel kills the child when this process ends, however that ends; default 0.
  int32_t end_with_parent;
  lull_release_clock* releases;  ///< gets marks when the child has ended; default null
  /// Where the child has memory, which is what is marked, with how much comes back where the device
  /// can tell; default none: it is not known, and the mark counts for every device.
  lull_device* const* devices;
  size_t device_count;
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_process_options;
LULL_API void lull_process_options_init(lull_process_options* options);

typedef struct lull_process_snapshot {
  size_t struct_size;
  int32_t id;
  int32_t ended;
  lull_exit_status status;        ///< when it has ended
  int32_t has_event;              ///< whether it has said anything
  lull_process_state last_state;  ///< what it said last
  double last_progress;           ///< LULL_UNKNOWN_PROGRESS: none
  uint64_t events;
  uint64_t rejected_lines;
} lull_process_snapshot;

typedef struct lull_stop_result {
  size_t struct_size;
  lull_exit_status status;
  int32_t killed;
  int64_t elapsed_ns;
} lull_stop_result;

/// Starts a child; returns when the program runs.
/// @return LULL_ERROR_NOT_FOUND: no such program or directory; LULL_ERROR_IO
LULL_API lull_status lull_process_start(const lull_process_options* options,
                                        lull_process** process);
/// Kills what still runs, without grace. Blocks for at most kill_wait_ns and what before_kill may
/// take.
LULL_API void lull_process_destroy(lull_process* process);
LULL_API lull_status lull_process_observe(const lull_process* process,
                                          lull_process_snapshot* snapshot);

typedef enum lull_standard_stream LULL_ENUM_BASE {
  LULL_STANDARD_INPUT = 0,
  LULL_STANDARD_OUTPUT = 1,
  LULL_STANDARD_ERRORS = 2
} lull_standard_stream;

/// The parent's end of a standard stream that is a pipe; the caller closes it.
/// @param descriptor gets -1, as from POSIX, when it is no pipe or was taken before
LULL_API lull_status lull_process_take_pipe(lull_process* process, lull_standard_stream which,
                                            int32_t* descriptor);
/// Blocks until the child has ended, at most `timeout_ns`.
/// @param cancel may be null
/// @param status may be null
/// @return LULL_ERROR_TIMED_OUT; LULL_ERROR_CANCELLED; LULL_ERROR_BUSY: called from its callback
LULL_API lull_status lull_process_wait(lull_process* process, int64_t timeout_ns,
                                       const lull_cancel* cancel, lull_exit_status* status);
/// Asks, waits for the grace period, kills. Blocks.
/// @param options may be null: those of the start
/// @param result may be null
LULL_API lull_status lull_process_stop(lull_process* process, const lull_stop_options* options,
                                       lull_stop_result* result);
/// Sends a signal to the child and what it has forked.
/// @param sent gets 0 when it has ended; may be null
LULL_API lull_status lull_process_signal(lull_process* process, int32_t number, int32_t* sent);

/// Stops the children that a crashed parent left behind, as lull_process_stop does, and removes
/// their pid files. Blocks. Goes on with the others when one cannot be stopped.
/// @param options may be null
/// @param releases gets a mark for every device if any had to be stopped; may be null
/// @param stopped gets how many had to be stopped, also on a failure; may be null
/// @return LULL_OK, or the first failure
LULL_API lull_status lull_orphans_stop(const char* pid_directory, const lull_stop_options* options,
                                       lull_release_clock* releases, size_t* stopped);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_PROCESS_H
