// What it costs to mark work in flight while awake, beside what a server would write by hand.

#include <lull/lull.h>
#include <lull/sleeper.hpp>

#include <condition_variable>
#include <cstdint>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "comparison.hpp"

namespace {

lull::sleeper& shared_sleeper() {
  static lull::sleeper instance;
  return instance;
}

void sleeper_lease(benchmark::State& state) {
  lull::sleeper& sleeper = shared_sleeper();
  for (auto _ : state) {
    const auto lease = sleeper.acquire();
    benchmark::DoNotOptimize(&lease);
  }
}

/// The same from C.
void sleeper_lease_c(benchmark::State& state) {
  static lull_sleeper* const sleeper = [] {
    lull_sleeper* made = nullptr;
    lull_sleeper_create(nullptr, &made);
    return made;
  }();
  for (auto _ : state) {
    lull_lease lease;
    lull_sleeper_acquire(sleeper, LULL_FOREVER, nullptr, &lease);
    benchmark::DoNotOptimize(&lease);
    lull_lease_release(&lease);
  }
}

/// One that cannot be had: what an observer pays while everything sleeps.
void no_lease_c(benchmark::State& state) {
  static lull_sleeper* const sleeper = [] {
    lull_sleeper* made = nullptr;
    lull_sleeper_create(nullptr, &made);
    lull_sleeper_sleep(made, nullptr, nullptr);
    return made;
  }();
  for (auto _ : state) {
    lull_lease lease;
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

void add(const char* name, void (*body)(benchmark::State&), int threads) {
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
    add("lease/lull_c", sleeper_lease_c, threads);
    add("lease/lull_c_none_while_asleep", no_lease_c, threads);
    add("lease/shared_mutex", shared_mutex, threads);
    add("lease/mutex_and_condition", mutex_and_condition, threads);
  }
  const int code = bench::run(argc, argv, "ns");
  done.set_value();
  second_thread.join();
  return code;
}
