#include <lull/backend.hpp>
#include <lull/backend_module.h>

#include <string>

#include "common/make_ops.hpp"
#include "common/settings.hpp"
#include "musa/own.hpp"

namespace lull::backends {
namespace {

std::string find_problem(const musa_api& api) {
  if (!api.problem.empty()) return api.problem;
  try {
    api.check(api.driver_init(0), api.driver_init.name);
    int count = 0;
    api.check(api.get_device_count(&count), api.get_device_count.name);
    return count == 0 ? "no device" : "";
  } catch (const backend_failure& failure) {
    return "no device: " + failure.call() + " answers " + failure.what();
  }
}

std::int32_t score(char* reason, std::uint64_t reason_size) {
  return score_from([] { return find_problem(musa_api::instance()); }, reason, reason_size);
}

lull_status open(const lull_backend_setting* settings, std::uint64_t count, lull_backend** backend,
                 lull_backend_error* error) {
  return guard(error, [&] {
    // Nothing public says what becomes of them.
    const auto how = read_managed_settings(settings, count, "musa", false);
    const musa_api& api = musa_api::instance();
    *backend = reinterpret_cast<lull_backend*>(
        new runtime_backend<musa_api>(api, how.addresses_outlive_reset, api, how.retry));
  });
}

}  // namespace
}  // namespace lull::backends

const lull_backend_ops* lull_backend_entry() {
  static const lull_backend_ops ops = lull::backends::make_ops(
      lull::backends::musa_api::instance(), lull::backends::score, lull::backends::open);
  return &ops;
}
