#ifndef LULL_PROCESS_PROC_STAT_HPP
#define LULL_PROCESS_PROC_STAT_HPP

#include <lull/clock.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vocabulary/unique_fd.hpp"

namespace lull::detail {

/// What is of interest in /proc/<id>/stat (proc(5)).
struct proc_stat {
  int id = 0;
  char state = '?';
  int parent = 0;
  int group = 0;
  int threads = 0;
  std::uint64_t start_ticks = 0;

  /// Whether it holds anything still: a zombie has given all back but its number. The state is that
  /// of the first thread, which may have ended before the others.
  [[nodiscard]] bool alive() const noexcept {
    return state != 'X' && (state != 'Z' || threads > 1);
  }
};

/// Absent when the text is none. The name of the program in it may hold anything.
std::optional<proc_stat> parse_proc_stat(std::string_view text);
/// Absent when there is no such process, or /proc does not show it.
/// @throws error (io) when there are not the means to look, such as a descriptor: that says nothing
///         about the process
std::optional<proc_stat> read_proc_stat(int id);

/// All that are alive. Reads all of /proc.
std::vector<proc_stat> living_processes();

/// Those of a process group that are alive. Reads all of /proc.
/// @throws error as read_proc_stat()
std::vector<proc_stat> living_members(int group);

/// A process, and with `descendants` all that it started, and these started, that are alive: it
/// first, and each before what it started. Empty when it is not there. Reads all of /proc for them.
std::vector<proc_stat> living_tree(int top, bool descendants);

/// Of /proc/<id>/status (proc(5)).
struct proc_status {
  std::string name;
  std::uint32_t user = 0;  ///< the real user id
  /// In memory and swapped out; absent where the kernel does not say.
  std::optional<std::uint64_t> host_bytes;
};
/// Absent when there is no such process, or /proc does not show it.
std::optional<proc_status> read_proc_status(int id);

/// The rest of a small file; what could be read when reading fails.
std::string read_rest(const unique_fd& file);
/// A whole small file; empty when it cannot be opened.
std::string read_small_file(const char* path);

/// The kernel's id of this boot: start times mean nothing beyond it.
std::string read_boot_id();
/// Which pid namespace this process is in: ids mean nothing outside of it.
std::string read_pid_namespace();

/// A descriptor that becomes readable when the process ends; empty where the kernel has none
/// (before Linux 5.3), forbids it, or the process is gone.
unique_fd open_pidfd(int id) noexcept;

/// Waits until the process is no longer the one that started at `start_ticks`, or is a zombie.
/// While there are not the means to look it counts as alive.
/// @param deadline in real time
/// @return whether it has ended
bool wait_for_end(int id, std::uint64_t start_ticks, time_point deadline);

/// Waits until nobody of a group is alive, or that cannot be seen until the deadline.
/// @param deadline in real time
/// @return whether the group has ended
bool wait_for_group_end(int group, time_point deadline);

}  // namespace lull::detail

#endif  // LULL_PROCESS_PROC_STAT_HPP
