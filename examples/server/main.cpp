// An inference server in the style of llama.cpp's, which gives its memory back when idle.

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "server/server.hpp"

namespace {

struct arguments {
  example::server_options server;
  std::string device = "HOST";
  std::string level = "discard";
  std::string kv_size = "64MiB";
  std::string graph_cache_size = "256MiB";
  std::string offload_directory;
  std::uint64_t graph_cache_entries = 64;
  double graph_cache_idle = 60;
  double idle_seconds = -1;
  double request_timeout = 120;
  int wake_delay_ms = 0;
};

constexpr double most_idle_seconds = 1e9;
constexpr std::int64_t most_graphs = 1'000'000'000;

void add_graph_options(CLI::App& app, arguments& given) {
  app.add_option("--graph-cache-entries", given.graph_cache_entries,
                 "Captured graphs that are kept; 0: no bound")
      ->check(CLI::Range(std::int64_t{0}, most_graphs))  // signed: as a large number -1 would pass
      ->capture_default_str();
  app.add_option("--graph-cache-bytes", given.graph_cache_size, "What they may hold; 0: no bound")
      ->capture_default_str();
  app.add_option("--graph-cache-idle", given.graph_cache_idle,
                 "Seconds after which one that was not used goes; 0: never")
      ->check(CLI::Range(0.0, most_idle_seconds))
      ->capture_default_str();
}

void add_options(CLI::App& app, arguments& given) {
  app.add_option("-m,--model", given.server.model, "GGUF file")->required();
  app.add_option("--device", given.device, "Device by name, PCI address or UUID")
      ->capture_default_str();
  app.add_option("--host", given.server.host, "Address to listen on")->capture_default_str();
  app.add_option("--port", given.server.port, "Port to listen on; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--sleep-idle-seconds", given.idle_seconds,
                 "Sleep after this long without work; -1: only when told to")
      ->check([](const std::string& text) {
        const double value = std::strtod(text.c_str(), nullptr);
        const bool valid = value == -1 || (value > 0 && value <= most_idle_seconds);
        return valid ? std::string() : "must be above 0 and at most 1e9, or -1 for never";
      })
      ->capture_default_str();
  app.add_option("--sleep-level", given.level,
                 "What a sleep does: offload, discard, or (on a GPU) reset")
      ->capture_default_str();
  app.add_option("--offload-dir", given.offload_directory,
                 "Offload to a file in this directory (default: host memory for a GPU, the "
                 "temporary directory for the host device)")
      ->check(CLI::ExistingDirectory);
  app.add_option("--parallel", given.server.parallel, "Completions computed at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--request-timeout", given.request_timeout, "Seconds that a request may wait")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  app.add_option("--kv-size", given.kv_size, "Size of the cache, which no sleep keeps; 0: none")
      ->capture_default_str();
  add_graph_options(app, given);
  app.add_option("--wake-delay-ms", given.wake_delay_ms,
                 "For tests: make each wake this much longer")
      ->check(CLI::Range(0, 600000))
      ->capture_default_str();
  app.footer(
      "Routes: GET /health /props /models /metrics (never wake it); POST /completion /sleep /wake\n"
      "Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage");
}

std::chrono::milliseconds to_ms(double seconds) {
  return std::chrono::milliseconds{static_cast<std::int64_t>(seconds * 1000)};
}

lull::graph_limits graph_limits_from(const arguments& given) {
  using std::chrono::milliseconds;
  const std::uint64_t bytes = lull::parse_bytes(given.graph_cache_size);
  lull::graph_limits limits;
  if (given.graph_cache_entries > 0) limits.entries = given.graph_cache_entries;
  if (bytes > 0) limits.bytes = bytes;
  if (given.graph_cache_idle > 0) {
    limits.idle_time = std::max(milliseconds{1}, to_ms(given.graph_cache_idle));
  }
  return limits;
}

example::server_options options_from(const arguments& given) {
  using std::chrono::milliseconds;
  example::server_options options = given.server;
  if (given.idle_seconds > 0) {
    options.sleep_idle = std::max(milliseconds{1}, to_ms(given.idle_seconds));
  }
  options.sleep_level = lull::parse_sleep_level(given.level);
  static_cast<void>(lull::plan_for(options.sleep_level));  // throws if there is no such level yet
  options.request_timeout = to_ms(given.request_timeout);
  options.kv_bytes = lull::parse_bytes(given.kv_size);
  options.graphs = graph_limits_from(given);
  options.wake_delay = milliseconds{given.wake_delay_ms};
  if (!given.offload_directory.empty()) options.offload_directory = given.offload_directory;
  options.log = lull::log_sink([](lull::log_level level, std::string_view line) {
    std::cerr << fmt::format("{}: {}\n", to_string(level), line);
  });
  return options;
}

/// Blocks the signals that end the server, in this thread and in those it starts.
sigset_t block_signals() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  // A client that goes away in the middle of an answer is no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  return ending;
}

/// The device, if it can do what the server is asked to do.
lull::device checked_device(const arguments& given) {
  lull::device device = lull::registry::shared().find(given.device);
  const lull::sleep_level level = lull::parse_sleep_level(given.level);
  const auto levels = lull::supported_levels({device});
  if (std::find(levels.begin(), levels.end(), level) == levels.end()) {
    throw lull::error(lull::status::unsupported,
                      fmt::format("{} has no context that a sleep could reset; use offload or "
                                  "discard",
                                  device.name()));
  }
  return device;
}

void serve(const arguments& given) {
  const sigset_t ending = block_signals();
  example::server server(checked_device(given), options_from(given));
  fmt::print("listening on http://{}:{}\n", given.server.host, server.port());
  std::fflush(stdout);
  std::thread waiter([&] {
    int signal = 0;
    sigwait(&ending, &signal);
    server.stop();
  });
  server.run();
  // The listener may have ended by itself; the waiter then still waits.
  // NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread): it does not kill, the thread waits for it
  pthread_kill(waiter.native_handle(), SIGTERM);
  waiter.join();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("An inference server that gives its memory back when idle", "lull-example-server");
  arguments given;
  add_options(app, given);
  try {
    app.parse(argc, argv);
    // What can be judged without touching anything is a question of usage too.
    static_cast<void>(options_from(given));
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? 0 : 2;
  } catch (const lull::error& failure) {
    std::cerr << fmt::format("lull-example-server: {}\n", failure.what());
    return 2;
  }
  try {
    serve(given);
    return 0;
  } catch (const gguf::format_error& failure) {
    std::cerr << fmt::format("lull-example-server: {}: {}\n", given.server.model.string(),
                             failure.what());
    return 1;
  } catch (const std::exception& failure) {
    std::cerr << fmt::format("lull-example-server: {}\n", failure.what());
    return 1;
  }
}
