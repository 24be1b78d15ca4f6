// And back on them.

#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/suspend.hpp>

#include <unistd.h>

#include <algorithm>

#include "process/own_file.hpp"
#include "process/proc_stat.hpp"
#include "process/suspend_look.hpp"
#include "process/suspend_record.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {
namespace {

/// What a process takes on each of the devices. Where that is not known, as much as somebody says,
/// or else as its whole host memory: what it had is a part of that.
std::vector<std::uint64_t> needed_on(const suspend_devices& devices, const suspended_process& which,
                                     const resume_options& options) {
  std::vector<std::uint64_t> needed(devices.all().size(), 0);
  if (!which.device_bytes()) {
    std::optional<std::uint64_t> most = options.device_bytes;
    if (const auto status = read_proc_status(which.id); !most && status) most = status->host_bytes;
    if (!most) {
      fail(status::unsupported,
           "process {}: it is not known what it had on its devices, nor how large it is, and if it "
           "does not fit it is lost; say how much it needs",
           which.id);
    }
    std::fill(needed.begin(), needed.end(), *most);
    return needed;
  }
  for (const suspended_part& each : which.parts) {
    const auto on = std::find_if(devices.all().begin(), devices.all().end(),
                                 [&](const device& one) { return one.name() == each.device; });
    if (on == devices.all().end()) {
      fail(status::not_found, "process {} had {} on {}, which is not among the devices here",
           which.id, format_bytes(*each.bytes), each.device);
    }
    needed[static_cast<std::size_t>(on - devices.all().begin())] += *each.bytes;
  }
  return needed;
}

/// That all of them fit together.
void expect_room_for(const suspend_devices& devices, const std::vector<suspended_process>& which,
                     const resume_options& options) {
  std::vector<std::uint64_t> needed(devices.all().size(), 0);
  std::vector<int> ids;
  for (const suspended_process& each : which) {
    const auto more = needed_on(devices, each, options);
    for (std::size_t i = 0; i < needed.size(); ++i) needed[i] += more[i];
    ids.push_back(each.id);
  }
  const std::vector<std::uint64_t> free = devices.free_bytes();
  for (std::size_t i = 0; i < free.size(); ++i) {
    if (needed[i] == 0) continue;
    const std::uint64_t wanted = needed[i] + options.device_margin_bytes;
    if (wanted <= free[i]) continue;
    fail(status::out_of_device_memory,
         "resuming process {} takes {} on {}, and {} are to be left there; {} are free: {} are "
         "missing. It stays suspended: one that is restored without the room is lost",
         detail::join(ids, ", "), format_bytes(needed[i]), devices.all()[i].name(),
         format_bytes(options.device_margin_bytes), format_bytes(free[i]),
         format_bytes(wanted - free[i]));
  }
}

class resumption {
 public:
  resumption(const std::vector<device>& devices, const std::vector<suspended_process>& which,
             const resume_options& options)
      : devices_(devices),
        options_(options),
        turn_(directory_of(which), suspend_deadline(options.timeout)) {
    for (const suspended_process& each : which) {
      is_alive({each.id, each.start_ticks}) ? left_.push_back(each) : remove_file(each);
    }
    if (left_.empty()) {
      throw error(status::not_found, which.size() == 1
                                         ? text("process {} has ended", which.front().id)
                                         : "none of the processes to be resumed is there any more");
    }
  }

  void run() {
    std::vector<suspended_process> to_restore;
    for (suspended_process& each : left_) {
      expect_suspended(each);
      if (each.state == gpu_state::suspended) to_restore.push_back(each);
    }
    expect_room_for(devices_, to_restore, options_);
    restore_all();
    unlock_all();
    if (failures_.empty()) return;
    const std::string words = detail::join(failures_, "; ");
    throw vendor_ ? error(status::backend, words, *vendor_) : error(status::backend, words);
  }

 private:
  /// One directory is that of all: they were suspended together.
  static std::filesystem::path directory_of(const std::vector<suspended_process>& which) {
    for (const suspended_process& each : which) {
      if (!each.file.empty()) return each.file.parent_path();
    }
    return {};
  }

  static void remove_file(const suspended_process& which) {
    if (!which.file.empty()) ::unlink(which.file.c_str());
  }

  void expect_suspended(suspended_process& which) const {
    if (which.state != gpu_state::lost) which.state = devices_.driver().suspend_state(which.id);
    switch (which.state) {
      case gpu_state::suspended:
      case gpu_state::locked: return;
      case gpu_state::running:
        remove_file(which);
        fail(status::busy, "process {} is not suspended any more", which.id);
      case gpu_state::lost:
        fail(status::backend,
             "process {} was lost in an earlier restore, and no other can bring it back; it can "
             "only be ended",
             which.id);
    }
  }

  void restore_all() {
    for (auto each = left_.rbegin(); each != left_.rend(); ++each) {
      if (each->state == gpu_state::locked) continue;
      try {
        // Again for each: the one before may have taken more than it had.
        expect_room(devices_, *each, options_);
      } catch (const error& failure) {
        note(failure, text("process {} is still suspended", each->id));
        continue;
      }
      try {
        take_step(suspend_progress::step::restored, each->id, each->device_bytes(),
                  options_.on_progress, options_.log,
                  [&] { devices_.driver().suspend_restore(each->id); });
        each->state = gpu_state::locked;
      } catch (const error& failure) {
        if (!is_alive({each->id, each->start_ticks})) {
          remove_file(*each);
          continue;
        }
        each->state = gpu_state::lost;
        note(failure, text("process {} is lost: its restore failed, and the driver takes no other",
                           each->id));
        write_lost(*each);
      }
    }
  }

  void unlock_all() {
    for (auto each = left_.rbegin(); each != left_.rend(); ++each) {
      if (each->state != gpu_state::locked) continue;
      try {
        take_step(suspend_progress::step::unlocked, each->id, std::nullopt, options_.on_progress,
                  options_.log, [&] { devices_.driver().suspend_unlock(each->id); });
        remove_file(*each);
      } catch (const error& failure) {
        if (!is_alive({each->id, each->start_ticks})) {
          remove_file(*each);
          continue;
        }
        note(failure, text("process {} is restored and still locked", each->id));
      }
    }
  }

  void note(const error& failure, const std::string& what) {
    if (failures_.empty() && failure.vendor() != nullptr) vendor_ = *failure.vendor();
    failures_.push_back(text("{}: {}", what, failure.what()));
  }

  void write_lost(const suspended_process& which) const noexcept {
    if (which.file.empty()) return;
    try {
      write_own_file(which.file.parent_path(), which.file.filename().string(),
                     to_text({which, read_boot_id(), read_pid_namespace()}));
    } catch (...) {
      log_warning(options_.log, which.file.string(), current_error(status::internal).what());
    }
  }

  const suspend_devices devices_;
  const resume_options& options_;
  const suspend_turn turn_;
  std::vector<suspended_process> left_;
  std::vector<std::string> failures_;
  std::optional<vendor_failure> vendor_;
};

}  // namespace

void expect_room(const suspend_devices& devices, const suspended_process& which,
                 const resume_options& options) {
  expect_room_for(devices, {which}, options);
}

}  // namespace detail

void resume_processes(const std::vector<device>& devices,
                      const std::vector<suspended_process>& which, const resume_options& options) {
  detail::expect_same_process();
  if (which.empty()) throw error(status::invalid_argument, "no process to resume was given");
  detail::resumption(devices, which, options).run();
}

}  // namespace lull
