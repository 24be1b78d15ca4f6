#include "memory/region_state.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <utility>

#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// @return whether all of it is given back
bool free_extent(extent& which, const log_sink& log) noexcept {
  const auto attempt = [&log](auto&& step) {
    try {
      step();
      return true;
    } catch (...) {
      log.write(log_level::error, current_error(status::internal).what());
      return false;
    }
  };
  // Unmapping under work that uses it is a fault of the device.
  if (which.has_mapped()) attempt([&] { which.where.synchronize(); });
  // Memory must come back even when, say, the reservation does not.
  return attempt([&] { which.unmap(); }) && attempt([&] { which.free_memory(); }) &&
         attempt([&] { which.release(); });
}

/// Called with the mutex held.
void keep_leftover(memory_state& memory, std::shared_ptr<extent> which) noexcept {
  which->next_leftover = std::move(memory.leftovers);
  memory.leftovers = std::move(which);
}

}  // namespace

memory_state::~memory_state() {
  tidy_up(*this);
}

region_info region_state::info() const {
  return {options.name, options.tag, where.name(), address.load(),     size_bytes,
          contents,     leases,      moving,       device_bytes(*this)};
}

std::string region_state::describe() const {
  return text("region '{}' on {}", options.name, where.name());
}

bool comes_back(const region_state& region) noexcept {
  return region.options.source || region.refill;
}

std::uint64_t device_bytes(const region_state& region) noexcept {
  if (!region.home->shared) return region.home->size_bytes;
  return (region.size_bytes + extent::alignment - 1) / extent::alignment * extent::alignment;
}

void dispose(region_state& region) noexcept {
  region.saved.drop();
  memory_state& memory = *region.owner;
  std::shared_ptr<extent> home = region.home;
  if (!home) return;
  {
    const std::lock_guard lock(memory.mutex);
    home->give_back(region.offset, region.size_bytes);
    if (home->regions != 0) return;
    std::erase(memory.shared_extents, home);
  }
  if (free_extent(*home, memory.options.log)) return;
  const std::lock_guard lock(memory.mutex);
  keep_leftover(memory, std::move(home));
}

void tidy_up(memory_state& memory) noexcept {
  std::shared_ptr<extent> next;
  {
    const std::lock_guard lock(memory.mutex);
    next = std::move(memory.leftovers);
  }
  while (next) {
    const std::shared_ptr<extent> each = std::exchange(next, next->next_leftover);
    each->next_leftover.reset();
    if (free_extent(*each, memory.options.log)) continue;
    const std::lock_guard lock(memory.mutex);
    keep_leftover(memory, each);
  }
}

bool take_off_list(region_state& region) noexcept {
  auto& list = region.owner->regions;
  const auto at = std::exchange(region.on_list, list.end());
  if (at == list.end()) return false;
  list.erase(at);
  return true;
}

bool retire_if_unused(region_state& region) {
  if (!region.abandoned || region.moving || region.leases != 0) return false;
  return take_off_list(region);
}

}  // namespace lull::detail
