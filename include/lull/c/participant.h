#ifndef LULL_C_PARTICIPANT_H
#define LULL_C_PARTICIPANT_H

/// @file
/// What sleeps and wakes with a sleeper, and what it is told and can say meanwhile
/// (lull/sleeper.hpp). Part of <lull/lull.h>.
///
///     static lull_status load(void* user, const lull_sleep_plan* plan, lull_transition* now) {
///       struct server* self = user;
///       struct model* fresh = model_load(self->path);
///       if (fresh == NULL) return lull_transition_fail(now, LULL_ERROR_IO, "no such model");
///       self->model = fresh;
///       return LULL_OK;
///     }

#include <lull/c/cancel.h>
#include <lull/c/device.h>
#include <lull/c/sleep_plan.h>
#include <lull/export.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lull_sleeper;

/// A transition under way, as one participant sees it: lull::transition. Valid during the call that
/// it is handed to. On the thread of that call, unless it is said that any may call.
typedef struct lull_transition lull_transition;

/// Says why a participant's function fails, and is what it returns then:
/// `return lull_transition_fail(now, LULL_ERROR_IO, "model.gguf: no such file");`. Whoever waits
/// for the transition gets this status, and these words after the participant's name.
/// @param status LULL_ERROR_...; anything else counts as LULL_ERROR_CALLBACK
/// @param why may be null: the words of this thread's last error, for calls of lull that failed
/// @return `status`
LULL_API lull_status lull_transition_fail(lull_transition* transition, lull_status status,
                                          const char* why);

/// Whether the sleeper is being destroyed: long work should be taken back then, and fail with
/// LULL_ERROR_CANCELLED. Any thread. 0 for null.
LULL_API int32_t lull_transition_stop_requested(const lull_transition* transition);
/// The same as an object, to be handed to what waits: settling, transfers, children. Any thread;
/// not to be destroyed. Null for null.
LULL_API const lull_cancel* lull_transition_cancel(const lull_transition* transition);

/// How far it has come, for lull_sleeper_observe. Any thread.
LULL_API lull_status lull_transition_set_progress(lull_transition* transition, uint64_t done_bytes,
                                                  uint64_t total_bytes);

/// @name For the transition's report. They can fail for want of memory only, which a participant
/// may ignore.
/// @{
/// Memory of a device was given up by other means than lull's, for example by unloading a model.
/// The sleeper's release clock gets a mark for the device when the sleep succeeds.
/// @param bytes how much; LULL_UNKNOWN: not known
LULL_API lull_status lull_transition_add_released(lull_transition* transition,
                                                  const lull_device* device, uint64_t bytes);
/// A step that took so long.
/// @param bytes what it moved or released; 0: nothing
LULL_API lull_status lull_transition_add_step(lull_transition* transition, const char* name,
                                              int64_t elapsed_ns, uint64_t bytes);
/// What went wrong without making the transition fail. It is logged as a warning too.
LULL_API lull_status lull_transition_add_problem(lull_transition* transition, const char* words);
/// @}

/// Puts something to sleep, or wakes it. All or nothing: after a failure everything is as before
/// the call.
/// @param plan valid during the call; of the sleep, and at a wake of the sleep that it wakes from.
///        What lies beyond its struct_size is not there.
/// @param now valid during the call
typedef lull_status (*lull_participant_fn)(void* user, const lull_sleep_plan* plan,
                                           lull_transition* now);

/// Takes something that sleeps by `from` deeper, or takes that back. All or nothing. Both plans are
/// valid during the call.
/// @param to no shallower than `from` in anything
typedef lull_status (*lull_participant_deepen_fn)(void* user, const lull_sleep_plan* from,
                                                  const lull_sleep_plan* to, lull_transition* now);

/// Something that sleeps and wakes with the sleeper: lull::participant. Its functions run on the
/// sleeper's own thread, or where lull_sleeper_options::run_on has them run, one call at a time and
/// under no lock; `sleep` and `wake` with no lease out. Of the sleeper they may call
/// lull_sleeper_observe only: anything that waits would wait for itself, and is refused
/// (LULL_ERROR_BUSY).
typedef struct lull_participant {
  size_t struct_size;
  const char* name;           ///< for reports and errors; not empty
  lull_participant_fn sleep;  ///< must be set, as `wake`
  lull_participant_fn wake;   ///< also called to take back a sleep when a later participant failed
  void* user;
  /// Called once when nothing will call the others any more: by lull_sleeper_destroy, or by a
  /// lull_sleeper_add that fails, except where the struct itself is null or of no size. Default
  /// null.
  void (*release)(void* user);
  /// The devices that it uses. A plan that resets contexts (LULL_LEVEL_RESET) resets those of all
  /// participants, once all of them sleep. Default none.
  lull_device* const* devices;
  size_t device_count;
  /// How long until `upkeep` is due: 0: now; LULL_FOREVER: not for now. Asked when the participant
  /// is added, on that thread; after each wake and each upkeep, on the thread of these. Default
  /// null, as `upkeep`: nothing ever is.
  int64_t (*next_upkeep)(void* user);
  /// What has to be done from time to time while awake, such as giving up what was idle for too
  /// long. Leases may be out, and be taken meanwhile. A failure is logged. Not more often than
  /// every 10 ms. Called with lull_sleeper_options::watch_idle, or after lull_sleeper_poll.
  lull_status (*upkeep)(void* user);
  /// Goes from one sleep to a deeper one, without waking: gives up what `to` gives up and `from`
  /// did not, but for what could not be taken back. Default null: it cannot, and the sleep stays as
  /// it is.
  lull_participant_deepen_fn deepen;
  /// Takes that back, because what came after it failed. Default null: there is nothing to do.
  lull_participant_deepen_fn undo_deepen;
  /// All have gone deeper: gives up what was kept for taking it back. A failure is told as a
  /// problem. Not called where the process is suspended. Default null.
  lull_participant_fn deepened;
} lull_participant;
LULL_API void lull_participant_init(lull_participant* participant);

/// Adds a participant, which then sleeps and wakes with this sleeper. They sleep in the reverse
/// order of being added, and wake in the forward order.
/// @param participant copied
/// @return LULL_ERROR_BUSY when not awake
LULL_API lull_status lull_sleeper_add(struct lull_sleeper* sleeper,
                                      const lull_participant* participant);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_PARTICIPANT_H
