#ifndef LULL_C_BUDGET_H
#define LULL_C_BUDGET_H

/// @file
/// Several models on the devices of a machine, by measured bytes: who comes in, who has to leave
/// for it, and who waits how long (lull/budget.hpp). Part of <lull/lull.h>.
///
///     lull_budget_ticket* ticket;
///     if (lull_budget_admit(budget, "llama", 30 * LULL_SECOND, NULL, &ticket) != LULL_OK) {
///       return refuse(lull_last_error_message());  // with the sum for each device that is short
///     }
///     if (lull_budget_ticket_must_load(ticket)) {
///       load_model();
///       lull_budget_ticket_confirm(ticket, NULL, 0);
///     }
///     answer_with_model();
///     lull_budget_ticket_destroy(ticket);

#include <lull/c/cancel.h>
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

/// Knows the devices and what models hold on them: lull::budget.
typedef struct lull_budget lull_budget;
/// Leave to use a model; first, perhaps, to load it: lull::budget_ticket. May outlive the budget.
/// One thread at a time.
typedef struct lull_budget_ticket lull_budget_ticket;

/// Bytes on a device, which is named. Goes in arrays, and so never grows.
typedef struct lull_device_bytes {
  const char* device;
  uint64_t bytes;
} lull_device_bytes;

// --- Models -----------------------------------------------------------------------------------

/// A depth to which a model can be put away, and what it still holds then. Goes in arrays, and so
/// never grows.
typedef struct lull_budget_level {
  const char* name;
  const lull_device_bytes* left;
  size_t left_count;
} lull_budget_level;

typedef struct lull_budget_model {
  size_t struct_size;
  const char* name;  ///< not empty
  /// What it holds when it is ready: an estimate. Default none: what it was last measured at.
  const lull_device_bytes* need;
  size_t need_count;
  /// Shallow first; the last must leave least. Default none, which is one that is named "unload"
  /// and leaves nothing.
  const lull_budget_level* levels;
  size_t level_count;
  int32_t priority;          ///< the larger goes first; default 0
  int32_t pinned;            ///< never put away to make room; default 0
  int64_t min_residence_ns;  ///< not put away before it was ready for so long; default 0
  int64_t wake_time_ns;      ///< from each level until that was measured; default 1 s
} lull_budget_model;
LULL_API void lull_budget_model_init(lull_budget_model* model);

typedef enum lull_model_state LULL_ENUM_BASE {
  LULL_MODEL_STATE_UNLOADED = 0,
  LULL_MODEL_STATE_ASLEEP = 1,
  LULL_MODEL_STATE_LOADING = 2,
  LULL_MODEL_STATE_READY = 3,
  LULL_MODEL_STATE_LEAVING = 4
} lull_model_state;

// --- What a budget calls ----------------------------------------------------------------------

/// A call of one of the functions below, for what they have to say. Valid during that call, and on
/// its thread.
typedef struct lull_budget_call lull_budget_call;

/// Says why a function fails, and is what it returns then: as lull_transition_fail.
/// @param status LULL_ERROR_...; anything else counts as LULL_ERROR_CALLBACK
/// @param why may be null: the words of this thread's last error, for calls of lull that failed
/// @return `status`
LULL_API lull_status lull_budget_call_fail(lull_budget_call* call, lull_status status,
                                           const char* why);
/// What a device says is used of it, by everybody together; of a lull_budget_probe_fn.
LULL_API lull_status lull_budget_call_add_reading(lull_budget_call* call, const char* device,
                                                  uint64_t used_bytes);

/// A model that has to leave. What lies beyond its struct_size is not there.
typedef struct lull_budget_eviction {
  size_t struct_size;
  const char* model;
  const char* level;              ///< of its levels
  size_t depth;                   ///< the place of the level among them
  const lull_device_bytes* gain;  ///< what should come back
  size_t gain_count;
  const char* why;  ///< for whom, and the sums of the devices that are short
} lull_budget_eviction;

