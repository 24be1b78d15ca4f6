#ifndef LULL_BACKENDS_HIP_OWN_HPP
#define LULL_BACKENDS_HIP_OWN_HPP

#include <lull/backend.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "hip/api.hpp"
#include "hip/telemetry.hpp"

namespace lull::backends {

/// HIP's devices, while the backend is open.
class hip_own {
 public:
  hip_own(const hip_api& api, std::filesystem::path sysfs);

  [[nodiscard]] std::uint32_t device_count() const noexcept {
    return static_cast<std::uint32_t>(devices_.size());
  }
  [[nodiscard]] int driver_device(std::uint32_t device) const noexcept {
    return static_cast<int>(device);
  }
  void describe(std::uint32_t device, lull_backend_device& facts) const;
  void observe(std::uint32_t device, lull_backend_memory& out);

  [[nodiscard]] std::vector<lull_backend_process> processes(std::uint32_t device) const;

  /// HIP's own answer is always "active". So: yes after we have used the device; else whether the
  /// kernel driver says that this process holds more there than the last reset left.
  [[nodiscard]] lull_tristate context_alive(std::uint32_t device);
  void reset(std::uint32_t device);

  /// hipGraphExecDestroy returns before the memory is free, and crashes when the graph still runs
  /// (ROCm/pytorch pull request 1455): wait for the device first.
  void before_graph_destroy() const;

  /// A reset leaves registrations alone, which belong to all devices as pinned memory does (rocclr
  /// device.cpp: MemObjMap::Purge), so it has to end them one by one.
  void registered(std::uint32_t device, void* address);
  void unregistered(std::uint32_t device, void* address) noexcept;

  void created(std::uint32_t, std::uint64_t, std::uint64_t) const noexcept {}
  /// Held while a range is reserved: one that is freed in order to be taken again at once must not
  /// become another's in between.
  [[nodiscard]] std::unique_lock<std::mutex> reserve_alone() const {
    return std::unique_lock(reserving_);
  }
  void reserved(std::uint32_t device, void* address, std::uint64_t bytes) noexcept;
  void released(std::uint32_t device, void* address) noexcept;
  /// New memory may be put where a lost reservation was: those are tried again before.
  void creating(std::uint32_t device) noexcept;
  /// Whether a reservation of ours could not be taken again; see destroyed().
  [[nodiscard]] bool is_lost(std::uint32_t device, void* address);
  /// Tries once more to take a lost reservation again.
  /// @throws backend_failure when it is still lost
  void mapping_at(std::uint32_t device, void* address);
  void mapped(std::uint32_t device, std::uint64_t handle, void* address,
              std::uint64_t bytes) noexcept;
  void unmapping(std::uint32_t device, void* address);
  /// Some ROCm releases keep the memory behind an address until the address itself is freed
  /// (vllm-project/vllm issue 37533; ROCm 7.2). Whether this one does is measured; then the
  /// reservation is freed and taken again at the same place. The memory is gone whatever comes of
  /// that, so nothing is thrown: a reservation that is lost is an error when it is mapped again.
  void destroyed(std::uint32_t device, std::uint64_t handle) noexcept;

  [[nodiscard]] const hip_api& api() const noexcept { return api_; }
  void mark_used(std::uint32_t device) noexcept { devices_[device]->used.store(true); }

 private:
  struct mapping {
    void* address = nullptr;
    std::uint64_t bytes = 0;
    std::uint64_t held_before = 0;  ///< by this process before unmapping; 0 when not known
  };
  struct reservation {
    std::uint64_t bytes = 0;
    bool lost = false;
  };
  struct device_state {
    std::string name;
    std::string pci_address;
    /// A partition of a GPU: others have the same address, and the kernel driver's files do not
    /// tell them apart by anything that the runtime says.
    bool partition = false;
    bool integrated = false;
    bool stable_addresses = false;
    bool pools = false;
    std::atomic<bool> used{false};
    std::atomic<std::uint64_t> residue{0};  ///< what this process holds there without a context
    std::mutex mutex;                       ///< guards what follows
    std::unordered_set<void*> registrations;
    std::unordered_map<void*, reservation> reservations;
    std::unordered_map<std::uint64_t, mapping> mappings;  ///< the last one of each handle
  };
  /// What freeing memory behind an address does here.
  enum class release_kind { not_measured, frees, keeps };

  [[nodiscard]] std::unique_ptr<device_state> inspect(int ordinal) const;
  [[nodiscard]] int attribute(int ordinal, hipDeviceAttribute_t which) const;
  void end_registrations(device_state& device) const;
  void make_memory_leave(device_state& device, const mapping& was);
  [[nodiscard]] std::optional<std::uint64_t> look_at(const device_state& device,
                                                     bool has_context = true) noexcept;
  [[nodiscard]] bool memory_stayed(const device_state& device, const mapping& was);
  void cycle_reservation(device_state& device, const mapping& was) const;
  [[nodiscard]] bool take_again(void* address, std::uint64_t bytes) const;

  const hip_api& api_;
  mutable std::mutex reserving_;  ///< taken before a device's
  hip_telemetry telemetry_;
  std::vector<std::unique_ptr<device_state>> devices_;
  std::atomic<release_kind> release_{release_kind::not_measured};
  /// One sample may be wrong: others allocate and free meanwhile.
  static constexpr int enough_votes = 3;
  std::atomic<int> votes_{0};  ///< samples that said it stays, less those that said it does not
};

/// Makes a device current, and notes that it is in use.
class hip_api::device_scope : public device_restorer<hip_api> {
 public:
  device_scope(hip_own& own, std::uint32_t device)
      : device_restorer(own.api(), static_cast<int>(device)) {
    own.mark_used(device);
  }
};

/// Makes a device current, which alone does not put it into use.
class hip_api::cleanup_scope : public device_restorer<hip_api> {
 public:
  cleanup_scope(const hip_own& own, std::uint32_t device)
      : device_restorer(own.api(), static_cast<int>(device)) {}
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_HIP_OWN_HPP
