#include "allocator.h"

#include <pthread.h>
#include <stddef.h>

// Made once and kept until the process ends: PyTorch frees its last tensors while the interpreter
// shuts down.
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static lull_memory* memory;
static lull_allocator* allocator;

/// Called with the mutex held. What fails is tried again by the next call.
static lull_status make(void) {
  if (memory == NULL) {
    const lull_status made = lull_memory_create(NULL, &memory);
    if (made != LULL_OK) return made;
  }
  lull_registry* registry = NULL;
  const lull_status found = lull_registry_create(NULL, &registry);
  if (found != LULL_OK) return found;
  lull_allocator_options options;
  lull_allocator_options_init(&options);
  const lull_status made = lull_allocator_create(memory, registry, &options, &allocator);
  lull_registry_destroy(registry);
  return made;
}

static lull_allocator* the_allocator(void) {
  pthread_mutex_lock(&making);
  if (allocator == NULL) (void)make();
  lull_allocator* const made = allocator;
  pthread_mutex_unlock(&making);
  return made;
}

void* lull_torch_alloc(ssize_t bytes, int device, void* stream) {
  (void)stream;
  lull_allocator* const from = the_allocator();
  if (from == NULL || bytes < 0) return NULL;
  return lull_allocator_alloc(from, (uint64_t)bytes, device);
}

void lull_torch_free(void* address, ssize_t bytes, int device, void* stream) {
  (void)device;
  (void)stream;
  if (address == NULL) return;
  lull_allocator_free(the_allocator(), address, (uint64_t)bytes);
}

int lull_torch_sleep(void) {
  if (the_allocator() == NULL) return (int)lull_last_error_status();
  const lull_eviction_plan all = {LULL_CONTENTS_OFFLOAD, NULL, 0};
  return (int)lull_memory_evict(memory, &all, NULL, NULL);
}

int lull_torch_wake(void) {
  if (the_allocator() == NULL) return (int)lull_last_error_status();
  return (int)lull_memory_restore(memory, NULL, 0, NULL, NULL);
}

const char* lull_torch_error(void) {
  return lull_last_error_message();
}