/// Puts a model away, and returns when that is done: budget_options::evict. A failure means that
/// the model is as it was before.
/// @param what valid during the call
typedef lull_status (*lull_budget_evict_fn)(void* user, const lull_budget_eviction* what,
                                            lull_budget_call* call);
/// Waits until what came free is really back, as lull_devices_settle does with these expectations.
typedef lull_status (*lull_budget_settle_fn)(void* user, const lull_settle_expectation* expected,
                                             size_t expected_count, lull_budget_call* call);
/// Asks the devices, and says for each what it answers (lull_budget_call_add_reading). After a
/// failure the old figures stay.
typedef lull_status (*lull_budget_probe_fn)(void* user, lull_budget_call* call);

/// Work of a budget: calls of the functions above, and what is done with their answers.
typedef struct lull_budget_work lull_budget_work;
/// Runs it, on the calling thread, and blocks for as long as these functions do. Once: after that,
/// and for null, it does nothing.
LULL_API void lull_budget_work_run(lull_budget_work* work);
/// Gives it back. One that was not run is run by this: a model would be leaving for ever.
LULL_API void lull_budget_work_destroy(lull_budget_work* work);
/// Has a piece of work run, for example by a pool of threads. Under no lock.
/// @param work the receiver's
typedef void (*lull_budget_run_fn)(void* user, lull_budget_work* work);

// --- A budget ---------------------------------------------------------------------------------

/// A device that models share. Goes in arrays, and so never grows.
typedef struct lull_budget_device {
  const char* name;
  uint64_t capacity_bytes;
  uint64_t margin_bytes;  ///< kept free; LULL_UNKNOWN: 1 GiB
  double margin_share;    ///< of the capacity, 0 to 1; the larger of both counts
} lull_budget_device;

/// What it points to is copied. What `user` is must last until `release` is called.
typedef struct lull_budget_options {
  size_t struct_size;
  const lull_budget_device* devices;
  size_t device_count;
  lull_budget_evict_fn evict;    ///< must be set
  lull_budget_settle_fn settle;  ///< default null: what `evict` gave up is back when it returns
  lull_budget_probe_fn probe;    ///< default null: there are no other programs
  lull_budget_run_fn run_on;     ///< default null: each time on a thread of its own
  void* user;                    ///< of these four
  /// Called once when nothing will call them any more: by lull_budget_destroy, or by a
  /// lull_budget_create that fails, except where the struct itself is null or of no size. Default
  /// null.
  void (*release)(void* user);
  int64_t max_wait_ns;         ///< above 0, as the other spans; default 30 s
  uint32_t max_overtakes;      ///< default 8
  int64_t patience_ns;         ///< default 30 s
  int64_t retry_after_ns;      ///< default 5 s
  int64_t look_every_ns;       ///< default 1 s
  const char* estimates_file;  ///< default null: what was measured is kept nowhere
  lull_log_level log_threshold;
  lull_log_fn log;
  void* log_user;
} lull_budget_options;
LULL_API void lull_budget_options_init(lull_budget_options* options);

/// Calls `probe`, on this thread.
LULL_API lull_status lull_budget_create(const lull_budget_options* options, lull_budget** budget);
/// Ends all waits with LULL_ERROR_CANCELLED, and waits for callbacks under way. Nobody may be in
/// lull_budget_admit.
LULL_API void lull_budget_destroy(lull_budget* budget);

/// @param model copied
LULL_API lull_status lull_budget_add(lull_budget* budget, const lull_budget_model* model);
/// Replaces what is said of a known model: lull::budget::change.
/// @param model copied
/// @return LULL_ERROR_BUSY for what cannot be changed while the model is where it is
LULL_API lull_status lull_budget_change(lull_budget* budget, const lull_budget_model* model);
/// Forgets a model that is unloaded.
/// @return LULL_ERROR_BUSY when it is not, is still used, or somebody waits for it
LULL_API lull_status lull_budget_remove(lull_budget* budget, const char* model);
/// Puts away a model that nobody uses or waits for, as any other that leaves. Returns when that has
/// begun.
/// @param depth of its levels, as in lull_budget_eviction
/// @param begun may be null; gets 0 for one that is used, waited for, loading, leaving, or as deep
LULL_API lull_status lull_budget_put_away(lull_budget* budget, const char* model, size_t depth,
                                          int32_t* begun);
