#ifndef LULL_C_SLEEPER_H
#define LULL_C_SLEEPER_H

/// @file
/// Sleeping when idle and waking when work arrives (lull/sleeper.hpp). Leases are in lease.h, what
/// sleeps in participant.h. Part of <lull/lull.h>.

#include <lull/c/cancel.h>
#include <lull/c/lease.h>
#include <lull/c/memory.h>
#include <lull/c/participant.h>
#include <lull/c/rebirth.h>
#include <lull/c/report.h>
#include <lull/c/reset.h>
#include <lull/c/settle.h>
#include <lull/c/sleep_plan.h>
#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_sleeper lull_sleeper;

typedef enum lull_sleep_state LULL_ENUM_BASE {
  LULL_STATE_AWAKE = 0,
  LULL_STATE_DRAINING = 1,
  LULL_STATE_SLEEPING = 2,
  LULL_STATE_ASLEEP = 3,
  LULL_STATE_WAKING = 4
} lull_sleep_state;

// --- Options ----------------------------------------------------------------------------------

/// Called after every transition, on the sleeper's thread, when those who waited for it have been
/// told. No further transition begins, and no upkeep, until it returns: be quick. The report is
/// valid during the call.
typedef void (*lull_transition_fn)(void* user, const lull_report* report);

/// Work of the sleeper's participants, handed to lull_sleeper_options::run_on: one piece a
/// transition.
typedef struct lull_transition_work lull_transition_work;
/// Runs it, on the calling thread, and blocks for as long as the participants do. Once: after that,
/// when the sleeper is gone, and for null it does nothing.
LULL_API void lull_transition_work_run(lull_transition_work* work);
/// Gives it back. Unrun it is a refusal, and its transition fails with LULL_ERROR_CANCELLED, with
/// all as it was. Any thread, also when the sleeper is gone.
LULL_API void lull_transition_work_destroy(lull_transition_work* work);

/// Has a piece of work run, for example by posting it to the engine's own loop. Called on the
/// sleeper's thread, under no lock.
/// @param work the receiver's, who runs it if all is well, and destroys it in any case
typedef void (*lull_run_on_fn)(void* user, lull_transition_work* work);

/// How a sleep whose plan resets contexts does that: as lull_reset_options. The log and the release
/// clock are the sleeper's.
typedef struct lull_sleeper_reset_options {
  size_t struct_size;
  int32_t drop;               ///< give up what lives on the devices; default 0: refuse
  int64_t drain_timeout_ns;   ///< above 0; default LULL_UNKNOWN_NS: the sleeper's
  int64_t settle_timeout_ns;  ///< default 2 s
  lull_reset_fn reset;        ///< instead of the module's; default null
  void* reset_user;
} lull_sleeper_reset_options;
LULL_API void lull_sleeper_reset_options_init(lull_sleeper_reset_options* options);

/// What is free on devices, as a callback of the program's says.
typedef struct lull_free_bytes lull_free_bytes;
/// @param device its name
LULL_API lull_status lull_free_bytes_add(lull_free_bytes* into, const char* device, uint64_t bytes);

/// Says what is free on each device in this moment, by lull_free_bytes_add. Called on the sleeper's
/// thread before the process is suspended, and while it is: nothing in it may ask the driver or its
/// management library then. Another status than LULL_OK fails the transition.
typedef lull_status (*lull_free_bytes_fn)(void* user, lull_free_bytes* into);

/// How a sleep whose plan suspends the process does that, and how it is restored.
typedef struct lull_sleeper_suspend_options {
  size_t struct_size;
  lull_free_bytes_fn free_bytes;  ///< default null: `observer` is asked
  void* free_bytes_user;
  /// The program that is asked, and its arguments: it answers each line with the names of devices
  /// and what is free on them. Default none: "lull observe".
  const char* const* observer;
  size_t observer_count;
  int64_t lock_timeout_ns;       ///< above 0; default LULL_UNKNOWN_NS: the sleeper's drain timeout
  uint64_t host_margin_bytes;    ///< host memory that must be left; default 1 GiB
  uint64_t device_margin_bytes;  ///< what must be free on each device; default 256 MiB
  int64_t driver_timeout_ns;     ///< for the driver to save or restore; above 0; default 5 min
} lull_sleeper_suspend_options;
LULL_API void lull_sleeper_suspend_options_init(lull_sleeper_suspend_options* options);

