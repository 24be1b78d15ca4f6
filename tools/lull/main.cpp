#include <lull/version.h>

#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "commands.hpp"

int main(int argc, char** argv) {
  CLI::App app{"lull: gives the memory of idle inference processes back", "lull"};
  app.set_version_flag("--version", lull_version_string());
  app.require_subcommand(1);
  app.footer("Exit status: 0 done; 1 failed; 2 wrong usage.");

  lull::tool::exit_status status = lull::tool::exit_ok;
  lull::tool::add_devices_command(app, status);
  lull::tool::add_demo_command(app, status);
  lull::tool::add_reset_probe_command(app, status);
  try {
    app.parse(argc, argv);
    return status;
  } catch (const CLI::Success& asked_for_text) {
    app.exit(asked_for_text);
    return lull::tool::exit_ok;
  } catch (const CLI::ParseError& mistake) {
    app.exit(mistake);
    return lull::tool::exit_usage;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "lull: {}\n", failure.what());
    return lull::tool::exit_failed;
  }
}
