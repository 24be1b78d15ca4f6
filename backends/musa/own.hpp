#ifndef LULL_BACKENDS_MUSA_OWN_HPP
#define LULL_BACKENDS_MUSA_OWN_HPP

#include <lull/backend.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "musa/api.hpp"
#include "musa/telemetry.hpp"

namespace lull::backends {

/// MUSA's devices and contexts, while the backend is open.
class musa_own {
 public:
  /// @param retry after how long a management library that did not start is asked again
  musa_own(const musa_api& api, std::chrono::milliseconds retry);

  [[nodiscard]] std::uint32_t device_count() const noexcept {
    return static_cast<std::uint32_t>(devices_.size());
  }
  [[nodiscard]] MUdevice driver_device(std::uint32_t device) const {
    return devices_[device].driver_device;
  }
  void describe(std::uint32_t device, lull_backend_device& facts) const;
  void observe(std::uint32_t device, lull_backend_memory& out);
  [[nodiscard]] lull_tristate context_alive(std::uint32_t device) const;
  void reset(std::uint32_t device);

  /// Nothing public says that a graph may be destroyed while it runs: wait for the device first.
  void before_graph_destroy() const;
  /// Registrations are taken to end with the context, as CUDA's do; nothing public says so.
  void registered(std::uint32_t, void*) const noexcept {}
  void unregistered(std::uint32_t, void*) const noexcept {}
  void created(std::uint32_t, std::uint64_t, std::uint64_t) const noexcept {}
  [[nodiscard]] bool reserve_alone() const noexcept { return false; }
  void creating(std::uint32_t) const noexcept {}
  void reserved(std::uint32_t, void*, std::uint64_t) const noexcept {}
  void released(std::uint32_t, void*) const noexcept {}
  [[nodiscard]] bool is_lost(std::uint32_t, void*) const noexcept { return false; }
  void mapping_at(std::uint32_t, void*) const noexcept {}
  void mapped(std::uint32_t, std::uint64_t, void*, std::uint64_t) const noexcept {}
  void unmapping(std::uint32_t, void*) const noexcept {}
  void destroyed(std::uint32_t, std::uint64_t) const noexcept {}

  [[nodiscard]] const musa_api& api() const noexcept { return api_; }

 private:
  struct device_state {
    MUdevice driver_device = 0;
    std::string name = "Moore Threads GPU";
    std::string pci_address;
    bool integrated = false;
    bool stable_addresses = false;
  };

  [[nodiscard]] device_state inspect(int ordinal) const;
  [[nodiscard]] bool attribute(MUdevice device, MUdevice_attribute which) const;

  const musa_api& api_;
  std::vector<device_state> devices_;
  musa_telemetry telemetry_;
};

class musa_api::device_scope : public device_restorer<musa_api> {
 public:
  device_scope(const musa_own& own, std::uint32_t device)
      : device_restorer(own.api(), static_cast<int>(device)) {}
};

/// Setting the device is taken to make no context by itself, which nothing public says.
class musa_api::cleanup_scope : public musa_api::device_scope {
 public:
  using device_scope::device_scope;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_MUSA_OWN_HPP
