#include "memory/region_state.hpp"

#include <lull/error.hpp>

#include <algorithm>

#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

void region_state::obtain() {
  if (!physical) physical = where.vm_create(mapped_bytes);
}

void region_state::map() {
  if (mapped) return;
  where.vm_map(address, mapped_bytes, *physical);
  mapped = true;
}

void region_state::unmap() {
  if (!mapped) return;
  where.vm_unmap(address, mapped_bytes);
  mapped = false;
}

void region_state::give_up() {
  if (!physical) return;
  where.vm_destroy(*physical);
  physical.reset();
}

refill_target region_state::target() const {
  return refill_target(where, address, size_bytes, options.name);
}

region_info region_state::info() const {
  return {options.name, options.tag, where.name(), address, size_bytes, contents, leases, moving};
}

std::string region_state::describe() const {
  return text("region '{}' on {}", options.name, where.name());
}

void dispose(region_state& region) noexcept {
  // Each step on its own: memory must come back even when, say, the reservation does not.
  const auto attempt = [&region](auto&& step) {
    try {
      step();
      return true;
    } catch (...) {
      region.owner->options.log.write(log_level::error, current_error(status::internal).what());
      return false;
    }
  };
  const bool unmapped = attempt([&] { region.unmap(); });
  if (unmapped) attempt([&] { region.give_up(); });
  if (unmapped && region.address != nullptr) {
    attempt([&] { region.where.vm_release(region.address, region.mapped_bytes); });
  }
  region.saved.drop();
}

bool retire_if_unused(region_state& region) {
  if (!region.abandoned || region.moving || region.leases != 0) return false;
  auto& list = region.owner->regions;
  const auto at = std::find_if(list.begin(), list.end(),
                               [&](const auto& candidate) { return candidate.get() == &region; });
  if (at == list.end()) return false;
  list.erase(at);
  return true;
}

void run_refill(const region_state& region, const refill_callback& callback) {
  try {
    callback(region.target());
  } catch (...) {
    fail(status::callback, "refill of {}: {}", region.describe(),
         current_error(status::callback).what());
  }
}

}  // namespace lull::detail
