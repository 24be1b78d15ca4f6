#ifndef TOOLS_LULL_COMMANDS_HPP
#define TOOLS_LULL_COMMANDS_HPP

#include <CLI/CLI.hpp>

namespace lull::tool {

/// What the program's exit status means.
enum exit_status : int { exit_ok = 0, exit_failed = 1, exit_usage = 2 };

/// Each adds one subcommand, which sets `status` when it has run. What it throws is reported by
/// main().
void add_devices_command(CLI::App& app, exit_status& status);
void add_demo_command(CLI::App& app, exit_status& status);
void add_reset_probe_command(CLI::App& app, exit_status& status);

}  // namespace lull::tool

#endif  // TOOLS_LULL_COMMANDS_HPP
