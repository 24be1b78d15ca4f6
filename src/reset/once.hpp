#ifndef LULL_RESET_ONCE_HPP
#define LULL_RESET_ONCE_HPP

#include <lull/once.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "vocabulary/fork.hpp"

namespace lull::detail {

/// Where those wait who want what another thread is doing.
struct once_waiting {
  std::mutex mutex;
  std::condition_variable changed;

  static once_waiting& room() {
    // Never destroyed: static objects use it while the process ends.
    static auto& only = *new once_waiting;
    return only;
  }
};

/// Runs `work` unless it has run in the present context; what it throws passes, and it has not run.
/// @throws error (unsupported) in a forked child
template <class Work>
void run_once(lull_once& memory, const lull_generation& where, Work&& work) {
  constexpr std::uint64_t under_way = ~std::uint64_t{0};
  expect_same_process();
  once_waiting& room = once_waiting::room();
  const auto finish = [&](std::uint64_t done_in) {
    const std::lock_guard lock(room.mutex);
    __atomic_store_n(&memory.done_in, done_in, __ATOMIC_RELEASE);
    room.changed.notify_all();
  };
  // Read before the work: should a reset come in between, it has to run again.
  std::uint64_t present = 0;
  {
    std::unique_lock lock(room.mutex);
    while (memory.done_in == under_way) room.changed.wait(lock);
    present = lull_generation_name(&where);
    if (memory.done_in == present) return;
    __atomic_store_n(&memory.done_in, under_way, __ATOMIC_RELAXED);
  }
  try {
    work();
  } catch (...) {
    finish(0);
    throw;
  }
  finish(present);
}

}  // namespace lull::detail

#endif  // LULL_RESET_ONCE_HPP
