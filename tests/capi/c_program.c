/* Uses every part of the C API from C11, against the shared library. */
#include <lull/lull.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int holds, const char* what, int line) {
  if (holds) return;
  fprintf(stderr, "line %d: %s; last error: %s\n", line, what, lull_last_error_message());
  exit(1);
}
/* The condition as text and the line need a macro. */
#define CHECK(condition) check((condition), #condition, __LINE__)

enum { region_bytes = 3 << 20 };

static int refills;
static int sleeps;
static int wakes;
static int transitions;
static int progress_calls;

static lull_status refill(void* user, const lull_refill_target* target) {
  const unsigned char value = *(const unsigned char*)user;
  unsigned char* chunk = malloc(1 << 20);
  CHECK(chunk != NULL);
  memset(chunk, value, 1 << 20);
  for (uint64_t at = 0; at < lull_refill_target_size(target); at += 1 << 20) {
    CHECK(lull_refill_target_write(target, at, chunk, 1 << 20) == LULL_OK);
  }
  CHECK(lull_refill_target_write(target, region_bytes, chunk, 1) == LULL_ERROR_INVALID_ARGUMENT);
  CHECK(strcmp(lull_refill_target_name(target), "wq") == 0);
  free(chunk);
  ++refills;
  return LULL_OK;
}

static lull_status on_sleep(void* user, const lull_sleep_plan* plan, lull_transition* now) {
  (void)user;
  CHECK(plan->struct_size == sizeof *plan && !lull_transition_stop_requested(now));
  ++sleeps;
  return LULL_OK;
}

static lull_status on_wake(void* user, const lull_sleep_plan* plan, lull_transition* now) {
  (void)user;
  lull_contents_action action = LULL_CONTENTS_KEEP;
  CHECK(lull_eviction_plan_action(&plan->contents, "kv", &action) == LULL_OK);
  CHECK(action == (wakes == 0 ? LULL_CONTENTS_OFFLOAD : LULL_CONTENTS_DISCARD));
  CHECK(lull_transition_add_step(now, "load", LULL_MILLISECOND, 1) == LULL_OK);
  ++wakes;
  return LULL_OK;
}

static void on_transition(void* user, const lull_report* report) {
  (void)user;
  lull_report_info summary = {.struct_size = sizeof summary};
  CHECK(lull_report_describe(report, &summary) == LULL_OK);
  CHECK(summary.succeeded);
  ++transitions;
}

static lull_status on_progress(void* user, const char* region, uint64_t done, uint64_t total) {
  (void)user;
  CHECK(region != NULL && done <= total);
  ++progress_calls;
  return LULL_OK;
}

static void use_vocabulary(void) {
  char text[16];
  uint64_t bytes = 0;
  CHECK(lull_version() == LULL_VERSION);
  CHECK(lull_bytes_format(1536, text, sizeof text) == LULL_OK && strcmp(text, "1.5 KiB") == 0);
  CHECK(lull_bytes_parse("2MiB", &bytes) == LULL_OK && bytes == 2u << 20);
  CHECK(lull_bytes_parse("two", &bytes) == LULL_ERROR_INVALID_ARGUMENT);
  CHECK(lull_last_error_status() == LULL_ERROR_INVALID_ARGUMENT);
  CHECK(strstr(lull_last_error_message(), "'two'") != NULL);
  CHECK(strcmp(lull_status_name(LULL_ERROR_BUSY), "LULL_ERROR_BUSY") == 0);
}

static lull_registry* make_registry(void) {
  const lull_setting capacity = {"host", "capacity_bytes", "16MiB"};
  lull_registry_options options;
  lull_registry_options_init(&options);
  options.search = 0;
  options.settings = &capacity;
  options.setting_count = 1;
  lull_registry* registry = NULL;
  CHECK(lull_registry_create(&options, &registry) == LULL_OK);

  lull_module_info module = {.struct_size = sizeof module};
  CHECK(lull_registry_module(registry, 0, &module) == LULL_OK);
  CHECK(strcmp(module.backend, "host") == 0 && module.state == LULL_MODULE_ACTIVE);
  CHECK(lull_registry_module(registry, 1, &module) == LULL_ERROR_NOT_FOUND);
  CHECK(lull_registry_load(registry, "/nonexistent.so", &module) == LULL_OK);
  CHECK(module.state == LULL_MODULE_REFUSED && module.reason[0] != '\0');
  CHECK(lull_registry_unload(registry, "host") == LULL_ERROR_INVALID_ARGUMENT);
  return registry;
}

