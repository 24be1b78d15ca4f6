// One port in front of inference servers, which are started, put to sleep and stopped as memory and
// time demand it.

#include <lull/version.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "config/reader.hpp"
#include "server.hpp"
#include "server/log_writer.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_cut = 3;

struct arguments {
  std::string file;
  std::string listen;
  std::string log_level = "info";
  std::optional<double> drain_seconds;
  bool check = false;
  bool launcher = false;
};

fs::path default_state_folder(const lull::serve::config& given) {
  const auto variable = [](const char* name) {
    const char* const text = std::getenv(name);
    return text == nullptr || *text != '/' ? fs::path() : fs::path(text);
  };
  // What systemd gives a service; else what belongs to the user. One for each port.
  const std::string port = std::to_string(given.listen.front().port);
  if (const fs::path own = variable("STATE_DIRECTORY"); !own.empty()) return own;
  if (const fs::path state = variable("XDG_STATE_HOME"); !state.empty()) {
    return state / "lull" / port;
  }
  if (const fs::path home = variable("HOME"); !home.empty()) {
    return home / ".local/state/lull" / port;
  }
  return fmt::format("/tmp/lull-serve-{}-{}", ::getuid(), port);
}

void say_on_stderr(lull::log_level, std::string_view line) {
  fmt::print(stderr, "lull serve: {}\n", line);
}

/// Says what is wrong. @return absent where something is
std::optional<lull::serve::config> read(const arguments& given, const lull::log_sink& say) {
  const lull::serve::reading read =
      given.file.empty() ? lull::serve::read_config("", "", {}, given.launcher)
                         : lull::serve::read_config_file(given.file, {}, given.launcher);
  for (const lull::serve::remark& each : read.notices) {
    say.write(lull::log_level::warning, each.text());
  }
  for (const lull::serve::remark& each : read.mistakes) {
    say.write(lull::log_level::error, each.text());
  }
  if (!read.ok()) return {};
  lull::serve::config value = read.value;
  if (!given.listen.empty()) {
    const std::size_t colon = given.listen.rfind(':');
    std::string host = given.listen.substr(0, colon == std::string::npos ? 0 : colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    const std::string port = given.listen.substr(colon == std::string::npos ? 0 : colon + 1);
    value.listen = {
        {host.empty() ? "127.0.0.1" : host, static_cast<std::uint16_t>(std::stoul(port))}};
  }
  return value;
}

lull::log_level level_named(const std::string& name) {
  for (const auto level : {lull::log_level::debug, lull::log_level::info, lull::log_level::warning,
                           lull::log_level::error}) {
    if (to_string(level) == name) return level;
  }
  return lull::log_level::info;
}

lull::serve::ending serve(const arguments& given, const lull::serve::config& value,
                          const lull::log_sink& log) {
  lull::serve::server_options options;
  options.given = value;
  options.state_folder =
      value.state_folder.empty() ? default_state_folder(value) : fs::path(value.state_folder);
  fs::create_directories(options.state_folder);
  options.log = log;
  options.reread = [&given, log] { return read(given, log); };
  if (given.drain_seconds) {
    options.drain_time =
        std::chrono::milliseconds{static_cast<std::int64_t>(*given.drain_seconds * 1000)};
  }
  lull::serve::server server(std::move(options));
  for (const std::string& each : server.addresses()) {
    fmt::print("listening on http://{}\n", each);
  }
  std::fflush(stdout);
  return server.run();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("One port in front of inference servers that share the memory of this machine",
               "lull serve");
  arguments given;
  app.add_option("-c,--config", given.file,
                 "The configuration, YAML (docs/serve.md); needed but with --launcher");
  app.add_flag("--launcher", given.launcher,
               "Make, watch and take away instances over HTTP, as llm-d's launcher does");
  app.add_option("--listen", given.listen, "HOST:PORT, instead of what the file says; port 0: any");
  app.add_option("--log-level", given.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--drain-seconds", given.drain_seconds,
                 "How long requests may go on after SIGTERM, instead of drain.requests")
      ->check(CLI::Range(0.0, 86400.0));
  app.add_flag("--check", given.check,
               "Only read the configuration, and say what is wrong with it");
  app.set_version_flag("--version", lull_version_string());
  app.footer(
      "SIGHUP reads the configuration again; SIGTERM ends it, a second one at once.\n"
      "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 ended as it was told, but "
      "requests were broken off");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? 0 : exit_usage;
  }
  if (given.file.empty() && !given.launcher) {
    fmt::print(stderr, "lull serve: --config is required\n");
    return exit_usage;
  }
  const std::optional<lull::serve::config> value = read(given, lull::log_sink(say_on_stderr));
  if (!value) return exit_usage;
  if (given.check) return 0;
  std::signal(SIGPIPE, SIG_IGN);  // clients and readers of the log may go at any time
  const example::log_writer writer(STDERR_FILENO);
  try {
    const lull::log_sink log(
        [sink = writer.sink()](lull::log_level level, std::string_view line) {
          sink.write(std::max(level, lull::log_level::info), line);
        },
        level_named(given.log_level));
    return serve(given, *value, log) == lull::serve::ending::drained ? 0 : exit_cut;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "lull serve: {}\n", failure.what());
    return exit_failed;
  }
}
