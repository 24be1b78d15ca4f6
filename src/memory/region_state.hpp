#ifndef LULL_MEMORY_REGION_STATE_HPP
#define LULL_MEMORY_REGION_STATE_HPP

#include <lull/memory.hpp>
#include <lull/reset.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "memory/arena.hpp"
#include "memory/backing.hpp"
#include "memory/extent.hpp"

namespace lull::detail {

/// What a memory object and its regions share.
struct memory_state {
  explicit memory_state(memory_options given)
      : options(std::move(given)), arena(arena_access::state(*options.arena)) {}
  ~memory_state();  ///< tries for the last time to free what could not be freed before
  memory_state(const memory_state&) = delete;
  memory_state& operator=(const memory_state&) = delete;

  const memory_options options;
  const std::shared_ptr<arena_state> arena;

  /// One transfer at a time; taken before `mutex`.
  std::mutex transferring;

  /// Guards the list and every region's book-keeping; held for moments only.
  mutable std::mutex mutex;
  /// In the order of allocation; a list, so that those of a large model leave it one by one
  /// without the others moving up each time.
  std::list<std::shared_ptr<region_state>> regions;
  /// Those that small regions share; each has at least one.
  std::vector<std::shared_ptr<extent>> shared_extents;
  /// The first of those of regions that are gone, but whose memory could not be given back.
  std::shared_ptr<extent> leftovers;

  /// One for each device that ever had a region here: gives regions up when a reset is told to drop
  /// what lives on the device.
  struct device_hook {
    device where;
    reset_hook hook;
  };
  std::vector<device_hook> hooks;
};

/// A region. What moves it (a transfer, a refill) sets `moving` under the mutex, and then has it
/// and the extent that it lives in to itself; nobody else touches those meanwhile.
struct region_state {
  region_state(std::shared_ptr<memory_state> memory, device on, std::uint64_t bytes,
               region_options given)
      : owner(std::move(memory)),
        where(std::move(on)),
        size_bytes(bytes),
        options(std::move(given)),
        refill(options.refill) {}

  const std::shared_ptr<memory_state> owner;
  const device where;
  const std::uint64_t size_bytes;
  const region_options options;

  // Fixed once it is allocated.
  std::shared_ptr<extent> home;
  std::uint64_t offset = 0;  ///< in its home

  /// As it is told. Changes, while it is off the device, where a reset has lost it.
  std::atomic<void*> address = nullptr;
  /// Where it is, for whoever moves it.
  [[nodiscard]] void* place() const noexcept {
    return static_cast<std::byte*>(home->address) + offset;
  }

  /// Whether a reset has lost its address, and it has another one now.
  [[nodiscard]] bool has_moved() const noexcept { return address != place(); }

  // Book-keeping, guarded by owner->mutex.
  /// Where it stands on the list; the list's end when it is not there.
  std::list<std::shared_ptr<region_state>>::iterator on_list = owner->regions.end();
  residency contents = residency::resident;
  std::uint32_t leases = 0;
  bool arriving = false;   ///< it is being allocated
  bool moving = false;     ///< a transfer has it, or whoever refills or allocates it
  bool abandoned = false;  ///< its owner is gone; freed when nothing uses it
  bool written = false;    ///< since it was filled from its source

  // Of whoever moves it.
  refill_callback refill;
  backup saved;
  /// Of the contents as they left, and as they came back so far; several threads add to them.
  std::atomic<std::uint64_t> sum_out{0}, sum_in{0};

  [[nodiscard]] region_info info() const;      ///< to be called with the mutex held
  [[nodiscard]] std::string describe() const;  ///< "region 'wq' on HOST", for errors
};

[[nodiscard]] constexpr bool is_on_device(residency where) noexcept {
  return where == residency::resident || where == residency::unfilled;
}

/// Whether somebody writes the contents again after a discard.
[[nodiscard]] bool comes_back(const region_state& region) noexcept;

/// Frees everything a region has that is off the list. Waits for its device's work, as freeing
/// memory does. What fails is logged, and tried again by tidy_up().
void dispose(region_state& region) noexcept;
/// Tries again to free what could not be freed before.
void tidy_up(memory_state& memory) noexcept;

/// Called with owner->mutex held, by who has the region: it may be the list that keeps it.
/// @return whether it was on the list
bool take_off_list(region_state& region) noexcept;
/// If the region is abandoned and unused, takes it off the list: then the caller, once it has let
/// go of the mutex, disposes of it. Called with owner->mutex held.
[[nodiscard]] bool retire_if_unused(region_state& region);

/// What a region takes of its device while it is there.
[[nodiscard]] std::uint64_t device_bytes(const region_state& region) noexcept;

}  // namespace lull::detail

#endif  // LULL_MEMORY_REGION_STATE_HPP
