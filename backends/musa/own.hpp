#ifndef LULL_BACKENDS_MUSA_OWN_HPP
#define LULL_BACKENDS_MUSA_OWN_HPP

#include <lull/backend.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/primary_context.hpp"
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
    return devices_[device]->driver_device;
  }
  void describe(std::uint32_t device, lull_backend_device& facts) const;
  void observe(std::uint32_t device, lull_backend_memory& out);
  [[nodiscard]] lull_tristate context_alive(std::uint32_t device) const;
  void reset(std::uint32_t device) { devices_[device]->primary.reset(); }

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
  [[nodiscard]] primary_context<musa_api>& primary(std::uint32_t device) const {
    return devices_[device]->primary;
  }

 private:
  struct device_state {
    device_state(const musa_api& api, MUdevice device)
        : driver_device(device), primary(api, device) {}

    const MUdevice driver_device;
    primary_context<musa_api> primary;
    std::string name = "Moore Threads GPU";
    std::string pci_address;
    bool integrated = false;
    bool stable_addresses = false;
  };

  [[nodiscard]] std::unique_ptr<device_state> inspect(int ordinal) const;
  [[nodiscard]] bool attribute(MUdevice device, MUdevice_attribute which) const;

  const musa_api& api_;
  std::vector<std::unique_ptr<device_state>> devices_;
  musa_telemetry telemetry_;
};

/// Makes a device's primary context current for this thread.
class musa_scope : public current_context<musa_api> {
 public:
  musa_scope(const musa_own& own, std::uint32_t device)
      : current_context(own.api(), own.primary(device).retain()) {}
};

/// The same where there is a context, and else nothing. Whether MUSA's driver gives up stable
/// addresses without one, as CUDA's does, nothing public says; if it does not, it says so, and they
/// are tried again once there is one.
class musa_cleanup_scope {
 public:
  musa_cleanup_scope(const musa_own& own, std::uint32_t device) {
    if (const auto context = own.primary(device).retain_if_active()) {
      current_.emplace(own.api(), *context);
    }
  }

 private:
  std::optional<current_context<musa_api>> current_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_MUSA_OWN_HPP
