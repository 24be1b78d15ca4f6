// The C counterpart of engine_loop.cpp: an inference engine in C11 that computes on one loop of its
// own, and sleeps when idle. docs/integrating.md shows parts of this file; it is compiled and run
// with the tests.

#include <lull/lull.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#include "task_loop.h"

// --- Stands in for a model: what it answers depends on every one of its weights ------------------

enum { weight_count = 1 << 20 };

typedef struct model {
  unsigned weights[weight_count];
} model;

static model* model_load(void) {
  model* const made = malloc(sizeof *made);
  for (int i = 0; made != NULL && i < weight_count; ++i) made->weights[i] = 3;
  return made;
}

static unsigned model_decode(const model* of, unsigned prompt) {
  for (int i = 0; i < weight_count; ++i) prompt += of->weights[i];
  return prompt;
}

// --- The engine -------------------------------------------------------------------------------

typedef struct engine {
  lull_registry* registry;
  lull_device* host;
  lull_release_clock* releases;
  lull_cancel* stop;  // the server ends
  lull_sleeper* sleeper;
  task_loop* compute;  // everything that touches the model runs here
  model* model;        // touched on the loop only
} engine;

// doc: participant
static lull_status unload(void* user, const lull_sleep_plan* plan, lull_transition* now) {
  engine* const self = user;
  (void)plan;  // lull_eviction_plan_action(&plan->contents, "kv", ...) says what becomes of the KV
  if (self->model == NULL) return LULL_OK;
  free(self->model);
  self->model = NULL;
  lull_transition_add_released(now, self->host, sizeof(model));
  return LULL_OK;
}

static lull_status load(void* user, const lull_sleep_plan* plan, lull_transition* now) {
  engine* const self = user;
  lull_settle_options wait;
  lull_settlement* settled = NULL;
  (void)plan;
  // What others gave up may come back late: wait before anything is measured.
  lull_settle_options_init(&wait);
  wait.releases = self->releases;
  wait.cancel = lull_transition_cancel(now);
  if (lull_devices_settle(&self->host, 1, &wait, &settled) == LULL_OK) {
    lull_settlement_destroy(settled);
  }
  model* const fresh = model_load();  // all or nothing: it may fail,
  if (fresh == NULL) {
    return lull_transition_fail(now, LULL_ERROR_OUT_OF_HOST_MEMORY, "no memory for the weights");
  }
  self->model = fresh;  // and only then anything changes
  return LULL_OK;
}
// doc: end

static lull_status add_model(engine* self) {
  // doc: add
  lull_participant who;
  lull_participant_init(&who);
  who.name = "model";
  who.sleep = unload;
  who.wake = load;
  who.devices = &self->host;
  who.device_count = 1;
  who.user = self;
  return lull_sleeper_add(self->sleeper, &who);
  // doc: end
}

// doc: run_on
static void run_transition(void* work) {
  lull_transition_work_run(work);
  lull_transition_work_destroy(work);
}

static void drop_transition(void* work) {
  lull_transition_work_destroy(work);
}

static void run_on_loop(void* user, lull_transition_work* work) {
  engine* const self = user;
  task_loop_post(self->compute, run_transition, drop_transition, work);
}
// doc: end

static lull_status create_sleeper(engine* self) {
  // doc: options
  lull_sleeper_options options;
  lull_sleeper_options_init(&options);
  options.idle_time_ns = 5 * LULL_MINUTE;
  options.watch_idle = 1;
  options.releases = self->releases;
  options.run_on = run_on_loop;
  options.run_on_user = self;
  return lull_sleeper_create(&options, &self->sleeper);
  // doc: end
}

// --- Requests ---------------------------------------------------------------------------------

// A computation and whoever asked for it hold it together: it may go on when they have given up.
typedef struct job {
  engine* server;
  lull_lease lease;  // the computation's own
  unsigned prompt;
  unsigned answer;
  int status;  // as HTTP has it; 0: not known yet
  int holders;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
} job;

static job* job_create(engine* server, unsigned prompt) {
  job* const made = calloc(1, sizeof *made);
  if (made == NULL) abort();
  made->server = server;
  made->prompt = prompt;
  made->holders = 2;
  pthread_mutex_init(&made->mutex, NULL);
  pthread_cond_init(&made->changed, NULL);
  return made;
}

