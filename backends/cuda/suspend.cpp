#include <lull/backend.hpp>

#include <signal.h>

#include <cerrno>

#include "cuda/own.hpp"

namespace lull::backends {
namespace {

/// States as the driver numbers them (cuda.h, CUprocessState). Those of "checkpointing" and
/// "restoring" came with CUDA 13.4, and in both the process is kept from its GPUs.
lull_gpu_state state_of(int state) noexcept {
  switch (state) {
    case 0: return LULL_GPU_STATE_RUNNING;
    case 2: return LULL_GPU_STATE_SUSPENDED;
    case 3: return LULL_GPU_STATE_LOST;
    default: return LULL_GPU_STATE_LOCKED;
  }
}

bool exists(int pid) noexcept {
  return ::kill(pid, 0) == 0 || errno == EPERM;
}

/// What the driver's codes mean here, which is not what they mean elsewhere (seen with driver 580).
std::pair<lull_status, const char*> meaning_of(CUresult result, int pid) {
  switch (result) {
    case CUDA_ERROR_NOT_INITIALIZED: return {LULL_ERROR_NOT_FOUND, "it does not use a GPU"};
    case CUDA_ERROR_NOT_READY:
      return {LULL_ERROR_TIMED_OUT, "its submitted work did not end within the time"};
    case CUDA_ERROR_NOT_SUPPORTED:
      return {LULL_ERROR_UNSUPPORTED,
              "the driver cannot move something that it has: managed memory, memory that is shared "
              "with other processes (exported, imported, CUDA IPC), or a GPU in parts (MIG, MPS)"};
    case CUDA_ERROR_ILLEGAL_STATE:
      return {LULL_ERROR_BUSY, "it is in another state than that takes"};
    case CUDA_ERROR_OPERATING_SYSTEM:
      if (!exists(pid)) return {LULL_ERROR_NOT_FOUND, "there is no such process"};
      return {LULL_ERROR_BACKEND,
              "the driver cannot reach it: it was lost in an earlier restore, or the right to "
              "trace it lacks (its user's, or CAP_SYS_PTRACE), or its files in /proc"};
    default: return {LULL_OK, nullptr};
  }
}

/// @param what "locked", as in "process 7 cannot be locked"
void check(const cuda_api& api, CUresult result, const char* call, int pid, const char* what) {
  if (result == CUDA_SUCCESS) return;
  const auto [code, reason] = meaning_of(result, pid);
  if (reason == nullptr) return api.check(result, call);
  throw backend_failure(code, call, result,
                        "process " + std::to_string(pid) + " cannot be " + what + ": " + reason);
}

}  // namespace

lull_gpu_state cuda_own::suspend_state(int pid) const {
  int state = 0;
  check(api_, api_.checkpoint_state(pid, &state), api_.checkpoint_state.name, pid, "looked at");
  return state_of(state);
}

void cuda_own::suspend_lock(int pid, std::uint32_t timeout_ms) const {
  cuda_api::lock_arguments arguments{.timeout_ms = timeout_ms};
  check(api_, api_.checkpoint_lock(pid, &arguments), api_.checkpoint_lock.name, pid, "locked");
}

void cuda_own::suspend_save(int pid) const {
  cuda_api::no_arguments none;
  check(api_, api_.checkpoint_save(pid, &none), api_.checkpoint_save.name, pid, "suspended");
}

void cuda_own::suspend_restore(int pid) const {
  cuda_api::no_arguments none;
  check(api_, api_.checkpoint_restore(pid, &none), api_.checkpoint_restore.name, pid, "restored");
}

void cuda_own::suspend_unlock(int pid) const {
  cuda_api::no_arguments none;
  check(api_, api_.checkpoint_unlock(pid, &none), api_.checkpoint_unlock.name, pid, "unlocked");
}

}  // namespace lull::backends
