#include "capi/process.hpp"

#include <lull/settle.hpp>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "capi/device.hpp"
#include "capi/settle.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

using lull::capi::checked_duration;
using lull::capi::enum_from;
using lull::capi::expect_callback_ok;
using lull::capi::expect_versioned;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::write_versioned;

namespace {

lull_stop_options default_stop_options() {
  const lull::stop_options from;
  lull_stop_options options{};
  options.struct_size = sizeof options;
  options.signal = from.signal;
  options.grace_ns = from.grace.count();
  options.kill_wait_ns = from.kill_wait.count();
  options.before_kill_timeout_ns = from.before_kill_timeout.count();
  return options;
}

lull_process_options default_process_options() {
  const lull::process_options from;
  lull_process_options options{};
  options.struct_size = sizeof options;
  options.inherit_environment = from.inherit_environment ? 1 : 0;
  options.input = static_cast<lull_stdio>(from.input);
  options.output = static_cast<lull_stdio>(from.output);
  options.errors = static_cast<lull_stdio>(from.errors);
  options.state_pipe = from.state_pipe ? 1 : 0;
  options.end_with_parent = from.end_with_parent ? 1 : 0;
  lull::capi::set_default_log(options);
  return options;
}

lull_exit_status convert(const lull::exit_status& status) noexcept {
  return {static_cast<lull_exit_kind>(status.how), status.value, status.core_dumped ? 1 : 0,
          status.shell_code()};
}

double progress_of(const lull::process_event& event) noexcept {
  return event.progress.value_or(LULL_UNKNOWN_PROGRESS);
}

/// @param options null: the defaults
/// @param name of the parameter or field, for errors
lull::stop_options make_stop_options(const lull_stop_options* options, const char* name) {
  const auto given = read_versioned(options, default_stop_options(), name);
  const auto checked = [name](std::int64_t ns, std::int64_t lowest, const char* field) {
    return checked_duration(ns, lowest, (std::string(name) + "->" + field).c_str());
  };
  lull::stop_options result;
  result.signal = given.signal;
  result.grace = checked(given.grace_ns, 0, "grace_ns");
  result.kill_wait = checked(given.kill_wait_ns, 1, "kill_wait_ns");
  result.before_kill_timeout = checked(given.before_kill_timeout_ns, 1, "before_kill_timeout_ns");
  if (given.before_kill != nullptr) {
    result.before_kill = [hook = given.before_kill, user = given.before_kill_user](int id) {
      expect_callback_ok(hook(user, id), "before_kill");
    };
  }
  return result;
}

void convert_callbacks(const lull_process_options& given, lull::process_options& options) {
  if (given.on_event != nullptr) {
    options.on_event = [callback = given.on_event,
                        user = given.on_event_user](const lull::process_event& event) {
      callback(user, static_cast<lull_process_state>(event.state), progress_of(event));
    };
  }
  if (given.on_rejected != nullptr) {
    options.on_rejected = [callback = given.on_rejected,
                           user = given.on_rejected_user](const lull::rejected_line& line) {
      callback(user, std::string(line.reason).c_str(), line.text.data(), line.text.size(),
               line.size_bytes);
    };
  }
}

lull::process_options convert(const lull_process_options& given) {
  lull::process_options options;
  options.arguments =
      lull::capi::texts_of(given.arguments, given.argument_count, "options->arguments");
  if (given.environment_count != 0) required(given.environment, "options->environment");
  for (std::size_t i = 0; i < given.environment_count; ++i) {
    const lull_variable& from = given.environment[i];
    auto& value = options.environment[&required(from.name, "a variable's name")];
    if (from.value != nullptr) value = from.value;
  }
  options.inherit_environment = given.inherit_environment != 0;
  options.directory = lull::capi::text_or_empty(given.directory);
  options.input = enum_from<lull::child_stream>(given.input, "options->input");
  options.output = enum_from<lull::child_stream>(given.output, "options->output");
  options.errors = enum_from<lull::child_stream>(given.errors, "options->errors");
  options.state_pipe = given.state_pipe != 0;
  options.end_with_parent = given.end_with_parent != 0;
  options.stopping = make_stop_options(given.stopping, "options->stopping");
  options.pid_directory = lull::capi::text_or_empty(given.pid_directory);
  if (given.releases != nullptr) options.releases = given.releases->value.get();
  options.devices = lull::capi::devices_of(given.devices, given.device_count, "options->devices");
  options.log = lull::capi::log_of(given);
  convert_callbacks(given, options);
  return options;
}

}  // namespace