static lull_device* use_devices(lull_registry* registry) {
  size_t count = 0;
  lull_device* device = NULL;
  CHECK(lull_registry_select(registry, "HOST", NULL, 0, &count) == LULL_OK && count == 1);
  CHECK(lull_registry_select(registry, "host", &device, 1, &count) == LULL_OK);
  lull_device* none = NULL;
  CHECK(lull_registry_find(registry, "CUDA9", &none) == LULL_ERROR_NOT_FOUND && none == NULL);

  lull_device_info info = {.struct_size = sizeof info};
  CHECK(lull_device_describe(device, &info) == LULL_OK);
  CHECK(strcmp(info.name, "HOST") == 0 && (info.capabilities & LULL_CAP_STABLE_ADDRESSES) != 0);

  unsigned char* address = NULL;
  char back[4] = {0};
  CHECK(lull_device_allocate(device, 4096, (void**)&address) == LULL_OK);
  CHECK(lull_device_copy_from_host(device, address, "abc", 4) == LULL_OK);
  CHECK(lull_device_copy_to_host(device, back, address, 4) == LULL_OK);
  CHECK(strcmp(back, "abc") == 0);
  CHECK(lull_device_fill(device, address, 7, 4096) == LULL_OK && address[4095] == 7);
  CHECK(lull_device_deallocate(device, address, 4096) == LULL_OK);

  lull_memory_info memory = {.struct_size = sizeof memory};
  CHECK(lull_device_memory(device, LULL_PROBE_TIMEOUT, &memory) == LULL_OK);
  CHECK(memory.total_bytes == 16u << 20 && memory.used_by_process_bytes == 0);
  CHECK(memory.source == LULL_SOURCE_ACCOUNTING);
  return device;
}

static void expect_filled(const lull_region* region, unsigned char value) {
  lull_region_lease lease = {0};
  CHECK(lull_region_acquire(region, &lease) == LULL_OK);
  CHECK(lease.address == lull_region_address(region));
  CHECK(lease.size_bytes == lull_region_size(region));
  const unsigned char* bytes = lease.address;
  for (uint64_t i = 0; i < lease.size_bytes; ++i) CHECK(bytes[i] == value);
  lull_region_lease_release(&lease);
  lull_region_lease_release(&lease);
  CHECK(lease.address == NULL);
}

static void use_memory(lull_memory* memory, lull_region* region) {
  lull_eviction_plan plan = {.otherwise = LULL_CONTENTS_OFFLOAD};
  lull_transfer_options options;
  lull_transfer_options_init(&options);
  options.backing = LULL_BACKING_MEMFD;
  options.progress = on_progress;
  lull_report* report = NULL;
  CHECK(lull_memory_evict(memory, &plan, &options, &report) == LULL_OK);
  CHECK(progress_calls > 0);
  lull_report_info summary = {.struct_size = sizeof summary};
  lull_step_report step = {.struct_size = sizeof step};
  lull_device_report on_device = {.struct_size = sizeof on_device};
  CHECK(lull_report_describe(report, &summary) == LULL_OK);
  CHECK(strcmp(summary.what, "evict") == 0 && summary.step_count == 2 && summary.device_count == 1);
  CHECK(lull_report_step(report, 0, &step) == LULL_OK && strcmp(step.name, "back up") == 0);
  CHECK(lull_report_step(report, 2, &step) == LULL_ERROR_NOT_FOUND);
  CHECK(lull_report_device(report, 0, &on_device) == LULL_OK);
  CHECK(on_device.copied_bytes == region_bytes && on_device.used_after_bytes == 0);
  lull_report_destroy(report);

  lull_residency residency = LULL_RESIDENCY_RESIDENT;
  CHECK(lull_region_residency(region, &residency) == LULL_OK &&
        residency == LULL_RESIDENCY_OFFLOADED);
  lull_region_lease lease = {0};
  CHECK(lull_region_acquire(region, &lease) == LULL_ERROR_NOT_RESIDENT && lease.address == NULL);

  const char* const tags[] = {"weights"};
  CHECK(lull_memory_restore(memory, tags, 1, NULL, NULL) == LULL_OK);
  expect_filled(region, 5);

  const lull_tag_action discard_weights = {"weights", LULL_CONTENTS_DISCARD};
  lull_eviction_plan by_tag = {.tags = &discard_weights, .tag_count = 1};
  CHECK(lull_memory_evict(memory, &by_tag, NULL, NULL) == LULL_OK);
  CHECK(lull_memory_restore(memory, NULL, 0, NULL, NULL) == LULL_OK);
  expect_filled(region, 5);

  lull_region_info info = {.struct_size = sizeof info};
  CHECK(lull_region_describe(region, &info) == LULL_OK);
  CHECK(strcmp(info.name, "wq") == 0 && strcmp(info.device, "HOST") == 0);
  CHECK(info.address == lull_region_address(region) && info.size_bytes == region_bytes);
  CHECK(lull_memory_region(memory, 0, &info) == LULL_OK);
  CHECK(strcmp(info.tag, "weights") == 0 && info.residency == LULL_RESIDENCY_RESIDENT);
  CHECK(lull_memory_region(memory, 1, &info) == LULL_ERROR_NOT_FOUND);
}

