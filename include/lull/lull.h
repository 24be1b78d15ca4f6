#ifndef LULL_LULL_H
#define LULL_LULL_H

/// @file
/// The C API of lull: one header for each kind of object, all of them included here. What
/// each thing does is said at its counterpart in the C++ headers, which are named; here stands what
/// is particular to C. For C11, and for C++ from C++11 on, with or without exceptions and RTTI.
///
/// One rule for each question
///  - Names. A function is `lull_<noun>_<verb>`; one that reads a property has the property in the
///    verb's place: lull_device_generation. `_describe` fills in the noun's `_info`, `_observe` its
///    `_snapshot`.
///  - Giving back. An object behind a pointer belongs to whoever got the pointer, and is given back
///    by `lull_<noun>_destroy`, whatever made it. What is held for a while, a lease or a pin, is a
///    struct of the caller's, in which zeros hold nothing; it is given back by `_release`, which
///    empties it. Both accept null. Objects refer to what they need, so the order of destruction is
///    free, except that leases come back before their sleeper is destroyed, that what a sleeper
///    manages outlives it, and so does the memory of an allocator.
///  - Enumerators begin with what their type is about: LULL_STATE_AWAKE is a lull_sleep_state.
///    Where the caller hands over a number that is none of them, it is refused by name.
///  - Not known. Where something is not known it is LULL_UNKNOWN, and LULL_UNKNOWN_NS where it is a
///    duration; a bound that is not there is LULL_NO_LIMIT. 0 is always 0. A text that is not there
///    is empty.
///  - Durations are `int64_t` nanoseconds and have names that end in `_ns`, going in and coming
///    out: `10 * LULL_SECOND`. LULL_FOREVER waits without limit, and is how long it takes until
///    what never comes.
///  - Yes and no are `int32_t`: 0 is no, anything else is yes; what comes out is 0 or 1.
///  - Null. A pointer that a function takes must not be null unless its comment says that it may
///    be. A null is LULL_ERROR_INVALID_ARGUMENT, and the message names the parameter. Of a list,
///    the pointer may be null where the count is 0.
///  - Structs that may grow begin with `struct_size`. Those that are filled in by the caller are
///    prepared by their `_init` function, which sets the defaults; for those that lull fills in the
///    caller sets it to sizeof. A smaller one, of an older header, is accepted: what it lacks has
///    its default. A larger one, of a newer header, is accepted as long as what this library does
///    not know is zero.
///  - Failure. Every function that can fail returns a lull_status. Then nothing has changed,
///    outputs are untouched unless their comment says otherwise, and the calling thread's last
///    error tells more (lull_last_error_message).
///  - Texts that are passed in are copied. Texts in results are cut where too long for their field.
///  - Threads. All functions are thread-safe, except that an object must not be destroyed while
///    another thread uses it. No function creates a GPU context or blocks unless its comment says
///    so.
///  - Callbacks return LULL_OK or a failure, which fails the operation with LULL_ERROR_CALLBACK,
///    unless they have a way to say more (lull_transition_fail); `user` is handed to them as it was
///    given, and given back by `release` where a struct has one: once, also when the call that got
///    it fails. They run on the thread that is named, and must not throw or longjmp.

#include <lull/backend.h>
#include <lull/c/allocator.h>
#include <lull/c/arena.h>
#include <lull/c/budget.h>
#include <lull/c/bytes.h>
#include <lull/c/cancel.h>
#include <lull/c/device.h>
#include <lull/c/error.h>
#include <lull/c/lease.h>
#include <lull/c/memory.h>
#include <lull/c/participant.h>
#include <lull/c/process.h>
#include <lull/c/rebirth.h>
#include <lull/c/registry.h>
#include <lull/c/report.h>
#include <lull/c/reset.h>
#include <lull/c/settle.h>
#include <lull/c/sleep_plan.h>
#include <lull/c/sleeper.h>
#include <lull/c/source.h>
#include <lull/c/suspend.h>
#include <lull/c/swap.h>
#include <lull/export.h>
#include <lull/graph_cache.h>
#include <lull/log.h>
#include <lull/once.h>
#include <lull/status.h>
#include <lull/units.h>
#include <lull/version.h>

#endif  // LULL_LULL_H
