#include <lull/process.hpp>
#include <lull/settle.hpp>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

using lull::capi::checked_milliseconds;
using lull::capi::expect_versioned;
using lull::capi::guard;
using lull::capi::nothing;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::write_versioned;

namespace {

static_assert(LULL_PROCESS_STOPPED == static_cast<int>(lull::process_state::stopped));
static_assert(LULL_EXIT_UNKNOWN == static_cast<int>(lull::exit_status::kind::unknown));
static_assert(LULL_STREAM_PIPE == static_cast<int>(lull::child_stream::pipe));

constexpr lull_stop_options default_stop_options{
    sizeof(lull_stop_options), SIGTERM, 10000, 5000, nullptr, nullptr, 5000};

lull_process_options default_process_options() {
  lull_process_options options{};
  options.struct_size = sizeof options;
  options.inherit_environment = 1;
  options.input = LULL_STREAM_NULL;
  options.state_pipe = 1;
  options.log_threshold = LULL_LOG_INFO;
  return options;
}

/// A value of an enumeration that came from C.
template <class Enum, class From>
Enum checked_enum(const From& given, Enum last, const char* name) {
  const auto number = static_cast<std::int64_t>(lull::detail::raw(given));
  if (number < 0 || number > static_cast<std::int64_t>(last)) {
    lull::detail::fail(lull::status::invalid_argument, "{} is {}, which is none of its values",
                       name, number);
  }
  return static_cast<Enum>(number);
}

lull_exit_status convert(const lull::exit_status& status) noexcept {
  return {static_cast<lull_exit_kind>(status.how), status.value, status.core_dumped ? 1 : 0,
          status.shell_code()};
}

lull::stop_options convert(const lull_stop_options& given) {
  lull::stop_options options;
  options.signal = given.signal;
  options.grace = checked_milliseconds(given.grace_ms, 0, "grace_ms");
  options.kill_wait = checked_milliseconds(given.kill_wait_ms, 1, "kill_wait_ms");
  options.before_kill_timeout =
      checked_milliseconds(given.before_kill_timeout_ms, 1, "before_kill_timeout_ms");
  if (given.before_kill != nullptr) {
    options.before_kill = [hook = given.before_kill, user = given.before_kill_user](int id) {
      lull::capi::expect_callback_ok(hook(user, id), "before_kill");
    };
  }
  return options;
}

void convert_callbacks(const lull_process_options& given, lull::process_options& options) {
  if (given.on_event != nullptr) {
    options.on_event = [callback = given.on_event,
                        user = given.on_event_user](const lull::process_event& event) {
      callback(user, static_cast<lull_process_state>(event.state), event.progress.value_or(-1));
    };
  }
  if (given.on_rejected != nullptr) {
    options.on_rejected = [callback = given.on_rejected,
                           user = given.on_rejected_user](const lull::rejected_line& line) {
      callback(user, std::string(line.reason).c_str(), line.text.data(), line.text.size(),
               line.size_bytes);
    };
  }
  if (given.releases == nullptr) return;
  std::vector<std::string> devices;
  if (given.release_device_count != 0) required(given.release_devices, "options->release_devices");
  for (std::size_t i = 0; i < given.release_device_count; ++i) {
    devices.emplace_back(&required(given.release_devices[i], "a device of release_devices"));
  }
  // The callback keeps the clock: the handle may be destroyed before the process.
  const auto clock = given.releases->value;
  options.on_release = [clock, mark = lull::mark_on_release(*clock, std::move(devices))](
                           lull::time_point when) { mark(when); };
}

lull::process_options convert(const lull_process_options& given) {
  lull::process_options options;
  if (given.argument_count != 0) required(given.arguments, "options->arguments");
  for (std::size_t i = 0; i < given.argument_count; ++i) {
    options.arguments.emplace_back(&required(given.arguments[i], "an argument"));
  }
  if (given.environment_count != 0) required(given.environment, "options->environment");
  for (std::size_t i = 0; i < given.environment_count; ++i) {
    const lull_variable& from = given.environment[i];
    auto& value = options.environment[&required(from.name, "a variable's name")];
    if (from.value != nullptr) value = from.value;
  }
  options.inherit_environment = given.inherit_environment != 0;
  options.directory = lull::capi::text_or_empty(given.directory);
  options.input = checked_enum(given.input, lull::child_stream::pipe, "options->input");
  options.output = checked_enum(given.output, lull::child_stream::pipe, "options->output");
  options.errors = checked_enum(given.errors, lull::child_stream::pipe, "options->errors");
  options.state_pipe = given.state_pipe != 0;
  options.stopping =
      convert(read_versioned(given.stopping, default_stop_options, "options->stopping"));
  options.pid_directory = lull::capi::text_or_empty(given.pid_directory);
  options.log = lull::capi::make_log_sink(given.log, given.log_user, given.log_threshold);
  convert_callbacks(given, options);
  return options;
}

}  // namespace

