#include <lull/backend.hpp>
#include <lull/backend_module.h>

#include <string>

#include "common/make_ops.hpp"
#include "common/settings.hpp"
#include "cuda/own.hpp"

namespace lull::backends {
namespace {

/// "13.0" of 13000.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// What stands between this machine and a usable device; empty when nothing does.
std::string find_problem(const cuda_api& api) {
  if (!api.problem.empty()) return api.problem;
  try {
    int driver = 0;
    int runtime = 0;
    api.check(api.driver_version(&driver), api.driver_version.name);
    api.check(api.runtime_version(&runtime), api.runtime_version.name);
    // Within one major any driver serves any runtime (CUDA minor version compatibility).
    if (driver / 1000 < runtime / 1000) {
      return "the NVIDIA driver is too old: it is for CUDA " + version_text(driver) +
             ", the runtime is " + version_text(runtime);
    }
    api.check(api.driver_init(0), api.driver_init.name);
    int count = 0;
    api.check(api.get_device_count(&count), api.get_device_count.name);
    return count == 0 ? "no device" : "";
  } catch (const backend_failure& failure) {
    return "no device: " + failure.call() + " answers " + failure.what();
  }
}

std::int32_t score(char* reason, std::uint64_t reason_size) {
  return score_from([] { return find_problem(cuda_api::instance()); }, reason, reason_size);
}

lull_status open(const lull_backend_setting* settings, std::uint64_t count, lull_backend** backend,
                 lull_backend_error* error) {
  return guard(error, [&] {
    // Measured on an H200 (docs/hardware-notes.md).
    const auto how = read_managed_settings(settings, count, "cuda", true);
    const cuda_api& api = cuda_api::instance();
    *backend = reinterpret_cast<lull_backend*>(
        new runtime_backend<cuda_api>(api, how.addresses_outlive_reset, api, how.retry));
  });
}

}  // namespace
}  // namespace lull::backends

const lull_backend_ops* lull_backend_entry() {
  static const lull_backend_ops ops = lull::backends::make_ops(
      lull::backends::cuda_api::instance(), lull::backends::score, lull::backends::open);
  return &ops;
}
