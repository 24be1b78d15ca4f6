#include <lull/backend.hpp>
#include <lull/backend_module.h>

#include <string>

#include "common/make_ops.hpp"
#include "common/retry_setting.hpp"
#include "musa/own.hpp"

namespace lull::backends {
namespace {

std::string find_problem(const musa_api& api) {
  if (!api.problem.empty()) return api.problem;
  int count = 0;
  const musaError_t result = api.get_device_count(&count);
  if (result == musaSuccess && count > 0) return {};
  static_cast<void>(api.take_last_error());
  if (result == musaErrorInsufficientDriver) {
    return std::string{"the Moore Threads driver is too old: "} + api.error_string(result);
  }
  if (result == musaSuccess) return "no device";
  return std::string{"no device: musaGetDeviceCount answers "} + api.error_name(result) + ": " +
         api.error_string(result);
}

std::int32_t score(char* reason, std::uint64_t reason_size) {
  return score_from([] { return find_problem(musa_api::instance()); }, reason, reason_size);
}

lull_status open(const lull_backend_setting* settings, std::uint64_t count, lull_backend** backend,
                 lull_backend_error* error) {
  return guard(error, [&] {
    const auto retry = read_retry(settings, count, "musa");
    const musa_api& api = musa_api::instance();
    *backend = reinterpret_cast<lull_backend*>(new runtime_backend<musa_api>(api, api, retry));
  });
}

}  // namespace
}  // namespace lull::backends

const lull_backend_ops* lull_backend_entry() {
  static const lull_backend_ops ops = lull::backends::make_ops(
      lull::backends::musa_api::instance(), lull::backends::score, lull::backends::open);
  return &ops;
}