static void use_sleeper(lull_memory* memory, const lull_region* region) {
  lull_sleep_plan plan;
  int32_t supported = 0;
  CHECK(lull_sleep_level_supported(LULL_LEVEL_OFFLOAD, NULL, 0, &supported) == LULL_OK &&
        supported);
  CHECK(lull_sleep_plan_init(&plan, LULL_LEVEL_REBIRTH) == LULL_OK);
  CHECK(lull_sleep_plan_init(&plan, LULL_LEVEL_OFFLOAD) == LULL_OK);

  lull_sleeper_options options;
  lull_sleeper_options_init(&options);
  options.on_transition = on_transition;
  options.idle_time_ns = LULL_MINUTE;
  lull_sleeper* sleeper = NULL;
  CHECK(lull_sleeper_create(&options, &sleeper) == LULL_OK);
  lull_participant who;
  lull_participant_init(&who);
  who.name = "model";
  who.sleep = on_sleep;
  who.wake = on_wake;
  CHECK(lull_sleeper_manage_memory(sleeper, memory) == LULL_OK);
  CHECK(lull_sleeper_add(sleeper, &who) == LULL_OK);
  lull_report* report = NULL;
  CHECK(lull_sleeper_last_report(sleeper, &report) == LULL_ERROR_NOT_FOUND);

  int64_t in_ns = 0;
  int32_t started = 1;
  CHECK(lull_sleeper_next_deadline(sleeper, &in_ns) == LULL_OK);
  CHECK(in_ns > 0 && in_ns <= LULL_MINUTE);
  CHECK(lull_sleeper_poll(sleeper, &started) == LULL_OK && started == 0);

  CHECK(lull_sleeper_sleep(sleeper, &plan, &report) == LULL_OK && sleeps == 1);
  lull_report_destroy(report);
  lull_sleeper_snapshot seen = {.struct_size = sizeof seen};
  CHECK(lull_sleeper_observe(sleeper, &seen) == LULL_OK);
  CHECK(seen.state == LULL_STATE_ASLEEP && seen.sleeps == 1 && strcmp(seen.plan, "offload") == 0);

  lull_lease lease = {0};
  CHECK(lull_sleeper_try_acquire(sleeper, LULL_USE_WORK, &lease) == LULL_ERROR_BUSY);
  CHECK(lease.sleeper == NULL);
  CHECK(lull_sleeper_acquire(sleeper, LULL_FOREVER, NULL, &lease) == LULL_OK && wakes == 1);
  expect_filled(region, 5);
  lull_lease_release(&lease);
  lull_lease_release(&lease);
  CHECK(lull_sleeper_observe(sleeper, &seen) == LULL_OK && seen.leases == 0);

  lull_cancel* cancel = NULL;
  CHECK(lull_cancel_create(&cancel) == LULL_OK && lull_cancel_request(cancel) == LULL_OK);
  CHECK(lull_sleeper_sleep(sleeper, NULL, NULL) == LULL_OK);
  CHECK(lull_sleeper_acquire(sleeper, LULL_FOREVER, cancel, &lease) == LULL_ERROR_CANCELLED);
  lull_cancel_destroy(cancel);
  CHECK(lull_sleeper_wake(sleeper, LULL_MINUTE, NULL) == LULL_OK);
  expect_filled(region, 5);
  CHECK(lull_sleeper_set_idle_time(sleeper, LULL_FOREVER) == LULL_OK);
  CHECK(lull_sleeper_next_deadline(sleeper, &in_ns) == LULL_OK && in_ns == LULL_FOREVER);
  CHECK(lull_sleeper_set_idle_time(sleeper, -1) == LULL_ERROR_INVALID_ARGUMENT);
  lull_sleeper_destroy(sleeper);
  CHECK(transitions == 4);
}

