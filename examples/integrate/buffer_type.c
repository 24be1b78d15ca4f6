// An engine in C11 whose buffers are tables of functions, and lull behind these tables: its weights
// are read again from their file after a sleep, its KV cache is kept in host memory or forgotten,
// and what it computes in is dropped. It is compiled and run with the tests.

#define _XOPEN_SOURCE 700  // files as POSIX has them

#include "buffer_type.h"

#include <lull/lull.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- The back end: everything that knows of lull ------------------------------------------------

// Where bytes of a buffer are in a file.
typedef struct piece {
  size_t offset;
  uint64_t file_offset;
  size_t bytes;
} piece;

typedef struct lull_buffer {
  buffer face;
  lull_device* device;
  lull_region* region;
  int file;  // of the weights; -1: they come from nowhere
  piece* pieces;
  size_t piece_count;
} lull_buffer;

static void lull_buffer_free(buffer* self) {
  lull_buffer* const of = self->context;
  lull_region_destroy(of->region);
  lull_device_destroy(of->device);
  free(of->pieces);
  free(of);
}

static void* lull_buffer_base(buffer* self) {
  return lull_region_address(((lull_buffer*)self->context)->region);
}

static int lull_buffer_copy_in(buffer* self, size_t offset, const void* host, size_t bytes) {
  lull_buffer* const of = self->context;
  char* const at = (char*)lull_region_address(of->region) + offset;
  return lull_device_copy_from_host(of->device, at, host, bytes) == LULL_OK ? 0 : -1;
}

static int lull_buffer_copy_out(buffer* self, size_t offset, void* host, size_t bytes) {
  lull_buffer* const of = self->context;
  const char* const at = (const char*)lull_region_address(of->region) + offset;
  return lull_device_copy_to_host(of->device, host, at, bytes) == LULL_OK ? 0 : -1;
}

static const buffer_ops lull_buffer_ops = {lull_buffer_free, lull_buffer_base, lull_buffer_copy_in,
                                           lull_buffer_copy_out};

// What is written again after a discard: the file's bytes, and zeros where nothing is known of one.
// Also for buffers that hold nothing of a file: without it lull would take what the engine computes
// there for no contents, and the next offload would not copy it.
static lull_status fill_again(void* user, const lull_refill_target* target) {
  static const char zeros[1 << 16];
  lull_buffer* const of = user;
  const uint64_t size = lull_refill_target_size(target);
  for (size_t i = 0; i < of->piece_count; ++i) {
    const piece* const one = &of->pieces[i];
    const lull_status code =
        lull_refill_target_read_file(target, one->offset, of->file, one->file_offset, one->bytes);
    if (code != LULL_OK) return code;
  }
  for (uint64_t done = 0; of->piece_count == 0 && done < size;) {
    const uint64_t step = size - done < sizeof zeros ? size - done : sizeof zeros;
    const lull_status code = lull_refill_target_write(target, done, zeros, step);
    if (code != LULL_OK) return code;
    done += step;
  }
  return LULL_OK;
}

// What the buffers of a type have in common.
typedef struct lull_type_context {
  lull_memory* memory;
  lull_device* device;
  const char* tag;  // what plans speak about
} lull_type_context;

static buffer* lull_buffer_alloc(const buffer_type* type, size_t bytes) {
  const lull_type_context* const in = type->context;
  lull_buffer* const made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  made->face = (buffer){&lull_buffer_ops, bytes, made};
  made->file = -1;
  lull_region_options options;
  lull_region_options_init(&options);
  options.tag = in->tag;
  options.refill = fill_again;  // what it reads is known when tensors have been loaded
  options.refill_user = made;
  if (lull_memory_allocate(in->memory, in->device, bytes, &options, &made->region) != LULL_OK ||
      lull_region_device(made->region, &made->device) != LULL_OK) {
    fprintf(stderr, "no buffer: %s\n", lull_last_error_message());
    lull_buffer_free(&made->face);
    return NULL;
  }
  return &made->face;
}

// Bytes of the buffer are those of a file, which stays open and as it is.
static int lull_buffer_comes_from(buffer* which, size_t offset, int file, uint64_t file_offset,
                                  size_t bytes) {
  lull_buffer* const of = which->context;
  piece* const more = realloc(of->pieces, (of->piece_count + 1) * sizeof *more);
  if (more == NULL) return -1;
  of->pieces = more;
  of->pieces[of->piece_count++] = (piece){offset, file_offset, bytes};
  of->file = file;
  return 0;
}