/// What a sleeper has counted.
typedef struct lull_sleep_counters {
  size_t struct_size;
  uint64_t sleeps;
  uint64_t wakes;
  uint64_t failed_sleeps;
  uint64_t failed_wakes;
  uint64_t deepenings;
  uint64_t failed_deepenings;
} lull_sleep_counters;

/// Says what goes over to the next image, at the last moment: no more work is taken in from here
/// on, and who is connected is waited for. Another status than LULL_OK calls the sleep off.
/// @param then the sleeper's counters, with this sleep among them
typedef lull_status (*lull_hand_over_fn)(void* user, const lull_sleep_counters* then,
                                         lull_handover* into);

/// How a sleep whose plan replaces the image of the process does that. The new image makes its
/// sleeper anew, and says that it sleeps: lull_sleeper_begin_asleep.
typedef struct lull_sleeper_rebirth_options {
  size_t struct_size;
  lull_hand_over_fn hand_over;  ///< default null: this program cannot be replaced
  /// Called when there is no next image after hand_over has returned: take work in again. Default
  /// null.
  void (*called_off)(void* user);
  void* user;
  const lull_rebirth_options* how;  ///< default null
} lull_sleeper_rebirth_options;
LULL_API void lull_sleeper_rebirth_options_init(lull_sleeper_rebirth_options* options);

/// What it points to is copied, but for `releases`, which is kept alive; functions, and what they
/// are handed, must last until lull_sleeper_destroy has returned.
typedef struct lull_sleeper_options {
  size_t struct_size;
  /// Sleep after this long without a lease, to within 10 ms. 0: as soon as the last lease comes
  /// back; default LULL_FOREVER: only when told to.
  int64_t idle_time_ns;
  const lull_sleep_plan* plan;              ///< default null: that of LULL_LEVEL_DISCARD
  int64_t drain_timeout_ns;                 ///< above 0; default 10 s
  const lull_sleeper_reset_options* reset;  ///< default null
  /// Watch the idle time, and what participants have to do from time to time, on the sleeper's own
  /// thread; default 0: call lull_sleeper_poll.
  int32_t watch_idle;
  /// Where participants sleep, wake and do their upkeep, so that none of them runs beside a
  /// computation of the engine's loop. Callers that wait for a lease do not wait for the loop: they
  /// give up at their deadlines. The loop itself must not wait for the sleeper, which would wait
  /// for the loop: it asks with lull_sleeper_acquire_async. A loop that ends must destroy what it
  /// has not run; lull_sleeper_destroy takes back what has not begun. Default null: on the
  /// sleeper's own thread.
  lull_run_on_fn run_on;
  void* run_on_user;
  lull_transition_fn on_transition;  ///< default null
  void* on_transition_user;
  lull_release_clock* releases;  ///< gets a mark when a sleep freed memory; default null
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
  /// Instead of idle_time_ns and plan: deeper and deeper sleeps, each after a longer time without a
  /// lease. The first is what a sleep does; from there it goes down without waking. A rung that
  /// fails is tried again later; one that the devices or a participant cannot do is left out until
  /// the next sleep. Copied. Default none.
  const lull_sleep_rung* ladder;
  size_t ladder_count;
  const lull_sleeper_suspend_options* suspend;  ///< at LULL_LEVEL_SUSPEND; default null
  const lull_sleeper_rebirth_options* rebirth;  ///< at LULL_LEVEL_REBIRTH; default null
} lull_sleeper_options;
LULL_API void lull_sleeper_options_init(lull_sleeper_options* options);

// --- The sleeper ------------------------------------------------------------------------------

/// @param options may be null
/// @return LULL_ERROR_INVALID_ARGUMENT also for a ladder with a rung that is not deeper and later
///         than the one before, or with an idle time or a plan beside it
LULL_API lull_status lull_sleeper_create(const lull_sleeper_options* options,
                                         lull_sleeper** sleeper);
