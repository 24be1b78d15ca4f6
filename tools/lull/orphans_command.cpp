#include <lull/error.hpp>
#include <lull/process.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "duration_option.hpp"
#include "facts.hpp"
#include "pid_directory.hpp"
#include "text_table.hpp"

namespace lull::tool {
namespace {

using nlohmann::ordered_json;

struct orphans_arguments {
  std::filesystem::path directory = default_pid_directory();
  std::vector<int> ids;
  duration stop_timeout = stop_options{}.grace;
  bool stop = false;
  bool json = false;
};

/// What was done with an orphan.
struct outcome {
  orphan which;
  std::string what = "runs";
  bool failed = false;
};

log_sink warnings() {
  return log_sink(
      [](log_level, std::string_view line) { fmt::print(stderr, "lull orphans: {}\n", line); },
      log_level::warning);
}

void stop(outcome& on, duration grace) {
  orphan_options how;
  how.stopping.grace = grace;
  how.log = warnings();
  try {
    switch (stop_orphan(on.which, how)) {
      case orphan_end::gone: on.what = "had ended"; break;
      case orphan_end::ended: on.what = "ended"; break;
      case orphan_end::killed: on.what = "killed"; break;
    }
  } catch (const error& failure) {
    on.what = failure.what();
    on.failed = true;
  }
}

void print_text(const std::vector<outcome>& all, const orphans_arguments& arguments) {
  if (all.empty()) {
    fmt::print("no orphans in {}\n", arguments.directory.string());
    return;
  }
  text_table table({{"PID", table_column::side::right}, {"STATE"}, {"COMMAND"}, {"PID FILE"}});
  for (const outcome& each : all) {
    table.add({std::to_string(each.which.id), each.what, each.which.command,
               each.which.file.filename().string()});
  }
  fmt::print("{}", table.text());
}

void print_json(const std::vector<outcome>& all, const orphans_arguments& arguments) {
  ordered_json list = ordered_json::array();
  for (const outcome& each : all) {
    list.push_back({{"pid", each.which.id},
                    {"state", each.what},
                    {"failed", each.failed},
                    {"command", each.which.command},
                    {"pid_file", each.which.file.string()}});
  }
  const ordered_json everything{{"directory", arguments.directory.string()}, {"orphans", list}};
  fmt::print("{}\n", json_dump(everything, 2));
}

/// Those that were named, or all.
/// @throws error (not_found) for an id that is none
std::vector<outcome> chosen(std::vector<orphan> found, const orphans_arguments& arguments) {
  for (const int id : arguments.ids) {
    const bool known =
        std::any_of(found.begin(), found.end(), [id](const orphan& each) { return each.id == id; });
    if (!known) {
      throw error(status::not_found, fmt::format("{} is no orphan of which {} tells", id,
                                                 arguments.directory.string()));
    }
  }
  std::vector<outcome> result;
  for (orphan& each : found) {
    const bool wanted =
        arguments.ids.empty() ||
        std::find(arguments.ids.begin(), arguments.ids.end(), each.id) != arguments.ids.end();
    if (wanted) result.push_back({.which = std::move(each)});
  }
  return result;
}

exit_status run(const orphans_arguments& arguments) {
  auto all = chosen(find_orphans(arguments.directory, warnings()), arguments);
  if (arguments.stop) {
    for (outcome& each : all) stop(each, arguments.stop_timeout);
  }
  arguments.json ? print_json(all, arguments) : print_text(all, arguments);
  const bool failed =
      std::any_of(all.begin(), all.end(), [](const outcome& each) { return each.failed; });
  return failed ? exit_failed : exit_ok;
}

}  // namespace

void add_orphans_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "orphans", "List commands that `run --keep` left running when it was killed, and stop them");
  const auto arguments = std::make_shared<orphans_arguments>();
  command->add_option("pid", arguments->ids, "Process ids [all]")->check(CLI::Range(2, 1 << 30));
  command->add_flag("--stop", arguments->stop,
                    "Stop them, and all they have started in their group");
  add_duration_option(*command, "--stop-timeout", arguments->stop_timeout,
                      "How long each may take to stop after SIGTERM before it is killed");
  command->add_option("--pid-dir", arguments->directory, "Where their pid files are")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer(
      "A process is listed only when it is certain to be the one that the pid file is about: same "
      "boot, same start time, and a parent that is gone.\n"
      "Exit status: 0 done, also when there is none; 1 one could not be stopped, or there is no "
      "such "
      "orphan; 2 wrong usage.");
  command->callback([arguments, &status] { status = run(*arguments); });
}

}  // namespace lull::tool
