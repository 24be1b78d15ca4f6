// suspend, resume and ps: any process off its GPUs and back.

#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/registry.hpp>
#include <lull/suspend.hpp>

#include <pwd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "demo/interrupt.hpp"
#include "duration_option.hpp"
#include "facts.hpp"
#include "pid_directory.hpp"
#include "say.hpp"
#include "text_table.hpp"

namespace lull::tool {
namespace {

using nlohmann::ordered_json;

struct suspend_arguments {
  int id = 0;
  bool tree = false;
  bool json = false;
  std::filesystem::path directory = default_pid_directory();
  duration timeout = suspend_options{}.timeout;
  std::string device_bytes;
  std::string margin;
};

log_sink suspend_warnings() {
  return log_sink([](log_level, std::string_view line) { say("lull: {}", line); },
                  log_level::warning);
}

void tell(const suspend_progress& done) {
  say("{} {}{} in {:.0f} ms", to_string(done.done), done.id,
      done.bytes ? fmt::format(": {}", format_bytes(*done.bytes)) : "", milliseconds(done.elapsed));
}

std::optional<std::uint64_t> bytes_of(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(parse_bytes(text));
}

std::string user_name(std::uint32_t id) {
  const passwd* const entry = ::getpwuid(id);
  return entry != nullptr ? entry->pw_name : std::to_string(id);
}

std::string time_text(const suspended_process& which) {
  if (!which.recorded) return "unknown";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(which.since)));
}

ordered_json process_json(const suspended_process& which) {
  ordered_json devices = ordered_json::array();
  for (const suspended_part& each : which.parts) {
    devices.push_back({{"device", each.device}, {"bytes", bytes_json(each.bytes)}});
  }
  const bool known = which.recorded;
  return {{"pid", which.id},
          {"command", text_json(which.command)},
          {"state", to_string(which.state)},
          {"by_user", known ? ordered_json(user_name(which.by_user)) : ordered_json()},
          {"by_pid", known ? ordered_json(which.by_process) : ordered_json()},
          {"since", known ? ordered_json(time_text(which)) : ordered_json()},
          {"device_bytes", bytes_json(which.device_bytes())},
          {"host_bytes", bytes_json(which.host_bytes)},
          {"devices", devices}};
}

void print_processes_json(const std::vector<suspended_process>& all) {
  ordered_json list = ordered_json::array();
  for (const suspended_process& each : all) list.push_back(process_json(each));
  fmt::print("{}\n", json_dump(ordered_json{{"processes", list}}, 2));
}

void print_processes(const std::vector<suspended_process>& all) {
  constexpr auto right = table_column::side::right;
  text_table table({{"PID", right},
                    {"STATE"},
                    {"BY"},
                    {"SINCE"},
                    {"HAD ON GPUS", right},
                    {"HOST MEMORY", right},
                    {"COMMAND"}});
  for (const suspended_process& each : all) {
    table.add({std::to_string(each.id), std::string(to_string(each.state)),
               each.recorded ? fmt::format("{} ({})", user_name(each.by_user), each.by_process)
                             : "unknown",
               time_text(each), bytes_text(each.device_bytes()), bytes_text(each.host_bytes),
               each.command});
  }
  fmt::print("{}", table.text());
}

void add_common(CLI::App& command, suspend_arguments& arguments) {
  command
      .add_option("--pid-dir", arguments.directory,
                  "Where files tell of suspended processes, and of what each had")
      ->capture_default_str();
  command.add_flag("--json", arguments.json, "Print JSON; progress is on standard error");
}

void add_target(CLI::App& command, suspend_arguments& arguments) {
  command.add_option("pid", arguments.id, "The process")->required()->check(CLI::Range(2, 1 << 30));
  command.add_flag("--tree", arguments.tree,
                   "With all that it has started, and these: each that uses a GPU");
}

CLI::Validator a_size() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        try {
          static_cast<void>(parse_bytes(text));
          return {};
        } catch (const error& failure) {
          return failure.what();
        }
      },
      "BYTES");
}

void expect_timeout(const suspend_arguments& arguments) {
  if (arguments.timeout >= std::chrono::milliseconds{1}) return;
  throw CLI::ValidationError("--timeout", "the shortest is 1ms");
}