static void job_let_go(job* of) {
  pthread_mutex_lock(&of->mutex);
  const int left = --of->holders;
  pthread_mutex_unlock(&of->mutex);
  if (left != 0) return;
  pthread_cond_destroy(&of->changed);
  pthread_mutex_destroy(&of->mutex);
  free(of);
}

// The computation's end, whatever came of it: its lease goes back, and its part of the job.
static void job_end(job* of, int status) {
  lull_lease_release(&of->lease);
  pthread_mutex_lock(&of->mutex);
  of->status = status;
  pthread_cond_signal(&of->changed);
  pthread_mutex_unlock(&of->mutex);
  job_let_go(of);
}

static void run_job(void* user) {
  job* const self = user;
  self->answer = model_decode(self->server->model, self->prompt);
  job_end(self, 200);
}

static void drop_job(void* user) {
  job_end(user, 503);
}

static int32_t is_connected(void* user) {
  return atomic_load((atomic_int*)user);
}

// Waits until the job is done, or the client has left.
static int job_wait(job* of, atomic_int* connected, unsigned* answer) {
  pthread_mutex_lock(&of->mutex);
  while (of->status == 0 && is_connected(connected)) {
    struct timespec until;
    timespec_get(&until, TIME_UTC);
    until.tv_nsec += 50000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&of->changed, &of->mutex, &until);
  }
  const int status = of->status != 0 ? of->status : 499;
  *answer = of->answer;
  pthread_mutex_unlock(&of->mutex);
  job_let_go(of);
  return status;
}

static int http_status(lull_status why) {
  switch (why) {
    case LULL_OK: return 200;
    case LULL_ERROR_CANCELLED: return 499;  // the client has left, or the server ends
    case LULL_ERROR_TIMED_OUT: return 504;
    default: return 503;
  }
}

// One request, on a thread of the server's. @return a status as HTTP has it
static int complete(engine* self, unsigned prompt, atomic_int* connected, unsigned* answer) {
  // doc: request
  lull_acquire_options how;
  lull_acquire_options_init(&how);
  how.timeout_ns = 30 * LULL_SECOND;
  how.cancel = self->stop;
  how.keep_waiting = is_connected;
  how.keep_waiting_user = connected;
  lull_lease lease;
  const lull_status code = lull_sleeper_acquire_with(self->sleeper, &how, &lease);  // wakes
  if (code != LULL_OK) {
    fprintf(stderr, "no lease: %s\n", lull_last_error_message());
    return http_status(code);
  }
  // doc: end
  // doc: share
  // The task has a lease of its own: it may go on after this request has given up.
  job* const made = job_create(self, prompt);
  if (lull_lease_share(&lease, &made->lease) != LULL_OK) abort();
  task_loop_post(self->compute, run_job, drop_job, made);
  const int status = job_wait(made, connected, answer);
  lull_lease_release(&lease);
  return status;
  // doc: end
}

// doc: async
static void post_when_awake(void* user, lull_status status, lull_lease lease) {
  job* const self = user;
  if (status != LULL_OK) {
    fprintf(stderr, "no lease: %s\n", lull_last_error_message());
    job_end(self, http_status(status));
    return;
  }
  self->lease = lease;  // the computation's now
  task_loop_post(self->server->compute, run_job, drop_job, self);
}
// doc: end

// The same without a thread that waits for the model: for event loops.
static job* begin(engine* self, unsigned prompt) {
  job* const made = job_create(self, prompt);
  // doc: begin
  lull_acquire_options how;
  lull_acquire_options_init(&how);
  how.timeout_ns = 30 * LULL_SECOND;
  how.cancel = self->stop;
  const lull_status code = lull_sleeper_acquire_async(self->sleeper, &how, post_when_awake, made);
  if (code != LULL_OK) job_end(made, http_status(code));  // it was not called, and will not be
  // doc: end
  return made;
}

// What a scraper asks for. Never wakes, and does not keep the model awake either.
static unsigned answer_for_scraper(engine* self) {
  atomic_int connected = 1;
  unsigned answer = 0;
  // doc: observe
  job* const look = job_create(self, 0);
  if (lull_sleeper_try_acquire(self->sleeper, LULL_USE_OBSERVE, &look->lease) != LULL_OK) {
    job_end(look, 503);  // asleep: answered from what is known without the model
  } else {
    task_loop_post(self->compute, run_job, drop_job, look);
  }
  // doc: end
  return job_wait(look, &connected, &answer) == 200 ? answer : 0;
}