/// A model has ended by itself: lull::budget::lost.
/// @param begun may be null; gets 0 for one that loads, leaves, or is unloaded
LULL_API lull_status lull_budget_lost(lull_budget* budget, const char* model, int32_t* begun);
/// Ends all waits for a model with LULL_ERROR_CANCELLED.
LULL_API lull_status lull_budget_withdraw(lull_budget* budget, const char* model);
/// What a model holds, as measured while it is ready, or asleep: lull::budget::correct.
LULL_API lull_status lull_budget_correct(lull_budget* budget, const char* model,
                                         const lull_device_bytes* holds, size_t hold_count);

// --- Coming in --------------------------------------------------------------------------------

/// Leave to use a model. Blocks until it has it, at most `timeout_ns`.
/// @param cancel may be null
/// @return LULL_ERROR_OUT_OF_DEVICE_MEMORY: it can never fit; LULL_ERROR_TIMED_OUT;
///         LULL_ERROR_CANCELLED; LULL_ERROR_NOT_FOUND
LULL_API lull_status lull_budget_admit(lull_budget* budget, const char* model, int64_t timeout_ns,
                                       const lull_cancel* cancel, lull_budget_ticket** ticket);

/// How a lull_budget_admit_async ended. Must not block.
/// @param status LULL_OK, or why there is no ticket: then this thread's last error tells more
/// @param ticket the receiver's; null on a failure
typedef void (*lull_budget_admitted_fn)(void* user, lull_status status, lull_budget_ticket* ticket);
/// The same without a thread: `done` is called exactly once, under no lock, perhaps within this
/// call. Between events timeouts are looked at by lull_budget_tick alone.
/// @param cancel may be null; ends the wait on the thread that requests it
/// @return LULL_OK: `done` was called or will be; else it will not be
LULL_API lull_status lull_budget_admit_async(lull_budget* budget, const char* model,
                                             int64_t timeout_ns, const lull_cancel* cancel,
                                             lull_budget_admitted_fn done, void* user);

/// Whether its holder has to load the model, and to confirm. 0 for null.
LULL_API int32_t lull_budget_ticket_must_load(const lull_budget_ticket* ticket);
/// The model's name, which lives as long as the ticket. Empty for null.
LULL_API const char* lull_budget_ticket_model(const lull_budget_ticket* ticket);
/// What the load may take of a device, besides what the model holds already.
LULL_API lull_status lull_budget_ticket_granted(const lull_budget_ticket* ticket,
                                                const char* device, uint64_t* bytes);
/// The model is loaded; the ticket stays, as a lease on it. Does nothing where it need not load.
/// @param holds may be null, with a count of 0: not known, and the estimate counts. What it really
///        holds; devices that are not named: nothing
LULL_API lull_status lull_budget_ticket_confirm(lull_budget_ticket* ticket,
                                                const lull_device_bytes* holds, size_t hold_count);
/// The work is done; or, unconfirmed, the load was given up and the model is as before.
LULL_API void lull_budget_ticket_destroy(lull_budget_ticket* ticket);

/// Does what has become due.
LULL_API lull_status lull_budget_tick(lull_budget* budget);
/// How long until lull_budget_tick has something to do, if nothing happens before.
/// @param in_ns 0: now; LULL_FOREVER: for nothing that is known
LULL_API lull_status lull_budget_next_tick(const lull_budget* budget, int64_t* in_ns);
/// Calls `probe`, on this thread, and makes room where other programs took it.
LULL_API lull_status lull_budget_refresh(lull_budget* budget);

