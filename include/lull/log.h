#ifndef LULL_LOG_H
#define LULL_LOG_H

/// @file
/// How the C API hands out log lines. Part of <lull/lull.h>.

#include <lull/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lull_log_level LULL_ENUM_BASE {
  LULL_LOG_DEBUG = 0,
  LULL_LOG_INFO = 1,
  LULL_LOG_WARNING = 2,
  LULL_LOG_ERROR = 3
} lull_log_level;

/// Receives one line without newline; the text is valid during the call. Called by the thread that
/// does what the line is about, several at once, and that thread waits meanwhile: while a line is
/// being written, the sleeper begins no further transition, a transfer does not go on, the end of a
/// child is not told. So it must not block; what may, such as a pipe that nobody reads, takes a
/// queue with a limit that drops the rest. It must not call the object that it was given to.
typedef void (*lull_log_fn)(void* user, lull_log_level level, const char* line);

#ifdef __cplusplus
}
#endif

#endif  // LULL_LOG_H