// --- The engine ---------------------------------------------------------------------------------

enum { tensor_count = 3, tensor_bytes = 300000, kv_bytes = 1 << 20, scratch_bytes = 1 << 16 };

typedef struct engine {
  int file;
  buffer* weights;  // all tensors, one after the other
  buffer* kv;
  buffer* scratch;
  size_t cached_tokens;  // what the KV cache holds, as the engine knows it
} engine;

static size_t aligned(size_t bytes, size_t to) {
  return (bytes + to - 1) / to * to;
}

static int engine_load(engine* self, const buffer_type* weights, const buffer_type* kv,
                       const buffer_type* scratch, const char* path) {
  const size_t stride = aligned(tensor_bytes, weights->alignment);
  self->file = open(path, O_RDONLY | O_CLOEXEC);
  self->weights = weights->alloc(weights, tensor_count * stride);
  self->kv = kv->alloc(kv, kv_bytes);
  self->scratch = scratch->alloc(scratch, scratch_bytes);
  if (self->file < 0 || !self->weights || !self->kv || !self->scratch) return -1;
  char* const staging = malloc(tensor_bytes);
  int failed = staging == NULL;
  for (size_t i = 0; i < tensor_count && !failed; ++i) {
    const off_t at = (off_t)(i * tensor_bytes);
    failed =
        pread(self->file, staging, tensor_bytes, at) != tensor_bytes ||
        self->weights->ops->copy_in(self->weights, i * stride, staging, tensor_bytes) ||
        lull_buffer_comes_from(self->weights, i * stride, self->file, (uint64_t)at, tensor_bytes);
  }
  free(staging);
  return failed ? -1 : 0;
}

static void engine_end(engine* self) {
  buffer* const all[] = {self->weights, self->kv, self->scratch};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    if (all[i] != NULL) all[i]->ops->free(all[i]);
  }
  if (self->file >= 0) close(self->file);
}

static int engine_prefill(engine* self, size_t tokens) {
  char keys[4096];
  memset(keys, 'k', sizeof keys);
  self->cached_tokens = tokens;
  return self->kv->ops->copy_in(self->kv, 0, keys, sizeof keys);
}

// Depends on every weight, and on the cache as far as it is in use.
static uint64_t engine_answer(engine* self) {
  uint64_t sum = self->cached_tokens;
  buffer* const parts[] = {self->weights, self->kv};
  for (size_t p = 0; p < 2; ++p) {
    const size_t bytes = p == 0 ? parts[p]->bytes : self->cached_tokens != 0 ? 4096 : 0;
    unsigned char* const seen = malloc(bytes + 1);
    if (seen == NULL || parts[p]->ops->copy_out(parts[p], 0, seen, bytes) != 0) abort();
    for (size_t i = 0; i < bytes; ++i) sum = sum * 31 + seen[i];
    free(seen);
  }
  return sum;
}

// The table of cached tokens goes when the cache does. Added after the memory, it sleeps before it
// and wakes after it.
static lull_status forget_cells(void* user, const lull_sleep_plan* plan, lull_transition* now) {
  engine* const self = user;
  lull_contents_action action;
  (void)now;
  const lull_status code = lull_eviction_plan_action(&plan->contents, "kv", &action);
  if (code == LULL_OK && action == LULL_CONTENTS_DISCARD) self->cached_tokens = 0;
  return code;
}

static lull_status nothing_to_do(void* user, const lull_sleep_plan* plan, lull_transition* now) {
  (void)user;
  (void)plan;
  (void)now;
  return LULL_OK;
}

// --- Both together ------------------------------------------------------------------------------

typedef struct server {
  lull_registry* registry;
  lull_device* device;
  lull_memory* memory;
  lull_sleeper* sleeper;
  engine model;
} server;

static lull_status server_start(server* self) {
  lull_status code = lull_registry_shared(&self->registry);
  if (code == LULL_OK) code = lull_registry_find(self->registry, "HOST", &self->device);
  if (code == LULL_OK) code = lull_memory_create(NULL, &self->memory);
  if (code == LULL_OK) code = lull_sleeper_create(NULL, &self->sleeper);
  if (code == LULL_OK) code = lull_sleeper_manage_memory(self->sleeper, self->memory);
  if (code != LULL_OK) return code;
  lull_participant cells;
  lull_participant_init(&cells);
  cells.name = "cells";
  cells.sleep = forget_cells;
  cells.wake = nothing_to_do;
  cells.user = &self->model;
  return lull_sleeper_add(self->sleeper, &cells);
}

