// Which processes are suspended.

#include <lull/error.hpp>
#include <lull/suspend.hpp>

#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "core/probe_thread.hpp"
#include "process/own_file.hpp"
#include "process/proc_stat.hpp"
#include "process/suspend_look.hpp"
#include "process/suspend_record.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {
namespace {

/// What the driver says of a process, on a thread that may hang: with peers a question to one may
/// wait for another that is locked. Absent: it said nothing in time, or that it cannot say.
std::optional<gpu_state> ask_state(probe_thread& thread, const device& driver, int id) {
  constexpr auto patience = std::chrono::seconds{1};
  try {
    const auto answer = thread.call(
        steady_clock(), [driver, id] { return driver.suspend_state(id); },
        steady_clock().deadline_in(patience));
    return answer.value;
  } catch (const error&) {
    return std::nullopt;
  }
}

/// Those that stand in the directory and are what is written of them.
std::vector<suspended_process> read_directory(const std::filesystem::path& directory,
                                              const log_sink& log) {
  namespace fs = std::filesystem;
  std::vector<suspended_process> found;
  const std::string boot_id = read_boot_id();
  const std::string pid_namespace = read_pid_namespace();
  std::error_code failed;
  for (fs::directory_iterator at(directory, failed), end; !failed && at != end;
       at.increment(failed)) {
    const fs::path path = at->path();
    if (!is_suspend_file_name(path.filename().native())) continue;
    const auto words = read_own_file(path, log);
    if (!words) continue;
    auto record = parse_suspend_record(*words);
    if (!record) {
      log_warning(log, path.string(), "is no file of a suspended process");
      continue;
    }
    suspended_process& which = record->process;
    if (record->boot_id == boot_id && record->pid_namespace != pid_namespace) continue;
    if (record->boot_id != boot_id || !is_alive({which.id, which.start_ticks})) {
      ::unlink(path.c_str());
      continue;
    }
    which.file = path;
    found.push_back(std::move(which));
  }
  if (failed && failed != std::errc::no_such_file_or_directory) {
    fail(status::io, "suspended processes in '{}': {}", directory.string(), failed.message());
  }
  return found;
}

/// Whether a process has the driver of the devices in its memory, as far as this user may look.
bool has_driver(int id, std::string_view library) {
  return read_small_file(text("/proc/{}/maps", id).c_str()).find(library) != std::string::npos;
}

suspended_process unrecorded(const proc_stat& which, gpu_state state) {
  suspended_process one;
  one.id = which.id;
  one.start_ticks = which.start_ticks;
  one.state = state;
  if (const auto status = read_proc_status(which.id)) one.command = one_line(status->name);
  return one;
}

void add_unrecorded(const device& driver, probe_thread& thread,
                    std::vector<suspended_process>& found) {
  const std::string library = text("/lib{}.so", driver.backend());
  for (const proc_stat& each : living_processes()) {
    const bool known = std::any_of(found.begin(), found.end(),
                                   [&](const auto& other) { return other.id == each.id; });
    if (known || each.id == ::getpid() || !has_driver(each.id, library)) continue;
    const auto state = ask_state(thread, driver, each.id);
    if (!state || *state == gpu_state::running) continue;
    found.push_back(unrecorded(each, *state));
  }
}

}  // namespace
}  // namespace detail

std::vector<suspended_process> find_suspended(const std::vector<device>& devices,
                                              const std::filesystem::path& directory,
                                              const log_sink& log) {
  detail::expect_same_process();
  std::vector<suspended_process> found = detail::read_directory(directory, log);
  const auto driver = std::find_if(devices.begin(), devices.end(), [](const device& each) {
    return each.supports(capability::suspend);
  });
  if (driver != devices.end()) {
    detail::probe_thread thread;
    std::vector<suspended_process> still;
    for (suspended_process& each : found) {
      const auto state = detail::ask_state(thread, *driver, each.id);
      if (state == gpu_state::running) {
        ::unlink(each.file.c_str());
        continue;
      }
      if (state && each.state != gpu_state::lost) each.state = *state;
      still.push_back(std::move(each));
    }
    found = std::move(still);
    detail::add_unrecorded(*driver, thread, found);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return found;
}

std::vector<suspended_process> find_suspended(const std::vector<device>& devices, int id, bool tree,
                                              const std::filesystem::path& directory,
                                              const log_sink& log) {
  detail::expect_same_process();
  const device driver = detail::suspend_devices(devices).driver();
  const std::vector<suspended_process> recorded = detail::read_directory(directory, log);
  const std::vector<detail::proc_stat> asked = detail::living_tree(id, tree);
  if (asked.empty()) detail::fail(status::not_found, "there is no process {}", id);
  std::vector<suspended_process> found;
  for (const detail::proc_stat& each : asked) {
    gpu_state state = gpu_state::running;
    try {
      state = driver.suspend_state(each.id);
    } catch (const error& failure) {
      if (!tree || failure.code() != status::not_found) throw;
    }
    if (state == gpu_state::running) continue;
    const auto known = std::find_if(recorded.begin(), recorded.end(),
                                    [&](const auto& one) { return one.id == each.id; });
    found.push_back(known != recorded.end() ? *known : detail::unrecorded(each, state));
  }
  if (found.empty()) {
    detail::fail(status::not_found, "process {}{} is not suspended", id,
                 tree ? " and what it started" : "");
  }
  return found;
}

}  // namespace lull
