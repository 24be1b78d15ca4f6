#include "reset/addresses.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <cstdint>

#include "core/device_access.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

bool addresses_outlive_reset(const device& which) noexcept {
  return which.supports(capability::addresses_outlive_reset);
}

std::string addresses_in_the_way(const device& which) {
  const auto& context = device_access::state(which)->context;
  if (!context || addresses_outlive_reset(which)) return {};
  std::size_t fixed = 0;
  std::uint64_t bytes = 0;
  for (const auto& each : context->books.all(object_kind::reservation)) {
    if (each.other != 0) continue;
    ++fixed;
    bytes += each.bytes;
  }
  if (fixed == 0) return {};
  return text(
      "{}: a reset is not known to keep reserved addresses there, and {} of {} must not move "
      "(region_options::may_move lets a region; where resets do keep them, the backend's setting "
      "addresses_outlive_reset says so)",
      which.name(), fixed == 1 ? "one range" : text("{} ranges", fixed), format_bytes(bytes));
}

void expect_addresses_may_go(const device& which) {
  const std::string problem = addresses_in_the_way(which);
  if (!problem.empty()) throw error(status::unsupported, problem);
}

}  // namespace lull::detail
