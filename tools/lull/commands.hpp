#ifndef TOOLS_LULL_COMMANDS_HPP
#define TOOLS_LULL_COMMANDS_HPP

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace lull::tool {

/// What the program's exit status means.
/// `run` ends with the exit status of what it runs, or as shells say that it could not be run.
enum exit_status : int {
  exit_ok = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_not_now = 3,  ///< of `plan`, as the next
  exit_never = 4,
  exit_cannot_run = 126,
  exit_no_such_command = 127,
};

/// Each adds one subcommand, which sets `status` when it has run. What it throws is reported by
/// main().
void add_devices_command(CLI::App& app, exit_status& status);
void add_demo_command(CLI::App& app, exit_status& status);
void add_observe_command(CLI::App& app, exit_status& status);
void add_orphans_command(CLI::App& app, exit_status& status);
/// In builds that read the configuration of a router.
void add_plan_command(CLI::App& app, exit_status& status);
void add_ps_command(CLI::App& app, exit_status& status);
void add_reset_probe_command(CLI::App& app, exit_status& status);
void add_resume_command(CLI::App& app, exit_status& status);
/// @param words the command to run: what stood behind `--`
void add_run_command(CLI::App& app, exit_status& status, std::vector<std::string> words);
/// Only for the list of commands: main() hands over to another program for it.
void add_serve_command(CLI::App& app);
/// Becomes the program `lull-serve`, which lies beside this one.
/// @return why it does not: what std::strerror() knows
int become_serve(const std::vector<std::string>& arguments);
void add_settle_command(CLI::App& app, exit_status& status);
void add_suspend_command(CLI::App& app, exit_status& status);
void add_top_command(CLI::App& app, exit_status& status);

}  // namespace lull::tool

#endif  // TOOLS_LULL_COMMANDS_HPP
