#include <lull/c/suspend.h>
#include <lull/suspend.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "capi/device.hpp"
#include "capi/process.hpp"
#include "capi/values.hpp"

using lull::capi::checked_duration;
using lull::capi::figure_from;
using lull::capi::guard;
using lull::capi::or_unknown;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::text_or_empty;

namespace {

lull_suspend_options default_suspend_options() {
  const lull::suspend_options from;
  lull_suspend_options options{};
  options.struct_size = sizeof options;
  options.tree = from.tree ? 1 : 0;
  options.timeout_ns = from.timeout.count();
  options.device_bytes = or_unknown(from.device_bytes);
  options.host_margin_bytes = from.host_margin_bytes;
  return options;
}

lull_resume_options default_resume_options() {
  const lull::resume_options from;
  lull_resume_options options{};
  options.struct_size = sizeof options;
  options.timeout_ns = from.timeout.count();
  options.device_bytes = or_unknown(from.device_bytes);
  options.device_margin_bytes = from.device_margin_bytes;
  return options;
}

template <class Options>
std::function<void(const lull::suspend_progress&)> suspend_progress_of(const Options& given) {
  if (given.on_progress == nullptr) return {};
  return [callback = given.on_progress,
          user = given.on_progress_user](const lull::suspend_progress& done) {
    callback(user, static_cast<lull_suspend_step>(done.done), done.id, or_unknown(done.bytes),
             done.elapsed.count());
  };
}

/// @param given null: the defaults
lull::suspend_options make_suspend_options(const lull_suspend_options* given) {
  const auto from = read_versioned(given, default_suspend_options(), "options");
  lull::suspend_options options;
  options.tree = from.tree != 0;
  options.timeout = checked_duration(from.timeout_ns, 1, "options->timeout_ns");
  options.directory = text_or_empty(from.directory);
  options.device_bytes = figure_from(from.device_bytes);
  options.host_margin_bytes = from.host_margin_bytes;
  options.on_progress = suspend_progress_of(from);
  return options;
}

lull::resume_options make_resume_options(const lull_resume_options& from) {
  lull::resume_options options;
  options.timeout = checked_duration(from.timeout_ns, 1, "options->timeout_ns");
  options.device_bytes = figure_from(from.device_bytes);
  options.device_margin_bytes = from.device_margin_bytes;
  options.on_progress = suspend_progress_of(from);
  return options;
}

lull_suspended_process convert_suspended(const lull::suspended_process& from) {
  lull_suspended_process one{};
  one.pid = from.id;
  one.recorded = from.recorded ? 1 : 0;
  one.by_pid = from.by_process;
  one.by_user = from.by_user;
  one.since_unix_ns =
      from.recorded
          ? std::chrono::duration_cast<std::chrono::nanoseconds>(from.since.time_since_epoch())
                .count()
          : LULL_UNKNOWN_NS;
  one.device_bytes = or_unknown(from.device_bytes());
  one.host_bytes = or_unknown(from.host_bytes);
  one.state = static_cast<lull_gpu_state>(from.state);
  set_text(one.command, from.command);
  return one;
}

}  // namespace

void lull_suspend_options_init(lull_suspend_options* options) {
  if (options != nullptr) *options = default_suspend_options();
}

void lull_resume_options_init(lull_resume_options* options) {
  if (options != nullptr) *options = default_resume_options();
}

lull_status lull_pid_suspend(lull_device* const* devices, size_t device_count, int32_t pid,
                             const lull_suspend_options* options, size_t* count) {
  return guard([&] {
    required(devices, "devices");
    const auto done = lull::suspend_process(lull::capi::devices_of(devices, device_count), pid,
                                            make_suspend_options(options));
    if (count != nullptr) *count = done.size();
  });
}

lull_status lull_pid_resume(lull_device* const* devices, size_t device_count, int32_t pid,
                            const lull_resume_options* options) {
  return guard([&] {
    required(devices, "devices");
    const auto given = read_versioned(options, default_resume_options(), "options");
    const auto how = make_resume_options(given);
    const auto on = lull::capi::devices_of(devices, device_count);
    lull::resume_processes(
        on,
        lull::find_suspended(on, pid, given.tree != 0,
                             std::filesystem::path(text_or_empty(given.directory))),
        how);
  });
}

lull_status lull_suspended_list(lull_device* const* devices, size_t device_count,
                                const char* directory, lull_suspended_process* processes,
                                size_t capacity, size_t* count) {
  return guard([&] {
    required(devices, "devices");
    if (capacity != 0) required(processes, "processes");
    auto& all = required(count, "count");
    const auto found = lull::find_suspended(lull::capi::devices_of(devices, device_count),
                                            std::filesystem::path(text_or_empty(directory)));
    all = found.size();
    for (std::size_t i = 0; i < std::min(capacity, found.size()); ++i) {
      processes[i] = convert_suspended(found[i]);
    }
  });
}

lull_status lull_process_suspend(lull_process* process, const lull_suspend_options* options) {
  return guard([&] {
    lull::process& child = required(process, "process").value;
    child.suspend(make_suspend_options(options));
  });
}

lull_status lull_process_resume(lull_process* process, const lull_resume_options* options) {
  return guard([&] {
    lull::process& child = required(process, "process").value;
    child.resume(make_resume_options(read_versioned(options, default_resume_options(), "options")));
  });
}