exit_status run_suspend(const suspend_arguments& arguments) {
  // A program that is ended in the middle leaves the process locked: signals ask it to stop where
  // that is safe.
  const demo::interrupt_watch interrupts;
  const registry all;
  suspend_options how;
  how.tree = arguments.tree;
  how.timeout = arguments.timeout;
  how.directory = arguments.directory;
  how.device_bytes = bytes_of(arguments.device_bytes);
  if (const auto margin = bytes_of(arguments.margin)) how.host_margin_bytes = *margin;
  how.on_progress = tell;
  how.stop = interrupts.token();
  how.log = suspend_warnings();
  const auto done = suspend_process(all.devices(), arguments.id, how);
  arguments.json ? print_processes_json(done) : print_processes(done);
  return exit_ok;
}

exit_status run_resume(const suspend_arguments& arguments) {
  const demo::interrupt_watch interrupts;
  const registry all;
  resume_options how;
  how.timeout = arguments.timeout;
  how.device_bytes = bytes_of(arguments.device_bytes);
  if (const auto margin = bytes_of(arguments.margin)) how.device_margin_bytes = *margin;
  how.on_progress = tell;
  how.log = suspend_warnings();
  const auto found = find_suspended(all.devices(), arguments.id, arguments.tree,
                                    arguments.directory, suspend_warnings());
  resume_processes(all.devices(), found, how);
  if (arguments.json) {
    ordered_json ids = ordered_json::array();
    for (const suspended_process& each : found) ids.push_back(each.id);
    fmt::print("{}\n", json_dump(ordered_json{{"resumed", ids}}, 2));
  }
  return exit_ok;
}

exit_status run_ps(const suspend_arguments& arguments) {
  const registry all;
  const auto found = find_suspended(all.devices(), arguments.directory, suspend_warnings());
  if (arguments.json) {
    print_processes_json(found);
  } else if (found.empty()) {
    fmt::print("no process is suspended\n");
  } else {
    print_processes(found);
  }
  return exit_ok;
}

}  // namespace

void add_suspend_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "suspend", "Take a process off its GPUs: the driver moves what it has there to host memory");
  const auto arguments = std::make_shared<suspend_arguments>();
  add_target(*command, *arguments);
  add_duration_option(*command, "--timeout", arguments->timeout,
                      "For the work that it has submitted");
  command
      ->add_option("--device-bytes", arguments->device_bytes,
                   "What it has on its GPUs, where the platform does not say [all that is in use]")
      ->check(a_size());
  command->add_option("--host-margin", arguments->margin, "Host memory that must be left [1GiB]")
      ->check(a_size());
  add_common(*command, *arguments);
  command->footer(
      "The process need not know of it; it waits in its next call of the driver. Before anything "
      "is "
      "touched it is made sure that it uses a GPU, is not suspended already, may be traced by this "
      "user, and that host memory suffices. After a failure it runs as before.\n"
      "Exit status: 0 suspended; 1 not, and why; 2 wrong usage.");
  command->callback([arguments, &status] {
    expect_timeout(*arguments);
    status = run_suspend(*arguments);
  });
}

void add_resume_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand("resume", "Bring a suspended process back to its GPUs");
  const auto arguments = std::make_shared<suspend_arguments>();
  add_target(*command, *arguments);
  add_duration_option(*command, "--timeout", arguments->timeout,
                      "For others that suspend or resume at this moment");
  command
      ->add_option("--device-bytes", arguments->device_bytes,
                   "What it needs on each GPU, where nothing is written down [its host memory]")
      ->check(a_size());
  command
      ->add_option("--device-margin", arguments->margin,
                   "GPU memory that must be free beside what it needs [256MiB]")
      ->check(a_size());
  add_common(*command, *arguments);
  command->footer(
      "A process that is restored where its memory does not fit is lost for good. So what it had "
      "is compared with what is free first, and where it does not fit nothing is touched.\n"
      "Exit status: 0 it runs; 1 not, and why; 2 wrong usage.");
  command->callback([arguments, &status] {
    expect_timeout(*arguments);
    status = run_resume(*arguments);
  });
}

void add_ps_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand("ps", "List the processes that are suspended");
  const auto arguments = std::make_shared<suspend_arguments>();
  add_common(*command, *arguments);
  command->footer(
      "Those that this user suspended with lull, with who, since when and how much host memory "
      "that takes; and of those that other programs suspended each that this user may look at.\n"
      "Exit status: 0 done, also when there is none; 1 failed; 2 wrong usage.");
  command->callback([arguments, &status] { status = run_ps(*arguments); });
}

}  // namespace lull::tool
