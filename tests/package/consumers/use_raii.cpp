// A small engine on <lull/raii.hpp>, in C++17 without exceptions and run-time types: weights that
// are loaded again after a sleep, work under leases, clients that give up.

#include <lull/raii.hpp>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <type_traits>
#include <utility>

static_assert(__cplusplus == 201703L, "linking lull changes the dialect");
#ifdef __cpp_exceptions
#error "linking lull turns exceptions on"
#endif
#ifdef __cpp_rtti
#error "linking lull turns run-time types on"
#endif

namespace raii = lull::raii;

static_assert(!std::is_copy_constructible_v<raii::sleeper> &&
              std::is_nothrow_move_constructible_v<raii::sleeper>);
static_assert(!std::is_copy_constructible_v<raii::lease> &&
              std::is_nothrow_move_assignable_v<raii::lease>);
static_assert(!std::is_convertible_v<raii::lease, bool>, "explicit");

namespace {

int failures = 0;

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                          \
    }                                                                      \
  } while (false)

lull_status load(void* user, const lull_refill_target* target) {
  ++*static_cast<int*>(user);
  std::memset(lull_refill_target_address(target), 7, lull_refill_target_size(target));
  return LULL_OK;
}

lull_status refuse(void*, const lull_refill_target*) {
  return LULL_ERROR_IO;
}

/// A load that ends when the client has left.
std::atomic<bool> client_left{false};

lull_status slow(void*, const lull_refill_target* target) {
  while (!client_left) std::this_thread::yield();
  std::memset(lull_refill_target_address(target), 7, lull_refill_target_size(target));
  return LULL_OK;
}

raii::result build(raii::memory& memory, raii::region& weights, raii::sleeper& sleeper,
                   raii::release_clock& releases, int* loads) {
  raii::registry registry;
  raii::device device;
  if (auto done = registry.open_shared(); !done) return done;
  if (auto done = registry.find("host", 0, device); !done) return done;
  if (auto done = memory.create(); !done) return done;
  lull_region_options options;
  lull_region_options_init(&options);
  options.tag = "weights";
  options.refill = load;
  options.refill_user = loads;
  if (auto done = memory.allocate(device, 1u << 20, weights, &options); !done) return done;
  if (auto done = weights.refill(load, loads); !done) return done;
  if (auto done = releases.create(); !done) return done;
  lull_sleeper_options how;
  lull_sleeper_options_init(&how);
  how.releases = releases.get();
  if (auto done = sleeper.create(&how); !done) return done;
  return sleeper.manage(memory);
}

