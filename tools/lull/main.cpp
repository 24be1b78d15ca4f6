#include <lull/version.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands.hpp"

namespace {

/// Takes the command of `run` off the end of the arguments. The parser is kept away from it: it
/// would take `[a,b]` apart and look for its own commands in there.
std::vector<std::string> split_command(std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front() != "run") return {};
  const auto mark = std::find(arguments.begin(), arguments.end(), "--");
  if (mark == arguments.end()) return {};
  std::vector<std::string> words(mark + 1, arguments.end());
  arguments.erase(mark, arguments.end());
  return words;
}

/// The parser would say that a command is missing, and not that there is none of that name.
/// @return whether the first argument is a command
bool is_known(const CLI::App& app, const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front().starts_with('-')) return true;
  std::vector<std::string> names;
  for (const CLI::App* const each : app.get_subcommands({})) names.push_back(each->get_name());
  if (std::find(names.begin(), names.end(), arguments.front()) != names.end()) return true;
  fmt::print(stderr, "lull: there is no command '{}'; there are {}\n", arguments.front(),
             fmt::join(names, ", "));
  return false;
}

/// The status of a command whose output has to arrive: a full disk is a failure.
lull::tool::exit_status with_output(lull::tool::exit_status status) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  fmt::print(stderr, "lull: the output could not be written\n");
  return status == lull::tool::exit_ok ? lull::tool::exit_failed : status;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (!arguments.empty() && arguments.front() == "serve") {
    const int failed = lull::tool::become_serve({arguments.begin() + 1, arguments.end()});
    fmt::print(stderr, "lull: lull-serve is not beside this program: {}\n", std::strerror(failed));
    return lull::tool::exit_failed;
  }
  std::vector<std::string> words = split_command(arguments);

  CLI::App app{"lull: gives the memory of idle inference processes back", "lull"};
  app.set_version_flag("--version", lull_version_string());
  app.require_subcommand(1);
  app.footer("Exit status: 0 done; 1 failed; 2 wrong usage. `run` and `plan` have their own.");

  lull::tool::exit_status status = lull::tool::exit_ok;
  lull::tool::add_devices_command(app, status);
  lull::tool::add_demo_command(app, status);
  lull::tool::add_observe_command(app, status);
  lull::tool::add_orphans_command(app, status);
#ifdef LULL_HAS_PLAN
  lull::tool::add_plan_command(app, status);
#endif
  lull::tool::add_ps_command(app, status);
  lull::tool::add_reset_probe_command(app, status);
  lull::tool::add_resume_command(app, status);
  lull::tool::add_run_command(app, status, std::move(words));
  lull::tool::add_serve_command(app);
  lull::tool::add_settle_command(app, status);
  lull::tool::add_suspend_command(app, status);
  lull::tool::add_top_command(app, status);
  if (!is_known(app, arguments)) return lull::tool::exit_usage;
  try {
    std::reverse(arguments.begin(), arguments.end());  // as the parser wants them
    app.parse(arguments);
    return with_output(status);
  } catch (const CLI::Success& asked_for_text) {
    app.exit(asked_for_text);
    return with_output(lull::tool::exit_ok);
  } catch (const CLI::ParseError& mistake) {
    app.exit(mistake);
    return lull::tool::exit_usage;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "lull: {}\n", failure.what());
    return lull::tool::exit_failed;
  }
}