/* A child ends, which marks the clock; then there is something to wait for. */
static void use_processes_and_settle(lull_device* device) {
  lull_release_clock* releases = NULL;
  CHECK(lull_release_clock_create(&releases) == LULL_OK);
  const char* const words[] = {"sh", "-c", "exit 3"};
  lull_process_options options;
  lull_process_options_init(&options);
  options.arguments = words;
  options.argument_count = 3;
  options.releases = releases;
  lull_process* child = NULL;
  CHECK(lull_process_start(&options, &child) == LULL_OK);
  lull_exit_status status;
  CHECK(lull_process_wait(child, LULL_FOREVER, NULL, &status) == LULL_OK);
  CHECK(status.how == LULL_EXIT_EXITED && status.shell_code == 3);
  lull_process_destroy(child);

  lull_settle_options how;
  lull_settle_options_init(&how);
  how.releases = releases;
  how.max_wait_ns = 10 * LULL_SECOND; /* for a machine that is busy */
  lull_settlement* done = NULL;
  CHECK(lull_devices_settle(&device, 1, &how, &done) == LULL_OK);
  lull_settlement_info summary = {.struct_size = sizeof summary};
  CHECK(lull_settlement_describe(done, &summary) == LULL_OK);
  CHECK(summary.status == LULL_SETTLE_SETTLED && summary.device_count == 1);
  lull_settlement_destroy(done);
  lull_release_clock_destroy(releases);
}

static int destroyed_graphs;

static lull_status destroy_graph(void* user, void* graph) {
  CHECK(user == NULL);
  free(graph);
  ++destroyed_graphs;
  return LULL_OK;
}

static lull_status capture_graph(void* user, lull_captured_graph* captured) {
  ++*(int*)user;
  captured->graph = malloc(64);
  captured->bytes = 64;
  return captured->graph != NULL ? LULL_OK : LULL_ERROR_OUT_OF_HOST_MEMORY;
}

static void expect_figures(const lull_graph_cache* cache) {
  lull_graph_stats seen = {.struct_size = sizeof seen};
  CHECK(lull_graph_cache_stats(cache, &seen) == LULL_OK);
  CHECK(seen.captures == 4 && seen.entries == 2 && seen.bytes == 128 && seen.pins == 0);
  CHECK(seen.evicted_for_entries == 2 && strcmp(seen.name, "decode") == 0);
}

static void use_graphs(void) {
  lull_graph_driver driver = {.struct_size = sizeof driver, .destroy = destroy_graph};
  lull_graph_cache_options options;
  lull_graph_cache_options_init(&options);
  options.driver = &driver;
  options.name = "decode";
  options.limits.entries = 2;
  lull_graph_cache* cache = NULL;
  CHECK(lull_graph_cache_create(&options, &cache) == LULL_OK);

  int captures = 0;
  lull_graph_pin pin = {0};
  for (uint64_t batch = 1; batch <= 4; ++batch) {
    const lull_graph_key key = {.low = batch};
    for (int step = 0; step < 2; ++step) {
      CHECK(lull_graph_cache_get_or_capture(cache, key, capture_graph, &captures, NULL, &pin) ==
            LULL_OK);
      CHECK(pin.graph != NULL);
      lull_graph_pin_release(&pin);
    }
  }
  CHECK(captures == 4 && destroyed_graphs == 2);
  const lull_graph_key first = {.low = 1};
  CHECK(lull_graph_cache_find(cache, first, &pin) == LULL_OK && pin.graph == NULL);
  expect_figures(cache);

  lull_sleeper* sleeper = NULL;
  CHECK(lull_sleeper_create(NULL, &sleeper) == LULL_OK);
  CHECK(lull_sleeper_manage_graphs(sleeper, cache, 10 * LULL_SECOND) == LULL_OK);
  CHECK(lull_sleeper_sleep(sleeper, NULL, NULL) == LULL_OK && destroyed_graphs == 4);
  lull_sleeper_destroy(sleeper);
  lull_graph_cache_destroy(cache);
  CHECK(destroyed_graphs == captures);
}

int main(void) {
  use_vocabulary();
  lull_registry* registry = make_registry();
  lull_device* device = use_devices(registry);

  lull_memory* memory = NULL;
  CHECK(lull_memory_create(NULL, &memory) == LULL_OK);
  unsigned char value = 5;
  lull_region_options options;
  lull_region_options_init(&options);
  options.tag = "weights";
  options.name = "wq";
  options.refill = refill;
  options.refill_user = &value;
  lull_region* region = NULL;
  CHECK(lull_memory_allocate(memory, device, region_bytes, &options, &region) == LULL_OK);
  CHECK(lull_region_refill(region, refill, &value) == LULL_OK);

  lull_region* too_large = NULL;
  CHECK(lull_memory_allocate(memory, device, 64u << 20, NULL, &too_large) ==
        LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  lull_vendor_failure failure = {.struct_size = sizeof failure};
  CHECK(lull_last_error_vendor(&failure) == LULL_OK && strcmp(failure.device, "HOST") == 0);

  use_memory(memory, region);
  use_sleeper(memory, region);
  use_processes_and_settle(device);
  use_graphs();
  CHECK(refills >= 2);

  lull_region_destroy(region);
  lull_memory_destroy(memory);
  lull_device_destroy(device);
  lull_registry_destroy(registry);
  puts("ok");
  return 0;
}
