// Slices that are made ready ahead of need, on threads of the arena's own.

#include <lull/error.hpp>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "memory/arena.hpp"
#include "memory/numa.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

void arena_state::prepare(const device& for_device, std::uint64_t bytes,
                          const prepare_options& options) {
  if (options.threads == 0 || options.bytes_per_second == 0) {
    throw error(status::invalid_argument, "prepare: no threads, or 0 bytes a second");
  }
  for_device.require(capability::registration, "preparing an arena");
  stop_preparing();
  const std::lock_guard lock(mutex_);
  preparing_ = {preparing_.number + 1, bytes, options, options_.clock->now(), 0};
  for (unsigned i = 0; i < options.threads; ++i) {
    try {
      threads_.emplace_back([this, for_device, number = preparing_.number] {
        prepare_in_background(for_device, number);
      });
    } catch (const std::system_error& failure) {
      if (threads_.empty()) {
        fail(status::internal, "preparing an arena: no thread: {}", failure.what());
      }
      break;  // fewer do as well
    }
    ++preparers_;
  }
}

void arena_state::prepare_in_background(const device& for_device, std::uint64_t number) {
  try {
    while (prepare_one(for_device, number)) {
    }
  } catch (...) {
    // The budget, the machine's memory or the device have come to their end; what is ready stays.
    options_.log.write(log_level::info, current_error(status::internal).what());
  }
  const std::lock_guard lock(mutex_);
  --preparers_;
  preparing_changed_.notify_all();
}

/// What is ready for the device, or will be at once. Called with the mutex held.
std::uint64_t arena_state::ready_bytes(const device& for_device) const {
  std::uint64_t ready = readying_bytes_;
  for (const auto& each : free_) {
    if (each->pin_.serves(for_device)) ready += each->size_bytes();
  }
  return ready;
}

/// Takes the next slice that is to be made ready, when it is time for it; none: there is no more to
/// do. Called with the mutex held.
std::unique_ptr<arena_slice> arena_state::next_unready(const device& for_device,
                                                       std::uint64_t number, lock_type& lock) {
  const auto is_over = [&] {
    return preparing_.number != number || ready_bytes(for_device) >= preparing_.aim_bytes;
  };
  if (preparing_.options.bytes_per_second) {
    const auto due = [this] {
      const auto seconds =
          std::chrono::duration<double>(static_cast<double>(preparing_.done_bytes) /
                                        static_cast<double>(*preparing_.options.bytes_per_second));
      return preparing_.begun + std::chrono::duration_cast<duration>(seconds);
    };
    while (!is_over() && options_.clock->now() < due()) {
      options_.clock->wait_until(preparing_changed_, lock, due());
    }
  }
  if (is_over()) return nullptr;
  const auto unready = std::find_if(
      free_.begin(), free_.end(), [&](const auto& each) { return !each->pin_.serves(for_device); });
  std::unique_ptr<arena_slice> slice;
  if (unready != free_.end()) {
    slice = std::move(*unready);
    free_.erase(unready);
  } else if (held_bytes_ + other_bytes_ + options_.slice_bytes <= budget_bytes_) {
    const std::uint64_t missing = preparing_.aim_bytes - ready_bytes(for_device);
    slice = make_slice(std::min(options_.slice_bytes, missing),
                       numa_node_of(for_device.pci_address()), lock);
  }
  return slice;
}

/// Makes one slice ready. @return whether there may be more to do
bool arena_state::prepare_one(const device& for_device, std::uint64_t number) {
  std::unique_ptr<arena_slice> slice;
  {
    std::unique_lock lock(mutex_);
    slice = next_unready(for_device, number, lock);
    if (!slice) return false;
    used_bytes_ += slice->size_bytes();
    readying_bytes_ += slice->size_bytes();
    preparing_.done_bytes += slice->size_bytes();
  }
  const std::uint64_t bytes = slice->size_bytes();
  bool pinned = false;
  try {
    pinned = make_ready(*slice, for_device);
  } catch (...) {
    give(std::move(slice));
    const std::lock_guard lock(mutex_);
    readying_bytes_ -= bytes;
    throw;
  }
  give(std::move(slice));
  const std::lock_guard lock(mutex_);
  readying_bytes_ -= bytes;
  preparing_changed_.notify_all();
  return pinned;
}

void arena_state::wait_prepared() {
  std::unique_lock lock(mutex_);
  preparing_changed_.wait(lock, [this] { return preparers_ == 0; });
}

/// Ends what prepare() began, with the slices that are being worked on.
void arena_state::stop_preparing() noexcept {
  std::vector<std::thread> ending;
  {
    const std::lock_guard lock(mutex_);
    ++preparing_.number;
    preparing_changed_.notify_all();
    ending.swap(threads_);
  }
  for (std::thread& each : ending) each.join();
}

}  // namespace lull::detail
