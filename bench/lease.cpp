// What it costs to mark work in flight while awake, and to look whether something was done in the
// present context of a device, beside what a server would write by hand.

#include <lull/clock.hpp>
#include <lull/context.hpp>
#include <lull/lull.h>
#include <lull/registry.hpp>
#include <lull/sleeper.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "comparison.hpp"

namespace {

// --- Leases --------------------------------------------------------------------------------------

lull::sleeper& shared_sleeper() {
  static lull::sleeper instance;
  return instance;
}

lull_sleeper* shared_c_sleeper() {
  static lull_sleeper* const instance = [] {
    lull_sleeper* made = nullptr;
    if (lull_sleeper_create(nullptr, &made) != LULL_OK) std::abort();
    return made;
  }();
  return instance;
}

void sleeper_lease(benchmark::State& state) {
  lull::sleeper& sleeper = shared_sleeper();
  for (auto _ : state) {
    const auto lease = sleeper.acquire();
    benchmark::DoNotOptimize(&lease);
  }
}

void c_lease(benchmark::State& state) {
  lull_sleeper* const sleeper = shared_c_sleeper();
  for (auto _ : state) {
    lull_lease lease{};
    if (lull_sleeper_acquire(sleeper, LULL_FOREVER, nullptr, &lease) != LULL_OK) std::abort();
    benchmark::DoNotOptimize(&lease);
    lull_lease_release(&lease);
  }
}

/// One that cannot be had: what an observer pays while everything sleeps.
void c_no_lease(benchmark::State& state) {
  static lull_sleeper* const sleeper = [] {
    lull_sleeper* made = nullptr;
    if (lull_sleeper_create(nullptr, &made) != LULL_OK ||
        lull_sleeper_sleep(made, nullptr, nullptr) != LULL_OK) {
      std::abort();
    }
    return made;
  }();
  for (auto _ : state) {
    lull_lease lease{};
    benchmark::DoNotOptimize(lull_sleeper_try_acquire(sleeper, LULL_USE_OBSERVE, &lease));
  }
}

/// Work holds it shared, a sleep would hold it exclusively. Knows nothing of idle time.
void shared_mutex(benchmark::State& state) {
  static std::shared_mutex mutex;
  for (auto _ : state) {
    const std::shared_lock lock(mutex);
    benchmark::DoNotOptimize(&lock);
  }
}

/// The same with the time when work last ended, which an idle time is counted from.
void shared_mutex_and_time(benchmark::State& state) {
  static std::shared_mutex mutex;
  static std::atomic<lull::duration::rep> last_active{0};
  for (auto _ : state) {
    const std::shared_lock lock(mutex);
    benchmark::DoNotOptimize(&lock);
    last_active.store(lull::steady_clock().coarse_now().time_since_epoch().count(),
                      std::memory_order_relaxed);
  }
}

/// A counter under a mutex; a sleep would wait on the condition until it is zero.
void mutex_and_condition(benchmark::State& state) {
  static std::mutex mutex;
  static std::condition_variable drained;
  static bool asleep = false;
  static std::uint64_t in_flight = 0;
  for (auto _ : state) {
    {
      std::unique_lock lock(mutex);
      drained.wait(lock, [] { return !asleep; });
      ++in_flight;
    }
    benchmark::ClobberMemory();
    const std::lock_guard lock(mutex);
    if (--in_flight == 0) drained.notify_all();
  }
}

/// One more lease beside one that is held.
void share(benchmark::State& state) {
  lull::sleeper& sleeper = shared_sleeper();
  const auto held = sleeper.acquire();
  for (auto _ : state) {
    const auto lease = sleeper.share(held);
    benchmark::DoNotOptimize(&lease);
  }
}

/// Everything about the sleeper, as a metrics endpoint asks for it.
void observe(benchmark::State& state) {
  const lull::sleeper& sleeper = shared_sleeper();
  for (auto _ : state) benchmark::DoNotOptimize(sleeper.observe());
}

void c_observe(benchmark::State& state) {
  lull_sleeper* const sleeper = shared_c_sleeper();
  for (auto _ : state) {
    lull_sleeper_snapshot seen{};
    seen.struct_size = sizeof seen;
    if (lull_sleeper_observe(sleeper, &seen) != LULL_OK) std::abort();
    benchmark::DoNotOptimize(&seen);
  }
}

// --- Once per context ----------------------------------------------------------------------------

void set_up() {
  static int times = 0;
  benchmark::DoNotOptimize(++times);
}

/// The flag that an engine has, which a reset makes wrong.
void bare_flag(benchmark::State& state) {
  static std::atomic<bool> done{false};
  for (auto _ : state) {
    if (!done.load(std::memory_order_acquire)) {
      set_up();
      done.store(true, std::memory_order_release);
    }
    benchmark::ClobberMemory();
  }
}

void once_per_context(benchmark::State& state) {
  static lull::once_per_context done;
  const lull::device device = lull::registry::shared().find("HOST");
  for (auto _ : state) {
    done.call(device, set_up);
    benchmark::ClobberMemory();
  }
}

void c_once(benchmark::State& state) {
  static lull_once done;
  const lull::device device = lull::registry::shared().find("HOST");
  const lull_generation* const counter = &device.generation_counter();
  const auto work = [](void*) {
    set_up();
    return LULL_OK;
  };
  for (auto _ : state) {
    if (lull_once_call(&done, counter, work, nullptr) != LULL_OK) std::abort();
    benchmark::ClobberMemory();
  }
}

// -------------------------------------------------------------------------------------------------

void add(const char* name, void (*body)(benchmark::State&), int threads = 1) {
  benchmark::RegisterBenchmark(name, body)
      ->Threads(threads)
      ->UseRealTime()
      ->Repetitions(9)
      ->ReportAggregatesOnly(false)
      ->DisplayAggregatesOnly(true);
}

}  // namespace

int main(int argc, char** argv) {
  // glibc leaves the atomics out of a mutex while a process has one thread; a server never has.
  std::promise<void> done;
  std::thread second_thread([&done] { done.get_future().wait(); });
  for (const int threads : {1, 2}) {
    add("lease/lull", sleeper_lease, threads);
    add("lease/lull_c", c_lease, threads);
    add("lease/lull_share", share, threads);
    add("lease/shared_mutex", shared_mutex, threads);
    add("lease/shared_mutex_and_time", shared_mutex_and_time, threads);
    add("lease/mutex_and_condition", mutex_and_condition, threads);
  }
  add("observe/lull", observe);
  add("observe/lull_c", c_observe);
  add("observe/lull_c_no_lease_while_asleep", c_no_lease);
  for (const int threads : {1, 2}) {
    add("once/once_per_context", once_per_context, threads);
    add("once/lull_once", c_once, threads);
    add("once/atomic_flag", bare_flag, threads);
  }
  const int code = bench::run(argc, argv, "ns");
  done.set_value();
  second_thread.join();
  return code;
}
