#ifndef LULL_UNITS_H
#define LULL_UNITS_H

/// @file
/// Figures in the C API: their units, and what stands for "not known" and "without limit". Part of
/// <lull/lull.h>.
///
/// Durations are `int64_t` nanoseconds and have names that end in `_ns`. They are lengths, never
/// negative; a time span of 292 years and more is LULL_FOREVER.

#include <stdint.h>

/// Nanoseconds in a microsecond, a millisecond, a second and a minute: `10 * LULL_SECOND`.
#define LULL_MICROSECOND INT64_C(1000)
#define LULL_MILLISECOND INT64_C(1000000)
#define LULL_SECOND INT64_C(1000000000)
#define LULL_MINUTE INT64_C(60000000000)

/// Going in: without limit, however long it takes. Coming out: at no time.
#define LULL_FOREVER INT64_MAX

/// Stands for "not known" in every count of bytes and of other things. Unknown is never reported as
/// 0.
#define LULL_UNKNOWN UINT64_MAX

/// The same for durations.
#define LULL_UNKNOWN_NS INT64_C(-1)

/// The same for a progress, which else is 0 to 1.
#define LULL_UNKNOWN_PROGRESS (-1.0)

/// Stands for "no bound" where a count or a number of bytes is a bound.
#define LULL_NO_LIMIT UINT64_MAX

#endif  // LULL_UNITS_H
