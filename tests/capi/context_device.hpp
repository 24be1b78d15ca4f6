#ifndef LULL_TESTS_CAPI_CONTEXT_DEVICE_HPP
#define LULL_TESTS_CAPI_CONTEXT_DEVICE_HPP

#include <lull/backend.hpp>
#include <lull/lull.h>

#include <atomic>
#include <cstdint>

#include "host/host.hpp"

namespace lull::test {

/// What the module's own reset was asked to do, by the one test that runs.
inline std::atomic<int>& resets_of_the_module() {
  static std::atomic<int> all{0};
  return all;
}

struct context_device {
  void context_create(std::uint32_t) {}
  void context_alive(std::uint32_t, lull_tristate* alive) { *alive = LULL_TRISTATE_YES; }
  void synchronize(std::uint32_t) {}
  void reset(std::uint32_t) { ++resets_of_the_module(); }
};

/// The host as a device "CONTEXT0" whose context can be reset.
inline const lull_backend_ops& context_ops() {
  static const lull_backend_ops ops = [] {
    lull_backend_ops table = lull::backends::host_ops();
    table.name = "contexts";
    table.device_describe = [](lull_backend* backend, std::uint32_t device,
                               lull_backend_device* out, lull_backend_error* error) {
      const lull_status code =
          lull::backends::host_ops().device_describe(backend, device, out, error);
      lull::backends::copy_text(out->name, "CONTEXT0");
      out->capabilities |= LULL_CAP_CONTEXT | LULL_CAP_RESET;
      return code;
    };
    table.context = &lull::backends::group_of<lull_context_ops, context_device>;
    table.reset = &lull::backends::group_of<lull_reset_ops, context_device>;
    return table;
  }();
  return ops;
}

}  // namespace lull::test

#endif  // LULL_TESTS_CAPI_CONTEXT_DEVICE_HPP
