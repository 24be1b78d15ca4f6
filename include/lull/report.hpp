#ifndef LULL_REPORT_HPP
#define LULL_REPORT_HPP

/// @file
/// What a transition did, as measured. Plain values; copying one is all it takes to keep it.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

/// One step of a transition, in the order they ran.
struct step_report {
  /// "back up", "unmap", "obtain", "map", "fill"; "pin": what making host memory ready took, beside
  /// the copies, on the average of the threads that did it
  std::string name;
  duration elapsed{};
  std::uint64_t bytes = 0;  ///< what it moved or released; 0 for a step that moves nothing
};

/// A region that is somewhere else than before, because a reset has lost its address.
struct region_move {
  std::string region;  ///< its name
  void* from = nullptr;
  void* to = nullptr;
  std::uint64_t size_bytes = 0;
};

/// A transition as one device saw it.
struct device_report {
  std::string device;
  std::uint64_t copied_bytes = 0;     ///< moved between the device and the backing store
  std::uint64_t discarded_bytes = 0;  ///< given up without a copy
  std::uint64_t refilled_bytes = 0;   ///< written again by refill callbacks
  /// Of these, what went through small pinned buffers or none, at less than the full speed of the
  /// link: contents in files, what callbacks wrote, and host memory that could not be pinned.
  std::uint64_t staged_bytes = 0;
  std::string staged_because;  ///< why host memory could not be pinned; empty where it could
  memory_info before;          ///< measured when the transition began
  memory_info after;           ///< measured when it had ended
  /// Regions that came back at another address; pointers into them are void. Empty but for those
  /// that were allocated with region_options::may_move.
  std::vector<region_move> moved = {};

  /// How much less this process holds than before (negative: more), as measured; absent when the
  /// platform cannot tell. The difference is taken modulo 2^64 and read as signed, so it cannot
  /// wrap.
  [[nodiscard]] std::optional<std::int64_t> freed_bytes() const noexcept {
    if (!before.used_by_process_bytes || !after.used_by_process_bytes) return std::nullopt;
    return static_cast<std::int64_t>(*before.used_by_process_bytes - *after.used_by_process_bytes);
  }
};

/// What moving contents did.
struct transfer_report {
  bool rolled_back = true;  ///< after a failure: whether all is as it was before
  std::vector<step_report> steps;
  std::vector<device_report> devices;
  duration elapsed{};
};

/// How far a transfer has come.
struct transfer_progress {
  std::string_view region;  ///< the name of the region that is moving; valid during the call only
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;  ///< of the whole transfer
};

/// Called after every chunk, on a thread that moves bytes, which waits meanwhile: be quick. By one
/// thread at a time, but not always by the same. What it throws ends the transfer, which is rolled
/// back, with status `callback`.
using progress_callback = std::function<void(const transfer_progress&)>;

}  // namespace lull

#endif  // LULL_REPORT_HPP