// --- Life of the server -----------------------------------------------------------------------

static int engine_start(engine* self) {
  memset(self, 0, sizeof *self);
  self->compute = task_loop_start();
  if (self->compute == NULL) return 0;
  if (lull_registry_shared(&self->registry) ||
      lull_registry_find(self->registry, "HOST", &self->host) ||
      lull_release_clock_create(&self->releases) || lull_cancel_create(&self->stop) ||
      create_sleeper(self) || add_model(self) ||
      // It starts without a model: the first request loads it.
      lull_sleeper_sleep(self->sleeper, NULL, NULL)) {
    fprintf(stderr, "%s\n", lull_last_error_message());
    return 0;
  }
  return 1;
}

static void engine_end(engine* self) {
  // doc: shutdown
  lull_cancel_request(self->stop);      // whoever waits for a lease is told; then the threads end
  task_loop_end(self->compute);         // what is queued is dropped, and gives its leases back
  lull_sleeper_destroy(self->sleeper);  // a transition that was queued has failed as cancelled
  // doc: end
  task_loop_destroy(self->compute);
  lull_cancel_destroy(self->stop);
  lull_release_clock_destroy(self->releases);
  lull_device_destroy(self->host);
  lull_registry_destroy(self->registry);
  free(self->model);
}

// --- What the test looks at -------------------------------------------------------------------

typedef struct request {
  engine* server;
  unsigned prompt;
  unsigned answer;
  int status;
  atomic_int connected;
  pthread_t thread;
} request;

static void* serve(void* user) {
  request* const self = user;
  self->status = complete(self->server, self->prompt, &self->connected, &self->answer);
  return NULL;
}

static void start(request* which, engine* server, unsigned prompt) {
  which->server = server;
  which->prompt = prompt;
  which->answer = 0;
  which->status = 0;
  atomic_init(&which->connected, 1);
  if (pthread_create(&which->thread, NULL, serve, which) != 0) abort();
}

static void wait_for(void* user) {
  while (!atomic_load((atomic_int*)user)) thrd_sleep(&(struct timespec){0, 1000000}, NULL);
}
static void nothing(void* user) {
  (void)user;
}

// A client that leaves while the model is being loaded: nothing is computed for it.
static int lose_client(engine* server) {
  static atomic_int may_go_on;  // the loop may look at it once more
  request lost;
  if (lull_sleeper_sleep(server->sleeper, NULL, NULL) != LULL_OK) return 0;
  // Holds up the load, and not who waits for it.
  task_loop_post(server->compute, wait_for, nothing, &may_go_on);
  start(&lost, server, 1);
  atomic_store(&lost.connected, 0);
  pthread_join(lost.thread, NULL);
  atomic_store(&may_go_on, 1);
  return lost.status == 499;
}

static int same_answers(engine* server) {
  enum { crowd_size = 8 };
  request crowd[crowd_size];
  atomic_int connected = 1;
  unsigned later = 0;
  job* const event = begin(server, 1);
  for (int i = 0; i < crowd_size; ++i) start(&crowd[i], server, 1);
  int same = job_wait(event, &connected, &later) == 200;
  for (int i = 0; i < crowd_size; ++i) {
    pthread_join(crowd[i].thread, NULL);
    same = same && crowd[i].status == 200 && crowd[i].answer == later;
  }
  return same && later == 1 + 3u * weight_count;
}

int main(void) {
  engine server;
  if (!engine_start(&server)) return 1;
  const unsigned asleep = answer_for_scraper(&server);
  const int same = same_answers(&server);
  lull_sleeper_snapshot seen = {.struct_size = sizeof seen};
  lull_sleeper_observe(server.sleeper, &seen);
  const unsigned awake = answer_for_scraper(&server);
  const int lost = lose_client(&server);
  engine_end(&server);
  printf("answers %s, %u wakes for 9 requests, scraped %u asleep and %u awake, lost client %s\n",
         same ? "equal" : "DIFFER", (unsigned)seen.wakes, asleep, awake,
         lost ? "given up" : "SERVED");
  return same && seen.wakes == 1 && asleep == 0 && awake != 0 && lost ? 0 : 1;
}
