#ifndef LULL_PROCESS_SUSPEND_LOOK_HPP
#define LULL_PROCESS_SUSPEND_LOOK_HPP

#include <lull/error.hpp>
#include <lull/suspend.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "process/pid_file.hpp"
#include "vocabulary/unique_fd.hpp"

namespace lull::detail {

/// The devices of a machine as whoever suspends and resumes processes sees them: those of the
/// driver that can, and one of them to call it by.
class suspend_devices {
 public:
  /// @throws error (unsupported) when none can
  explicit suspend_devices(const std::vector<device>& all);

  [[nodiscard]] const std::vector<device>& all() const noexcept { return devices_; }
  [[nodiscard]] const device& driver() const noexcept { return devices_.front(); }

  /// What is free on each of them, in this moment.
  /// @throws error unsupported: one cannot say; timed_out; backend
  [[nodiscard]] std::vector<std::uint64_t> free_bytes() const;
  /// What is in use on all of them.
  /// @throws error as free_bytes
  [[nodiscard]] std::uint64_t used_bytes() const;
  /// What the driver lists of a process. Empty: nothing, or its list is not to be had or of another
  /// pid namespace.
  [[nodiscard]] std::vector<suspended_part> listed(int id) const;

 private:
  std::vector<device> devices_;
};

/// While it exists no other of lull, in this process, or in another that uses the same directory,
/// suspends or resumes: what is free would not be there any more in the moment after the look.
class suspend_turn {
 public:
  /// @param directory may be empty
  /// @throws error timed_out; io
  suspend_turn(const std::filesystem::path& directory, time_point deadline);
  ~suspend_turn();
  suspend_turn(const suspend_turn&) = delete;
  suspend_turn& operator=(const suspend_turn&) = delete;

 private:
  unique_fd directory_;
};

/// That what a suspended process had fits on its devices, in this moment.
/// @throws error out_of_device_memory, with the arithmetic; not_found: one of its devices is not
///         here; unsupported; as suspend_devices::free_bytes
void expect_room(const suspend_devices& devices, const suspended_process& which,
                 const resume_options& options);

/// The failure in other words, with the vendor's code if it has one.
error in_other_words(const error& failure, const std::string& words);

/// @throws error (invalid_argument)
time_point suspend_deadline(duration timeout);

/// Runs a step with a process and tells of it.
void take_step(suspend_progress::step step, int id, std::optional<std::uint64_t> bytes,
               const std::function<void(const suspend_progress&)>& on_progress, const log_sink& log,
               const std::function<void()>& work);

}  // namespace lull::detail

#endif  // LULL_PROCESS_SUSPEND_LOOK_HPP