/// Ends its threads; a transition under way is cancelled and taken back first, for which this
/// blocks. What is asleep stays asleep. Leases must be back. Not to be called by a callback of the
/// sleeper's.
LULL_API void lull_sleeper_destroy(lull_sleeper* sleeper);

/// Adds memory: its regions sleep as the plan says.
/// @return LULL_ERROR_BUSY when not awake
LULL_API lull_status lull_sleeper_manage_memory(lull_sleeper* sleeper, lull_memory* memory);

/// Says that all participants sleep already, though nobody put them to sleep: how the image of a
/// process begins that was replaced. The first lease wakes, and calls each participant's wake with
/// this plan.
/// @param counters that go on counting from there; may be null
/// @return LULL_ERROR_BUSY when not awake, or leases are out
LULL_API lull_status lull_sleeper_begin_asleep(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                                               const lull_sleep_counters* counters);

typedef struct lull_sleeper_snapshot {
  size_t struct_size;
  lull_sleep_state state;
  uint32_t leases;   ///< out now
  uint32_t waiting;  ///< callers that wait for a lease
  int64_t in_state_ns;
  int64_t idle_ns;      ///< since the last lease came back; 0 while one is out
  uint64_t done_bytes;  ///< of the transfer under way
  uint64_t total_bytes;
  uint64_t sleeps;
  uint64_t wakes;
  uint64_t failed_sleeps;
  uint64_t failed_wakes;
  char plan[64];        ///< of the sleep now, or of the next one
  int32_t deepening;    ///< asleep, and going to a deeper sleep
  uint64_t deepenings;  ///< from one sleep to a deeper one
  uint64_t failed_deepenings;
} lull_sleeper_snapshot;

/// Never waits for a transition, never wakes, leaves the idle time alone.
LULL_API lull_status lull_sleeper_observe(const lull_sleeper* sleeper,
                                          lull_sleeper_snapshot* snapshot);
/// Sleeps now. Blocks until asleep.
/// @param plan may be null: that of the options
/// @param report may be null
LULL_API lull_status lull_sleeper_sleep(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                                        lull_report** report);
/// Goes to a deeper sleep without waking, for whoever needs more of a device. Blocks until it does,
/// after those who wait for a lease. What it does already stays; after a failure it sleeps as
/// before.
/// @param plan may be null: that of the ladder's next rung
/// @param report may be null; without a step where the sleep does all of that already
/// @return LULL_ERROR_BUSY when not asleep; LULL_ERROR_NOT_FOUND when the ladder has no further
///         rung; LULL_ERROR_UNSUPPORTED when the devices, or a participant, cannot
LULL_API lull_status lull_sleeper_deepen(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                                         lull_report** report);
/// Wakes now, without taking a lease. Blocks until awake, as lull_sleeper_acquire.
/// @param cancel may be null
LULL_API lull_status lull_sleeper_wake(lull_sleeper* sleeper, int64_t timeout_ns,
                                       const lull_cancel* cancel);
/// Starts what is due: a sleep, a deeper one, the sweep of graph caches, participants' upkeep.
/// Never blocks.
/// @param started gets whether a sleep, or a deeper one, was; may be null
LULL_API lull_status lull_sleeper_poll(lull_sleeper* sleeper, int32_t* started);
/// How long until lull_sleeper_poll should be called; LULL_FOREVER when there is nothing to wait
/// for.
LULL_API lull_status lull_sleeper_next_deadline(const lull_sleeper* sleeper, int64_t* in_ns);
/// Of a ladder it is the time of the first rung.
/// @param idle_time_ns not below 0; LULL_FOREVER: sleep, and go deeper, only when told to
/// @return LULL_ERROR_INVALID_ARGUMENT also for a time that is not below that of the second rung
LULL_API lull_status lull_sleeper_set_idle_time(lull_sleeper* sleeper, int64_t idle_time_ns);
/// What the last transition did.
/// @return LULL_ERROR_NOT_FOUND before the first
LULL_API lull_status lull_sleeper_last_report(const lull_sleeper* sleeper, lull_report** report);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_SLEEPER_H
