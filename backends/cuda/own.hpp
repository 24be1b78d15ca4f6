#ifndef LULL_BACKENDS_CUDA_OWN_HPP
#define LULL_BACKENDS_CUDA_OWN_HPP

#include <lull/backend.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/primary_context.hpp"
#include "cuda/api.hpp"
#include "cuda/telemetry.hpp"

namespace lull::backends {

/// CUDA's devices and contexts, while the backend is open.
class cuda_own {
 public:
  /// @param retry after how long a management library that did not start is asked again
  cuda_own(const cuda_api& api, std::chrono::milliseconds retry);

  [[nodiscard]] std::uint32_t device_count() const noexcept {
    return static_cast<std::uint32_t>(devices_.size());
  }
  [[nodiscard]] CUdevice driver_device(std::uint32_t device) const {
    return devices_[device]->driver_device;
  }
  void describe(std::uint32_t device, lull_backend_device& facts) const;
  void observe(std::uint32_t device, lull_backend_memory& out);
  [[nodiscard]] std::vector<lull_backend_process> processes(std::uint32_t device);
  [[nodiscard]] lull_tristate context_alive(std::uint32_t device) const;
  void reset(std::uint32_t device);

  /// The device's primary context, made if there is none. Kept alive from then on, until a reset.
  [[nodiscard]] CUcontext retain(std::uint32_t device) {
    return devices_[device]->primary.retain();
  }

  // What a process has on its GPUs, moved to its host memory and back by the driver (suspend.cpp).
  [[nodiscard]] lull_gpu_state suspend_state(int pid) const;
  void suspend_lock(int pid, std::uint32_t timeout_ms) const;
  void suspend_save(int pid) const;
  void suspend_restore(int pid) const;
  void suspend_unlock(int pid) const;

  /// One that still runs is freed when it has finished (cuda.h, cuGraphExecDestroy).
  void before_graph_destroy() const noexcept {}
  /// Registrations end with the context (measured on an H200: docs/hardware-notes.md).
  void registered(std::uint32_t, void*) const noexcept {}
  void unregistered(std::uint32_t, void*) const noexcept {}
  [[nodiscard]] bool reserve_alone() const noexcept { return false; }
  void creating(std::uint32_t) const noexcept {}
  void reserved(std::uint32_t, void*, std::uint64_t) const noexcept {}
  void released(std::uint32_t, void*) const noexcept {}
  [[nodiscard]] bool is_lost(std::uint32_t, void*) const noexcept { return false; }
  void mapping_at(std::uint32_t, void*) const noexcept {}
  void mapped(std::uint32_t, std::uint64_t, void*, std::uint64_t) const noexcept {}
  void unmapping(std::uint32_t, void*) const noexcept {}
  /// What we hold outlives the context, and then NVML's list does not know whose it is.
  void created(std::uint32_t device, std::uint64_t handle, std::uint64_t bytes);
  void destroyed(std::uint32_t device, std::uint64_t handle) noexcept;

  [[nodiscard]] const cuda_api& api() const noexcept { return api_; }

 private:
  struct device_state {
    device_state(const cuda_api& api, CUdevice device)
        : driver_device(device), primary(api, device) {}

    const CUdevice driver_device;
    primary_context<cuda_api> primary;
    cuda_telemetry::target identity;
    bool integrated = false;
    bool stable_addresses = false;
    bool pools = false;
    bool read_only_registration = false;
    bool slice = false;   ///< of a larger GPU
    bool shared = false;  ///< with other processes, by MPS
    char name[128] = {};

    [[nodiscard]] std::uint64_t held_bytes() const;

    mutable std::mutex held_mutex;                          ///< guards `held`
    std::unordered_map<std::uint64_t, std::uint64_t> held;  ///< bytes by handle
  };

  [[nodiscard]] std::unique_ptr<device_state> inspect(int ordinal) const;
  [[nodiscard]] int attribute(CUdevice device, CUdevice_attribute which) const;
  void ask_runtime(const device_state& device, lull_backend_memory& out) const;

  const cuda_api& api_;
  std::vector<std::unique_ptr<device_state>> devices_;
  cuda_telemetry telemetry_;
};

/// Makes a device's primary context current for this thread.
class cuda_scope : public current_context<cuda_api> {
 public:
  cuda_scope(cuda_own& own, std::uint32_t device)
      : current_context(own.api(), own.retain(device)) {}
};

/// Nothing at all: none of cuMemUnmap, cuMemRelease and cuMemAddressFree lists a missing context
/// among its errors (cuda.h), and their memory belongs to no context (cuCtxDestroy there).
struct cuda_cleanup_scope {
  cuda_cleanup_scope(const cuda_own&, std::uint32_t) noexcept {}
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_CUDA_OWN_HPP
