#include <lull/lull.h>

#include <stdio.h>

int main(void) {
  lull_registry* registry;
  lull_device* device;
  lull_memory* memory;
  lull_region* weights;
  lull_sleeper* sleeper;
  lull_sleep_plan plan;
  lull_lease work = {0};
  if (lull_registry_shared(&registry) || lull_registry_find(registry, "HOST", &device) ||
      lull_memory_create(NULL, &memory) ||
      lull_memory_allocate(memory, device, 256u << 20, NULL, &weights) ||
      lull_sleeper_create(NULL, &sleeper) || lull_sleeper_manage_memory(sleeper, memory) ||
      lull_sleep_plan_init(&plan, LULL_LEVEL_OFFLOAD) ||
      lull_sleeper_sleep(sleeper, &plan, NULL) ||                      // contents to host memory
      lull_sleeper_acquire(sleeper, 10 * LULL_SECOND, NULL, &work)) {  // wakes
    fprintf(stderr, "%s\n", lull_last_error_message());
    return 1;
  }
  printf("awake again at %p\n", lull_region_address(weights));
  lull_lease_release(&work);
  lull_sleeper_destroy(sleeper);
  lull_region_destroy(weights);
  lull_memory_destroy(memory);
  lull_device_destroy(device);
  lull_registry_destroy(registry);
  return 0;
}