lull_status lull_report_state(lull_process_state state, double progress, int32_t* written) {
  return guard([&] {
    static const lull::state_reporter reporter;
    const auto what = checked_enum(state, lull::process_state::stopped, "state");
    std::optional<double> known;
    if (!std::isnan(progress) && progress >= 0) known = progress;
    const bool done = reporter.report(what, known);
    if (written != nullptr) *written = done ? 1 : 0;
  });
}

void lull_stop_options_init(lull_stop_options* options) {
  if (options != nullptr) *options = default_stop_options;
}

void lull_process_options_init(lull_process_options* options) {
  if (options != nullptr) *options = default_process_options();
}

lull_status lull_process_start(const lull_process_options* options, lull_process** process) {
  return guard([&] {
    auto& result = required(process, "process");
    required(options, "options");
    const auto given = read_versioned(options, default_process_options(), "options");
    result = new lull_process{lull::process(convert(given))};
  });
}

void lull_process_destroy(lull_process* process) {
  delete process;
}

lull_status lull_process_observe(const lull_process* process, lull_process_snapshot* snapshot) {
  return guard([&] {
    const lull::process_snapshot seen = required(process, "process").value.observe();
    lull_process_snapshot value{};
    value.id = seen.id;
    value.ended = seen.ended ? 1 : 0;
    if (seen.ended) value.status = convert(*seen.ended);
    value.has_event = seen.last_event ? 1 : 0;
    value.last_progress = -1;
    if (seen.last_event) {
      value.last_state = static_cast<lull_process_state>(seen.last_event->state);
      value.last_progress = seen.last_event->progress.value_or(-1);
    }
    value.events = seen.events;
    value.rejected_lines = seen.rejected_lines;
    write_versioned(snapshot, value, "snapshot");
  });
}

lull_status lull_process_take_stream(lull_process* process, lull_standard_stream which,
                                     int32_t* descriptor) {
  return guard([&] {
    auto& result = required(descriptor, "descriptor");
    lull::process& child = required(process, "process").value;
    switch (checked_enum(which, LULL_STANDARD_ERRORS, "which")) {
      case LULL_STANDARD_INPUT: result = child.take_input(); break;
      case LULL_STANDARD_OUTPUT: result = child.take_output(); break;
      case LULL_STANDARD_ERRORS: result = child.take_errors(); break;
    }
  });
}

lull_status lull_process_wait(lull_process* process, int64_t timeout_ms, const lull_cancel* cancel,
                              lull_exit_status* status) {
  return guard([&] {
    lull::process& child = required(process, "process").value;
    const std::stop_token stop = lull::capi::token_of(cancel);
    const auto ended = child.wait(lull::capi::deadline_after(timeout_ms), stop);
    if (!ended) {
      throw stop.stop_requested()
          ? lull::error(lull::status::cancelled, "the wait for the process was cancelled")
          : lull::error(lull::status::timed_out,
                        lull::detail::text("process {} has not ended within {} ms", child.id(),
                                           timeout_ms));
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
        options == nullptr
            ? child.stop()
            : child.stop(convert(read_versioned(options, default_stop_options, "options")));
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

lull_status lull_stop_orphans(const char* pid_directory, const lull_stop_options* options,
                              lull_release_clock* releases, size_t* stopped) {
  return guard([&] {
    const auto found = lull::find_orphans(&required(pid_directory, "pid_directory"));
    lull::orphan_options how;
    how.stopping = convert(read_versioned(options, default_stop_options, "options"));
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