void sleep_and_wake() {
  raii::memory memory;
  raii::region weights;
  raii::sleeper sleeper;
  raii::release_clock releases;
  int loads = 0;
  const raii::result built = build(memory, weights, sleeper, releases, &loads);
  CHECK(built);
  CHECK(std::strcmp(built.message(), lull_status_text(LULL_OK)) == 0);

  raii::report report;
  CHECK(sleeper.sleep(nullptr, &report));
  CHECK(report);
  lull_report_info facts{};
  facts.struct_size = sizeof facts;
  CHECK(lull_report_describe(report.get(), &facts) == LULL_OK && facts.succeeded == 1);
  raii::region_lease early;
  const raii::result refused = weights.acquire(early);
  CHECK(!refused && !early);
  CHECK(refused.status() == LULL_ERROR_NOT_RESIDENT);
  CHECK(std::strstr(refused.message(), "is discarded") != nullptr);
  std::int64_t ago_ns = LULL_UNKNOWN_NS;
  CHECK(releases.last(ago_ns) && ago_ns >= 0);

  raii::lease work;
  CHECK(!work);
  CHECK(sleeper.acquire(work, 10 * LULL_SECOND));
  CHECK(work);
  raii::region_lease held;
  CHECK(weights.acquire(held) && held);
  CHECK(held.size_bytes() == 1u << 20 && static_cast<char*>(held.address())[12345] == 7);
  CHECK(loads == 2);

  // Moved, it is the same lease; given back, there is none.
  raii::lease moved = std::move(work);
  CHECK(moved && !work);
  lull_sleeper_snapshot seen{};
  CHECK(sleeper.observe(seen) && seen.leases == 1);
  raii::lease other;
  CHECK(sleeper.acquire(other));
  other = std::move(moved);
  CHECK(sleeper.observe(seen) && seen.leases == 1);
  other.release();
  other.release();
  CHECK(!other && sleeper.observe(seen) && seen.leases == 0);
  held = raii::region_lease();
  lull_region_info info{};
  CHECK(weights.describe(info) && info.leases == 0);

  // The work keeps one when its request has given up; a look does not count as work.
  raii::lease request;
  raii::lease task;
  CHECK(sleeper.try_acquire(request) && request.share(task));
  request.release();
  CHECK(task && sleeper.observe(seen) && seen.leases == 1);
  task.release();
  CHECK(!request.share(task) && !task);
  {
    raii::lease look;
    CHECK(sleeper.try_acquire(look, LULL_USE_OBSERVE) && look);
  }

  // A wake that fails tells why, in words that outlast later calls.
  CHECK(sleeper.sleep());
  CHECK(weights.set_refill(refuse, nullptr));
  const raii::result failed = sleeper.acquire(other, 10 * LULL_SECOND);
  CHECK(!failed && !other);
  raii::device none;
  CHECK(!raii::registry().find("HOST", none));  // overwrites the thread's last error
  CHECK(std::strstr(failed.message(), "LULL_ERROR_IO") != nullptr);
  CHECK(weights.set_refill(load, &loads));
  CHECK(sleeper.wake(10 * LULL_SECOND));
}

void a_client_that_leaves() {
  raii::memory memory;
  raii::region weights;
  raii::sleeper sleeper;
  raii::release_clock releases;
  int loads = 0;
  CHECK(build(memory, weights, sleeper, releases, &loads));
  CHECK(sleeper.sleep());
  raii::cancel gone;
  CHECK(gone.create());
  CHECK(gone.request());
  raii::lease work;
  const raii::result ended = sleeper.acquire(work, LULL_FOREVER, gone);
  CHECK(ended.status() == LULL_ERROR_CANCELLED && !work);
  CHECK(!sleeper.try_acquire(work) && !work);
  lull_acquire_options how;
  lull_acquire_options_init(&how);
  how.keep_waiting = [](void*) -> std::int32_t {
    client_left = true;
    return 0;
  };
  how.check_every_ns = LULL_MILLISECOND;
  CHECK(sleeper.set_idle_time(LULL_FOREVER));
  CHECK(weights.set_refill(slow, nullptr));
  CHECK(sleeper.acquire(work, how).status() == LULL_ERROR_CANCELLED && !work);
}

void once() {
  static lull_once made;
  raii::registry registry;
  raii::device device;
  CHECK(registry.open_shared());
  CHECK(registry.find("HOST", device));
  int times = 0;
  const auto work = [](void* user) -> lull_status {
    ++*static_cast<int*>(user);
    return LULL_OK;
  };
  const lull_generation* const counter = device.generation_counter();
  device.reset();
  registry.reset();
  CHECK(raii::result(lull_once_call(&made, counter, work, &times)));
  CHECK(raii::result(lull_once_call(&made, counter, work, &times)));
  CHECK(times == 1);
}

void an_engine_with_an_allocator_of_its_own() {
  raii::registry registry;
  raii::memory memory;
  raii::allocator allocator;
  CHECK(registry.open_shared());
  CHECK(memory.create());
  lull_allocator_options options;
  lull_allocator_options_init(&options);
  options.backend = "host";
  CHECK(allocator.create(memory, registry, &options));
  void* const address = lull_allocator_alloc(allocator.get(), 1000, 0);
  CHECK(address != nullptr);
  lull_allocator_free(allocator.get(), address, 1000);
}

}  // namespace

int main() {
  sleep_and_wake();
  a_client_that_leaves();
  once();
  an_engine_with_an_allocator_of_its_own();
  return failures == 0 ? 0 : 1;
}
