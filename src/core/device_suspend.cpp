#include <lull/device.hpp>

#include "core/device_state.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

namespace lull {

namespace op = detail::op;

// Past the gate: they are about processes, and about all devices of one.

gpu_state device::suspend_state(std::int64_t pid) const {
  lull_gpu_state state = LULL_GPU_STATE_RUNNING;
  detail::call(*state_, op::suspend_state, pid, &state);
  return static_cast<gpu_state>(detail::raw(state));
}

void device::suspend_lock(std::int64_t pid, std::chrono::milliseconds timeout) const {
  // The vendors take 0 for "no timeout", and 32 bits.
  if (timeout.count() < 1 || timeout.count() > UINT32_MAX) {
    detail::fail(status::invalid_argument, "{}: a timeout of {} ms for the work of process {}",
                 name(), timeout.count(), pid);
  }
  detail::call(*state_, op::suspend_lock, pid, static_cast<std::uint32_t>(timeout.count()));
}

void device::suspend_save(std::int64_t pid) const {
  detail::call(*state_, op::suspend_save, pid);
}

void device::suspend_restore(std::int64_t pid) const {
  detail::call(*state_, op::suspend_restore, pid);
}

void device::suspend_unlock(std::int64_t pid) const {
  detail::call(*state_, op::suspend_unlock, pid);
}

void device::checkpoint_process(std::int64_t pid, std::chrono::milliseconds timeout) const {
  const gpu_state before = suspend_state(pid);
  if (before == gpu_state::suspended) return;
  if (before != gpu_state::locked) suspend_lock(pid, timeout);
  try {
    suspend_save(pid);
  } catch (const error&) {
    try {
      suspend_unlock(pid);
    } catch (const error&) {  // the first failure is the one to report
    }
    throw;
  }
}

}  // namespace lull