lull_status lull_parent_notify(lull_process_state state, double progress, int32_t* written) {
  return guard([&] {
    static const lull::state_reporter reporter;
    const auto what = enum_from<lull::process_state>(state, "state");
    std::optional<double> known;
    if (!std::isnan(progress) && progress >= 0) known = progress;
    const bool done = reporter.report(what, known);
    if (written != nullptr) *written = done ? 1 : 0;
  });
}

void lull_stop_options_init(lull_stop_options* options) {
  if (options != nullptr) *options = default_stop_options();
}

void lull_process_options_init(lull_process_options* options) {
  if (options != nullptr) *options = default_process_options();
}

lull_status lull_process_start(const lull_process_options* options, lull_process** process) {
  return guard([&] {
    const auto given =
        read_versioned(&required(options, "options"), default_process_options(), "options");
    auto& result = required(process, "process");
    result = new lull_process{given.releases != nullptr ? given.releases->value : nullptr,
                              lull::process(convert(given))};
  });
}

void lull_process_destroy(lull_process* process) {
  delete process;
}

lull_status lull_process_observe(const lull_process* process, lull_process_snapshot* snapshot) {
  return guard([&] {
    const lull::process& of = required(process, "process").value;
    expect_versioned(snapshot, "snapshot");
    const lull::process_snapshot seen = of.observe();
    lull_process_snapshot value{};
    value.id = seen.id;
    value.ended = seen.ended ? 1 : 0;
    if (seen.ended) value.status = convert(*seen.ended);
    value.has_event = seen.last_event ? 1 : 0;
    value.last_progress = LULL_UNKNOWN_PROGRESS;
    if (seen.last_event) {
      value.last_state = static_cast<lull_process_state>(seen.last_event->state);
      value.last_progress = progress_of(*seen.last_event);
    }
    value.events = seen.events;
    value.rejected_lines = seen.rejected_lines;
    write_versioned(snapshot, value, "snapshot");
  });
}

lull_status lull_process_take_pipe(lull_process* process, lull_standard_stream which,
                                   int32_t* descriptor) {
  return guard([&] {
    lull::process& child = required(process, "process").value;
    const auto stream = enum_from<lull_standard_stream>(which, "which");
    auto& result = required(descriptor, "descriptor");
    switch (stream) {
      case LULL_STANDARD_INPUT: result = child.take_input(); break;
      case LULL_STANDARD_OUTPUT: result = child.take_output(); break;
      case LULL_STANDARD_ERRORS: result = child.take_errors(); break;
    }
  });
}

lull_status lull_process_wait(lull_process* process, int64_t timeout_ns, const lull_cancel* cancel,
                              lull_exit_status* status) {
  return guard([&] {
    lull::process& child = required(process, "process").value;
    const std::stop_token stop = lull::capi::token_of(cancel);
    const auto ended = child.wait(lull::capi::deadline_in(timeout_ns), stop);
    if (!ended) {
      throw stop.stop_requested()
          ? lull::error(lull::status::cancelled, "the wait for the process was cancelled")
          : lull::error(lull::status::timed_out,
                        lull::detail::text("process {} has not ended in time", child.id()));
    }
    if (status != nullptr) *status = convert(*ended);
  });
}

lull_status lull_process_stop(lull_process* process, const lull_stop_options* options,
                              lull_stop_result* result) {
  return guard([&] {
    lull::process& child = required(process, "process").value;
    if (result != nullptr) expect_versioned(result, "result");
    const lull::stop_result done =
        options == nullptr ? child.stop() : child.stop(make_stop_options(options, "options"));
    if (result == nullptr) return;
    write_versioned(result, {0, convert(done.status), done.killed ? 1 : 0, done.elapsed.count()},
                    "result");
  });
}

lull_status lull_process_signal(lull_process* process, int32_t number, int32_t* sent) {
  return guard([&] {
    const bool was_there = required(process, "process").value.send_signal(number);
    if (sent != nullptr) *sent = was_there ? 1 : 0;
  });
}

lull_status lull_orphans_stop(const char* pid_directory, const lull_stop_options* options,
                              lull_release_clock* releases, size_t* stopped) {
  return guard([&] {
    required(pid_directory, "pid_directory");
    lull::orphan_options how;
    how.stopping = make_stop_options(options, "options");
    const auto found = lull::find_orphans(pid_directory);
    std::size_t count = 0;
    std::optional<lull::error> failure;
    for (const lull::orphan& each : found) {
      try {
        if (lull::stop_orphan(each, how) == lull::orphan_end::gone) continue;
        ++count;
        if (releases != nullptr) releases->value->mark_all();
      } catch (const lull::error& problem) {
        if (!failure) failure = problem;
      }
    }
    if (stopped != nullptr) *stopped = count;
    if (failure) throw lull::error(*failure);
  });
}
