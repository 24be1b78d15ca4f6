#ifndef LULL_HOST_ARENA_HPP
#define LULL_HOST_ARENA_HPP

/// @file
/// Host memory that devices copy at the full speed of the link: where offloaded contents are kept.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/export.h>
#include <lull/log.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace lull {

namespace detail {
class arena_state;
struct arena_access;
}  // namespace detail

struct host_arena_options {
  /// The most memory that the arena ever holds. Absent: what the machine and its control groups
  /// have, less an eighth of it. In either case a slice is only taken while that much memory is
  /// really available.
  std::optional<std::uint64_t> budget_bytes = {};
  /// Memory is populated and pinned in slices of this size; a multiple of 2 MiB, up to 4 GiB.
  /// Pinning holds a lock of the driver for as long as one slice takes: on an H200 64 MiB were as
  /// fast as 256 MiB and delayed other work least.
  std::uint64_t slice_bytes = std::uint64_t{64} << 20;
  const lull::clock* clock = &lull::steady_clock();  ///< for the pace of prepare()
  log_sink log = {};  ///< gets what goes wrong where nothing can be thrown
};

struct prepare_options {
  /// Threads that populate and pin. One reaches about 5 GB/s and leaves work on the device alone.
  unsigned threads = 1;
  /// At most so much a second, all threads together. Absent: as fast as they can.
  std::optional<std::uint64_t> bytes_per_second = {};
};

/// What an arena holds at one moment.
struct host_arena_info {
  std::uint64_t budget_bytes = 0;
  std::uint64_t held_bytes = 0;    ///< of the machine's memory, used or ready to be
  std::uint64_t used_bytes = 0;    ///< of it, by contents that are off their devices
  std::uint64_t pinned_bytes = 0;  ///< of it, ready for copies at full speed
  bool preparing = false;          ///< prepare() is still at work
  /// Why memory could not be pinned the last time that was tried; empty where it could.
  std::string not_pinned_because;
};

/// Anonymous memory with huge pages, populated and pinned slice by slice, and kept for the next
/// sleep. One arena may serve several memory objects and all devices of a program: its budget is
/// what they hold together. It outlives context resets: what a reset ended is pinned again ahead of
/// the copy that needs it. Memory that cannot be pinned is used all the same, through staging.
///
/// All functions are thread-safe. Copies share one arena, which lives until the last of them and
/// the last contents in it are gone.
class LULL_API host_arena {
 public:
  /// @throws error (invalid_argument) for an option outside its range
  explicit host_arena(host_arena_options options = {});

  /// Starts to populate and pin so much memory for a device in the background, so that the first
  /// sleep is as fast as later ones. What is ready already counts. Ends early at the budget, or
  /// when memory runs short, which is no error. Creates the device's context if there is none.
  /// A call while another is at work replaces its aim.
  void prepare(const device& for_device, std::uint64_t bytes,
               const prepare_options& options = {}) const;
  /// Blocks until prepare() is no longer at work.
  void wait_prepared() const;

  /// Gives memory that nothing uses back to the system until `keep_bytes` are held.
  /// @return the bytes that were given back
  std::uint64_t trim(std::uint64_t keep_bytes = 0) const;

  /// Changes the budget. Unused memory above it is given back at once, used memory when it returns.
  void set_budget(std::uint64_t bytes) const;

  /// Never waits for a copy.
  [[nodiscard]] host_arena_info info() const;

 private:
  friend struct detail::arena_access;
  std::shared_ptr<detail::arena_state> state_;
};

}  // namespace lull

#endif  // LULL_HOST_ARENA_HPP