// --- Looking ----------------------------------------------------------------------------------

typedef enum lull_plan_outcome LULL_ENUM_BASE {
  LULL_PLAN_OUTCOME_PLANNED = 0,
  LULL_PLAN_OUTCOME_BUSY = 1,
  LULL_PLAN_OUTCOME_IMPOSSIBLE = 2
} lull_plan_outcome;

/// What would be done to let a model in: lull::budget_preview.
typedef struct lull_budget_plan lull_budget_plan;

typedef struct lull_budget_plan_info {
  size_t struct_size;
  lull_plan_outcome outcome;
  size_t eviction_count;
  char words[1024];  ///< the sums of the devices that are short
} lull_budget_plan_info;

/// Nothing is done.
LULL_API lull_status lull_budget_preview(const lull_budget* budget, const char* model,
                                         lull_budget_plan** plan);
LULL_API lull_status lull_budget_plan_describe(const lull_budget_plan* plan,
                                               lull_budget_plan_info* info);
/// Evictions by index, least missed first.
/// @param eviction points to what lives as long as the plan
/// @return LULL_ERROR_NOT_FOUND for an index past the end
LULL_API lull_status lull_budget_plan_eviction(const lull_budget_plan* plan, size_t index,
                                               lull_budget_eviction* eviction);
LULL_API void lull_budget_plan_destroy(lull_budget_plan* plan);

/// A budget at one moment: lull::budget_snapshot.
typedef struct lull_budget_view lull_budget_view;

typedef struct lull_budget_view_info {
  size_t struct_size;
  size_t device_count;
  size_t model_count;
  uint64_t loads;             ///< confirmed, since it was created, as the others
  uint64_t given_up;          ///< loads that were not
  uint64_t evictions;         ///< carried out
  uint64_t failed_evictions;  ///< refused by `evict`
  uint64_t refused;           ///< could never fit
  uint64_t timed_out;
  uint64_t corrected;  ///< loads that held more or less than estimated
} lull_budget_view_info;

typedef struct lull_budget_device_info {
  size_t struct_size;
  const char* name;  ///< lives as long as the view
  uint64_t capacity_bytes;
  uint64_t margin_bytes;
  uint64_t foreign_bytes;  ///< other programs, and what nobody can account for
  uint64_t held_bytes;     ///< by models, those on their way in and out included
} lull_budget_device_info;

typedef struct lull_budget_model_info {
  size_t struct_size;
  const char* name;  ///< lives as long as the view, as the other texts and lists
  lull_model_state state;
  const char* level;               ///< that it sleeps at; empty while it does not
  const lull_device_bytes* holds;  ///< now
  size_t hold_count;
  const lull_device_bytes* estimate;  ///< what it is expected to hold when ready
  size_t estimate_count;
  int32_t measured;      ///< whether the estimate comes from a load
  uint32_t leases;       ///< tickets out
  uint32_t waiting;      ///< callers that wait for it
  int64_t wake_time_ns;  ///< from where it is; while it does not sleep: from its first level
  int32_t priority;
  int32_t pinned;
  int64_t kept_for_ns;  ///< how long it is not put away yet: its minimum residence
  int64_t idle_ns;      ///< since it was last used; LULL_UNKNOWN_NS: never was
} lull_budget_model_info;

LULL_API lull_status lull_budget_observe(const lull_budget* budget, lull_budget_view** view);
LULL_API lull_status lull_budget_view_describe(const lull_budget_view* view,
                                               lull_budget_view_info* info);
/// Devices by index.
/// @return LULL_ERROR_NOT_FOUND for an index past the end, as the next
LULL_API lull_status lull_budget_view_device(const lull_budget_view* view, size_t index,
                                             lull_budget_device_info* device);
/// Models by index.
LULL_API lull_status lull_budget_view_model(const lull_budget_view* view, size_t index,
                                            lull_budget_model_info* model);
LULL_API void lull_budget_view_destroy(lull_budget_view* view);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_BUDGET_H