static void server_end(server* self) {
  lull_sleeper_destroy(self->sleeper);
  engine_end(&self->model);
  lull_memory_destroy(self->memory);
  lull_device_destroy(self->device);
  lull_registry_destroy(self->registry);
}

// Weights are in their file; the cache goes to host memory, or is given up; the rest is worth
// nothing.
static lull_status put_to_sleep(server* self, lull_contents_action kv) {
  const lull_tag_action by_tag[] = {{"weights", LULL_CONTENTS_DISCARD}, {"kv", kv}};
  lull_sleep_plan plan;
  const lull_status code = lull_sleep_plan_init(&plan, LULL_LEVEL_DISCARD);
  if (code != LULL_OK) return code;
  plan.contents = (lull_eviction_plan){LULL_CONTENTS_DISCARD, by_tag, 2};
  return lull_sleeper_sleep(self->sleeper, &plan, NULL);
}

static lull_status wake(server* self) {
  return lull_sleeper_wake(self->sleeper, 10 * LULL_SECOND, NULL);
}

static int write_model(const char* path) {
  FILE* const out = fopen(path, "wb");
  if (out == NULL) return -1;
  for (unsigned i = 0; i < tensor_count * tensor_bytes; ++i)
    putc((int)(i * 2654435761u >> 24), out);
  return fclose(out);
}

static int failed(const char* what) {
  fprintf(stderr, "%s: %s\n", what, lull_last_error_message());
  return 1;
}

static int run(server* self, const char* path) {
  lull_type_context contexts[] = {{self->memory, self->device, "weights"},
                                  {self->memory, self->device, "kv"},
                                  {self->memory, self->device, "compute"}};
  buffer_type types[3];
  for (int i = 0; i < 3; ++i) types[i] = (buffer_type){lull_buffer_alloc, 256, &contexts[i]};
  if (engine_load(&self->model, &types[0], &types[1], &types[2], path) != 0) return failed("load");
  if (engine_prefill(&self->model, 185) != 0) return failed("prefill");
  const uint64_t answer = engine_answer(&self->model);
  void* const base = self->model.weights->ops->base(self->model.weights);

  if (put_to_sleep(self, LULL_CONTENTS_OFFLOAD) != LULL_OK) return failed("sleep");
  if (wake(self) != LULL_OK) return failed("wake");
  const int same = engine_answer(&self->model) == answer &&
                   self->model.weights->ops->base(self->model.weights) == base;

  // A file that is cut short: the wake fails in words, and everything sleeps on until it is whole.
  if (put_to_sleep(self, LULL_CONTENTS_OFFLOAD) != LULL_OK) return failed("second sleep");
  if (truncate(path, 1000) != 0) return failed("truncate");
  const lull_status cut_short = wake(self);
  printf("file cut short: %s\n", lull_last_error_message());
  if (write_model(path) != 0 || wake(self) != LULL_OK) return failed("wake of a whole file");
  const int same_again = engine_answer(&self->model) == answer;

  if (put_to_sleep(self, LULL_CONTENTS_DISCARD) != LULL_OK) return failed("third sleep");
  if (wake(self) != LULL_OK) return failed("third wake");
  const int forgotten = self->model.cached_tokens == 0 && engine_answer(&self->model) != answer;
  if (engine_prefill(&self->model, 185) != 0) return failed("second prefill");
  // What was computed after a discard is contents again, which an offload keeps.
  if (put_to_sleep(self, LULL_CONTENTS_OFFLOAD) != LULL_OK) return failed("fourth sleep");
  if (wake(self) != LULL_OK) return failed("fourth wake");
  const int computed_again = engine_answer(&self->model) == answer;

  printf("answers %s, cache %s and %s\n", same && same_again ? "equal" : "DIFFER",
         forgotten ? "forgotten" : "NOT FORGOTTEN", computed_again ? "computed again" : "LOST");
  return same && same_again && forgotten && computed_again && cut_short == LULL_ERROR_CALLBACK ? 0
                                                                                               : 1;
}

int main(void) {
  char path[] = "/tmp/lull-buffer-type-XXXXXX";
  const int made = mkstemp(path);
  if (made < 0) return 1;
  close(made);
  server self = {.model = {.file = -1}};
  const int code =
      write_model(path) != 0 || server_start(&self) != LULL_OK ? failed("start") : run(&self, path);
  server_end(&self);
  unlink(path);
  return code;
}
