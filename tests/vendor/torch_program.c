/* The allocator for PyTorch as PyTorch has it: loaded by its path, its functions by their names, and the
 * CUDA runtime beside it. Usage: lull_torch_program LIBRARY CUDA_RUNTIME */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { tensors = 5, to_device = 1, to_host = 2 };
static const size_t sizes[tensors] = {64u << 20, 3, 2u << 20, (5u << 20) + 17, 512};

static void* function(void* library, const char* name) {
  void* const found = dlsym(library, name);
  if (found == NULL) {
    fprintf(stderr, "no %s: %s\n", name, dlerror());
    exit(1);
  }
  return found;
}

static void check(int holds, const char* what, const char* why) {
  if (holds) return;
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

int main(int count, char** words) {
  if (count != 3) return 2;
  void* const library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
  check(library != NULL, words[1], library != NULL ? "" : dlerror());
  void* const runtime = dlopen(words[2], RTLD_NOW | RTLD_LOCAL);
  check(runtime != NULL, words[2], runtime != NULL ? "" : dlerror());
  void* (*alloc)(ssize_t, int, void*) = NULL;
  void (*give_back)(void*, ssize_t, int, void*) = NULL;
  int (*sleep_now)(void) = NULL;
  int (*wake)(void) = NULL;
  const char* (*error)(void) = NULL;
  int (*copy)(void*, const void*, size_t, int) = NULL;
  int (*memory_info)(size_t*, size_t*) = NULL;
  *(void**)&alloc = function(library, "lull_torch_alloc");
  *(void**)&give_back = function(library, "lull_torch_free");
  *(void**)&sleep_now = function(library, "lull_torch_sleep");
  *(void**)&wake = function(library, "lull_torch_wake");
  *(void**)&error = function(library, "lull_torch_error");
  *(void**)&copy = function(runtime, "cudaMemcpy");
  *(void**)&memory_info = function(runtime, "cudaMemGetInfo");

  void* made[tensors];
  unsigned char* const host = malloc(sizes[0]);
  for (int i = 0; i < tensors; ++i) {
    made[i] = alloc((ssize_t)sizes[i], 0, NULL);
    check(made[i] != NULL, "alloc", error());
    memset(host, i + 1, sizes[i]);
    check(copy(made[i], host, sizes[i], to_device) == 0, "cudaMemcpy", "failed");
  }
  check(alloc(1, 99, NULL) == NULL, "a device that there is not", "was served");

  size_t awake = 0, asleep = 0, total = 0;
  for (int cycle = 0; cycle < 3; ++cycle) {
    check(memory_info(&awake, &total) == 0, "cudaMemGetInfo", "failed");
    check(sleep_now() == 0, "sleep", error());
    check(memory_info(&asleep, &total) == 0, "cudaMemGetInfo", "failed");
    check(asleep >= awake + (70u << 20), "asleep", "the device's memory is not free");
    check(wake() == 0, "wake", error());
    for (int i = 0; i < tensors; ++i) {
      memset(host, 0, sizes[i]);
      check(copy(host, made[i], sizes[i], to_host) == 0, "cudaMemcpy", "failed");
      for (size_t at = 0; at < sizes[i]; ++at) {
        check(host[at] == i + 1, "after the wake", "a tensor has other contents");
      }
    }
  }
  /* One is freed while it is not there. */
  check(sleep_now() == 0, "sleep", error());
  give_back(made[1], (ssize_t)sizes[1], 0, NULL);
  check(wake() == 0, "wake", error());
  for (int i = 0; i < tensors; ++i) {
    if (i != 1) give_back(made[i], (ssize_t)sizes[i], 0, NULL);
  }
  give_back(NULL, 0, 0, NULL);
  free(host);
  return 0;
}
