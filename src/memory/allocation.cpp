#include "memory/allocation.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include "memory/pages.hpp"
#include "memory/region_state.hpp"
#include "vocabulary/round_up.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// Memory comes in steps of the device's granularity; where that is less than a huge page of the
/// host, in huge pages all the same, for the host device takes one page fault then instead of 512.
std::uint64_t step_bytes(std::uint64_t granularity) noexcept {
  return std::max(granularity, huge_page_bytes);
}

/// A region that would leave more than half of a step unused shares one.
bool is_small(std::uint64_t bytes, std::uint64_t granularity) noexcept {
  return bytes <= step_bytes(granularity) / 2;
}

/// The shared extents of a tag grow, so that many small regions live in few: each new one is as
/// large as those before it together, up to this many steps.
constexpr std::uint64_t largest_shared = 32;

bool is_for(const extent& home, const region_state& region) {
  return home.where == region.where && home.tag == region.options.tag &&
         home.may_move == region.options.may_move && !home.is_lost() &&
         std::is_permutation(home.peers.begin(), home.peers.end(),
                             region.options.accessible_from.begin(),
                             region.options.accessible_from.end());
}

/// Looks for a place that has memory behind it already. Called with the mutex held.
bool join(region_state& region) {
  memory_state& memory = *region.owner;
  // The latest first: the others are full.
  for (auto at = memory.shared_extents.rbegin(); at != memory.shared_extents.rend(); ++at) {
    extent& home = **at;
    // Whoever is to be there now needs a place that is.
    const bool fits = home.up || region.options.absent;
    if (!is_for(home, region) || !fits || home.moving) continue;
    const auto offset = home.take(region.size_bytes);
    if (!offset) continue;
    region.home = *at;
    region.offset = *offset;
    region.address = region.place();
    return true;
  }
  return false;
}

/// A home of its own, or the first place in a new one. Called with the mutex held.
void found(region_state& region, std::uint64_t granularity) {
  memory_state& memory = *region.owner;
  const bool shared = is_small(region.size_bytes, granularity);
  std::uint64_t bytes = round_up(region.size_bytes, granularity);
  if (shared) {
    std::uint64_t there_is = 0;
    for (const auto& each : memory.shared_extents) {
      if (is_for(*each, region)) there_is += each->size_bytes;
    }
    const std::uint64_t most = largest_shared * step_bytes(granularity);
    bytes = std::max(bytes, round_up(std::min(there_is, most), granularity));
  }
  auto home = std::make_shared<extent>(
      region.where, bytes, shared, region.options.tag, region.options.accessible_from,
      round_up(std::min(memory.options.handle_bytes, bytes), granularity), region.options.may_move);
  home->moving = true;
  if (shared) memory.shared_extents.push_back(home);
  static_cast<void>(home->take(region.size_bytes));
  region.home = std::move(home);
}

error with_what_is_missing(const region_state& region, const error& cause) {
  if (cause.code() != status::out_of_device_memory) return cause;
  const std::uint64_t taken = region.home->size_bytes;
  std::string sentence = text("{}: {} asked for, {} to be taken", region.describe(),
                              format_bytes(region.size_bytes), format_bytes(taken));
  std::optional<std::uint64_t> free;
  try {
    free = region.where.memory().free_bytes;
  } catch (const error&) {
    // Then it is unknown.
  }
  if (!free) return cause.with_context(sentence);
  sentence += text(", {} free", format_bytes(*free));
  if (*free < taken) sentence += text(": {} missing", format_bytes(taken - *free));
  return cause.with_context(sentence);
}

/// Off the list again, as if it had never been on it.
void withdraw(region_state& region) noexcept {
  {
    const std::lock_guard lock(region.owner->mutex);
    take_off_list(region);
  }
  dispose(region);
}

}  // namespace

void settle_in(const std::shared_ptr<region_state>& region, std::uint64_t granularity) {
  memory_state& memory = *region->owner;
  if (region->options.absent) region->contents = residency::discarded;
  {
    const std::lock_guard lock(memory.mutex);
    region->on_list = memory.regions.insert(memory.regions.end(), region);
    try {
      if (is_small(region->size_bytes, granularity) && join(*region)) return;
      found(*region, granularity);
    } catch (...) {
      take_off_list(*region);
      throw;
    }
    region->arriving = region->moving = true;
  }
  extent& home = *region->home;
  const bool absent = region->options.absent;
  try {
    home.reserve();
    if (!absent) {
      home.obtain();
      home.map();
    }
    region->address = region->place();
  } catch (const error& failure) {
    const error told = with_what_is_missing(*region, failure);
    withdraw(*region);
    throw told;
  } catch (...) {
    withdraw(*region);
    throw;
  }
  const std::lock_guard lock(memory.mutex);
  region->arriving = region->moving = home.moving = false;
  home.up = !absent;
}

}  // namespace lull::detail
