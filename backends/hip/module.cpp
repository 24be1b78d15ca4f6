#include <lull/backend.hpp>
#include <lull/backend_module.h>

#include <filesystem>
#include <string>

#include "common/make_ops.hpp"
#include "common/settings.hpp"
#include "hip/own.hpp"

namespace lull::backends {
namespace {

std::string find_problem(const hip_api& api) {
  if (!api.problem.empty()) return api.problem;
  int count = 0;
  const hipError_t result = api.get_device_count(&count);
  if (result == hipSuccess && count > 0) return {};
  static_cast<void>(api.take_last_error());
  if (result == hipErrorInsufficientDriver) {
    return std::string{"the AMD driver is too old: "} + api.error_string(result);
  }
  if (result == hipSuccess || result == hipErrorNoDevice) {
    std::error_code failed;
    return std::filesystem::exists("/dev/kfd", failed)
               ? "no device: the AMD driver is there, but no GPU that HIP can use"
               : "no AMD driver: there is no /dev/kfd";
  }
  return std::string{"no device: hipGetDeviceCount answers "} + api.error_name(result) + ": " +
         api.error_string(result);
}

std::int32_t score(char* reason, std::uint64_t reason_size) {
  return score_from([] { return find_problem(hip_api::instance()); }, reason, reason_size);
}

lull_status open(const lull_backend_setting* settings, std::uint64_t count, lull_backend** backend,
                 lull_backend_error* error) {
  return guard(error, [&] {
    std::filesystem::path sysfs = "/sys";
    // A reset purges the list of memory objects, in which reservations are not (rocclr device.cpp:
    // MemObjMap::Purge).
    bool addresses_outlive_reset = true;
    const char* const known = "sysfs_root, addresses_outlive_reset";
    read_settings(settings, count, "hip", known, [&](auto key, auto value) {
      if (take_addresses("hip", key, value, addresses_outlive_reset)) return true;
      if (key != "sysfs_root") return false;
      sysfs = value;
      return true;
    });
    const hip_api& api = hip_api::instance();
    *backend = reinterpret_cast<lull_backend*>(
        new runtime_backend<hip_api>(api, addresses_outlive_reset, api, sysfs));
  });
}

}  // namespace
}  // namespace lull::backends

const lull_backend_ops* lull_backend_entry() {
  static const lull_backend_ops ops = lull::backends::make_ops(
      lull::backends::hip_api::instance(), lull::backends::score, lull::backends::open);
  return &ops;
}
