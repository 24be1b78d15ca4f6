#ifndef LULL_SUSPEND_HPP
#define LULL_SUSPEND_HPP

/// @file
/// Any process off its GPUs and back: the driver moves what it has there to its host memory, and it
/// waits in its next call of the driver until it is resumed (capability::suspend). It need not know
/// of lull. One that is suspended holds nothing of any GPU.
///
/// A process whose restore does not find the memory is lost for good (seen with driver 580: every
/// later restore failed, with all memory free again). So what each had is written down when it is
/// suspended, and compared with what is free in the moment before it is resumed.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/export.h>
#include <lull/log.hpp>
#include <lull/stop.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lull {

/// What a suspended process had on one device, and will have there again.
struct suspended_part {
  std::string device;
  std::optional<std::uint64_t> bytes = {};  ///< absent: not known

  friend bool operator==(const suspended_part& a, const suspended_part& b) noexcept {
    return a.device == b.device && a.bytes == b.bytes;
  }
  friend bool operator!=(const suspended_part& a, const suspended_part& b) noexcept {
    return !(a == b);
  }
};

/// A process that is suspended.
struct suspended_process {
  int id = 0;
  /// When it started, in clock ticks since boot: what tells it from another process with its id.
  std::uint64_t start_ticks = 0;
  std::string command = {};  ///< its name
  /// Whether it was suspended by lull, and written down; of others only the process is known.
  bool recorded = false;
  std::uint32_t by_user = 0;  ///< the user id of who suspended it
  int by_process = 0;         ///< and the process id
  std::chrono::system_clock::time_point since = {};
  /// Where it had memory. Measured: as the driver listed it, or else by what became free.
  std::vector<suspended_part> parts = {};
  /// How much its host memory, swapped out or not, grew when it was suspended; absent: not known.
  std::optional<std::uint64_t> host_bytes = {};
  /// Of the driver: `suspended`, or `lost` when that is known, or `locked`, by a program that was
  /// ended in the middle.
  gpu_state state = gpu_state::suspended;
  std::filesystem::path file = {};  ///< where this stands; empty: nowhere

  /// What it had on all devices; absent when one is not known, or none is.
  [[nodiscard]] LULL_API std::optional<std::uint64_t> device_bytes() const noexcept;
};

/// A step that has been taken with one process.
struct suspend_progress {
  enum class step : std::uint8_t { locked, saved, restored, unlocked };
  step done = step::locked;
  int id = 0;
  std::optional<std::uint64_t> bytes = {};  ///< that were moved; absent: none, or not known
  duration elapsed{};                       ///< the step
};
/// "locked", "suspended", "restored", "unlocked".
LULL_API std::string_view to_string(suspend_progress::step step) noexcept;

struct suspend_options {
  /// With all its descendants that use a GPU: all of them or none. They are locked from the top of
  /// the tree down, and saved when all are.
  bool tree = false;
  /// For the work that the processes have submitted, all together, and for others of lull that
  /// suspend or resume at this moment. Once everything is locked the copies take as long as they
  /// take: they cannot be broken off without loss. 1 ms to a day.
  duration timeout = std::chrono::seconds{10};
  /// Where it is written down, as process_options::pid_directory is for children: then other
  /// programs of this user find it, and resume it safely. Empty: only in what is returned.
  std::filesystem::path directory = {};
  /// How much the processes have on their devices, all together, where the platform does not tell
  /// and the caller knows. Absent: then as much as all of what is in use there.
  std::optional<std::uint64_t> device_bytes = {};
  /// Host memory that must be left. 1 GiB: enough for what goes on beside it.
  std::uint64_t host_margin_bytes = std::uint64_t{1} << 30;
  /// Called after every step, on the caller's thread. What it throws is logged.
  std::function<void(const suspend_progress&)> on_progress = {};
  stop_view stop = {};  ///< ends it before the next process is locked; what was locked is unlocked
  log_sink log = {};
};

struct resume_options {
  /// For others of lull that suspend or resume at this moment. 1 ms to a day.
  duration timeout = std::chrono::seconds{10};
  /// What a process needs on each device, where nothing is known of that and the caller knows.
  /// Absent: then as much as its whole host memory, of which what it had is a part.
  std::optional<std::uint64_t> device_bytes = {};
  /// What must be free beside that, on each device. 256 MiB: others may take some in the moment
  /// between the look and the restore.
  std::uint64_t device_margin_bytes = std::uint64_t{256} << 20;
  std::function<void(const suspend_progress&)> on_progress = {};  ///< as suspend_options
  log_sink log = {};
};

/// Suspends a process of this machine. Blocks for as long as the driver takes, which copies at 1.4
/// to 2.6 GB/s (docs/hardware-notes.md); creates no context. Before anything is touched it is made
/// sure that the process uses a GPU, is not suspended already, may be traced by this user, and that
/// host memory suffices for what the driver will carry. After a failure all processes run as
/// before; the error says so where one does not.
/// @param devices those of the machine that the process may have memory on, one with
///        capability::suspend among them
/// @param id the process, as this process knows it; not this process, nor above it with `tree`
/// @return the processes that were suspended: one, or with `tree` each that uses a GPU
/// @throws error not_found: no such process, it ended meanwhile, or uses no GPU; unsupported: no
///         device has the capability, or the platform cannot say what is free; busy: suspended or
///         locked already; timed_out; out_of_host_memory, with the arithmetic; io: this user lacks
///         the right, or the record could not be written; cancelled; invalid_argument; backend
LULL_API std::vector<suspended_process> suspend_process(const std::vector<device>& devices, int id,
                                                        const suspend_options& options = {});

/// Resumes processes, in the reverse order: all of them are restored, then they go on. In the
/// moment before, it is made sure that what each had is free on every device, with the margin.
/// Nothing is touched where it is not. Blocks for as long as the driver takes, which copies at 4 to
/// 6 GB/s. Those that have ended are left out. Removes their files.
/// @param devices as for suspend_process
/// @throws error out_of_device_memory, with the arithmetic: all are suspended as before;
///         unsupported: a device cannot say what is free; not_found: all have ended; busy: one is
///         not suspended any more; timed_out; backend: says which were lost, and the others go on
LULL_API void resume_processes(const std::vector<device>& devices,
                               const std::vector<suspended_process>& which,
                               const resume_options& options = {});

/// The suspended processes that stand in a directory (suspend_options::directory), and of those
/// that do not each that may be looked at, has a driver of `devices` loaded, and is suspended or
/// locked. Files of processes that have ended or run again are removed. Blocks for at most a second
/// a process, should a driver not answer.
/// @return sorted by id
/// @throws error (io) when the directory cannot be read
[[nodiscard]] LULL_API std::vector<suspended_process> find_suspended(
    const std::vector<device>& devices, const std::filesystem::path& directory,
    const log_sink& log = {});

/// One process of these, for resume_processes(), and with `tree` those that it started.
/// @throws error not_found: there is no such process, it uses no GPU, or it is not suspended;
///         unsupported: no device has capability::suspend; io
[[nodiscard]] LULL_API std::vector<suspended_process> find_suspended(
    const std::vector<device>& devices, int id, bool tree, const std::filesystem::path& directory,
    const log_sink& log = {});

}  // namespace lull

#endif  // LULL_SUSPEND_HPP
