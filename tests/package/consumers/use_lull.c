/* Used as an outsider would: from the installed headers and library alone. */

#include <lull/lull.h>

#include <stdio.h>

#define REGION_BYTES ((uint64_t)64 * 1024)

static int sleep_and_wake(lull_sleeper* sleeper) {
  lull_lease lease;
  if (lull_sleeper_sleep(sleeper, NULL, NULL) != LULL_OK) return 1;
  if (lull_sleeper_acquire(sleeper, LULL_FOREVER, NULL, &lease) != LULL_OK) return 1;
  lull_lease_release(&lease);
  return 0;
}

int main(void) {
  lull_registry* registry = NULL;
  lull_device* device = NULL;
  lull_memory* memory = NULL;
  lull_region* region = NULL;
  lull_sleeper* sleeper = NULL;
  int failed = 1;

  if (lull_version() != LULL_VERSION) {
    fprintf(stderr, "headers %d, library %d\n", LULL_VERSION, lull_version());
    return 1;
  }
  if (lull_registry_create(NULL, &registry) == LULL_OK &&
      lull_registry_find(registry, "HOST", &device) == LULL_OK &&
      lull_memory_create(NULL, &memory) == LULL_OK &&
      lull_memory_allocate(memory, device, REGION_BYTES, NULL, &region) == LULL_OK &&
      lull_sleeper_create(NULL, &sleeper) == LULL_OK &&
      lull_sleeper_manage_memory(sleeper, memory) == LULL_OK) {
    failed = sleep_and_wake(sleeper);
  }
  if (failed) fprintf(stderr, "%s\n", lull_last_error_message());

  lull_sleeper_destroy(sleeper);
  lull_region_destroy(region);
  lull_memory_destroy(memory);
  lull_device_destroy(device);
  lull_registry_destroy(registry);
  if (!failed) printf("lull %s\n", lull_version_string());
  return failed;
}
