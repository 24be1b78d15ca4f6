#ifndef LULL_MEMORY_REGION_STATE_HPP
#define LULL_MEMORY_REGION_STATE_HPP

#include <lull/memory.hpp>
#include <lull/reset.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "memory/backing.hpp"

namespace lull::detail {

/// What a memory object and its regions share.
struct memory_state {
  explicit memory_state(memory_options given) : options(std::move(given)) {}

  const memory_options options;

  /// One transfer at a time; taken before `mutex`.
  std::mutex transferring;
  std::atomic<std::thread::id> transfer_thread{};

  /// Guards the list and every region's book-keeping; held for moments only.
  mutable std::mutex mutex;
  std::vector<std::shared_ptr<region_state>> regions;

  /// One for each device that ever had a region here: gives regions up when a reset is told to drop
  /// what lives on the device.
  struct device_hook {
    device where;
    reset_hook hook;
  };
  std::vector<device_hook> hooks;
};

/// A region. What moves it (a transfer, a refill) sets `moving` under the mutex, and then has the
/// device part to itself; nobody else touches that part meanwhile.
struct region_state {
  region_state(std::shared_ptr<memory_state> memory, device on, std::uint64_t bytes,
               std::uint64_t rounded_bytes, region_options given)
      : owner(std::move(memory)),
        where(std::move(on)),
        size_bytes(bytes),
        mapped_bytes(rounded_bytes),
        options(std::move(given)) {}

  const std::shared_ptr<memory_state> owner;
  const device where;
  const std::uint64_t size_bytes;
  const std::uint64_t mapped_bytes;  ///< size_bytes rounded up to the device's granularity
  const region_options options;
  void* address = nullptr;  ///< reserved from allocation to the end

  // Book-keeping, guarded by owner->mutex.
  residency contents = residency::resident;
  std::uint32_t leases = 0;
  bool moving = false;
  bool abandoned = false;  ///< its owner is gone; freed when nothing uses it

  // The device part; see above.
  std::optional<std::uint64_t> physical;  ///< the handle of the memory behind it
  bool mapped = false;
  backup saved;

  // The undoable steps, each a no-op when done already.
  void obtain();
  void map();
  void unmap();
  void give_up();

  [[nodiscard]] refill_target target() const;
  [[nodiscard]] region_info info() const;      ///< to be called with the mutex held
  [[nodiscard]] std::string describe() const;  ///< "region 'wq' on HOST", for errors
};

/// Frees everything a region has. What fails is logged.
void dispose(region_state& region) noexcept;

/// If the region is abandoned and unused, takes it off the list: then the caller, once it has let
/// go of the mutex, disposes of it. Called with owner->mutex held.
[[nodiscard]] bool retire_if_unused(region_state& region);

/// Calls a region's refill callback, or another one.
/// @throws error (callback) that names the region and carries the callback's words
void run_refill(const region_state& region, const refill_callback& callback);

}  // namespace lull::detail

#endif  // LULL_MEMORY_REGION_STATE_HPP
