// An inference server in the style of llama.cpp's, which gives its memory back when idle.

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "server/answers.hpp"
#include "server/log_writer.hpp"
#include "server/server.hpp"
#include "server/sleep_plans.hpp"

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

struct arguments {
  example::server_options server;
  std::vector<std::string> models;
  std::string memory_margin;
  std::string host_memory;
  std::string device = "HOST";
  std::string level = "discard";
  std::string ladder;
  std::string kv_size = "64MiB";
  std::string graph_cache_size = "256MiB";
  std::string offload_directory;
  std::string token_file;
  std::int64_t graph_cache_entries = 64;
  double graph_cache_idle = 60;
  double idle_seconds = -1;
  double request_timeout = 120;
  int wake_delay_ms = 0;
  int word_delay_ms = 0;
  bool reload = false;
};

constexpr double longest_seconds = 1e9;
constexpr std::int64_t most_graphs = 1'000'000'000;
constexpr const char* token_variable = "LULL_SERVER_TOKEN";

/// A plain number within bounds. CLI::Range lets "nan" pass, which is below and above nothing.
CLI::Validator seconds_within(double least, double most, bool or_never = false) {
  return {[=](const std::string& text) {
            double value = 0;
            const char* const end = text.data() + text.size();
            const auto [stopped, failed] = std::from_chars(text.data(), end, value);
            const bool whole = failed == std::errc{} && stopped == end && std::isfinite(value);
            if (whole && ((value >= least && value <= most) || (or_never && value == -1)))
              return std::string();
            return fmt::format("'{}' is no number from {} to {}{}", text, least, most,
                               or_never ? ", or -1 for never" : "");
          },
          "SECONDS"};
}

/// An option that shows its default in the help.
template <class Value>
CLI::Option* add(CLI::App& app, const char* name, Value& value, const std::string& words) {
  return app.add_option(name, value, words)->capture_default_str();
}

void add_graph_options(CLI::App& app, arguments& given) {
  add(app, "--graph-cache-entries", given.graph_cache_entries,
      "Captured graphs that are kept; 0: no bound")
      ->check(CLI::Range(std::int64_t{0}, most_graphs));
  add(app, "--graph-cache-bytes", given.graph_cache_size, "What they may hold; 0: no bound");
  add(app, "--graph-cache-idle", given.graph_cache_idle,
      "Seconds after which one that was not used goes; 0: never")
      ->check(seconds_within(0, longest_seconds));
}

void add_sleep_options(CLI::App& app, arguments& given) {
  CLI::Option* const idle = add(app, "--sleep-idle-seconds", given.idle_seconds,
                                "Sleep after this long without work; 0: at once; -1: only when "
                                "told to");
  idle->check(seconds_within(0, longest_seconds, true));
  CLI::Option* const level =
      add(app, "--sleep-level", given.level,
          "What a sleep does: offload, discard, rebirth, or (on a GPU) suspend, reset");
  app.add_option("--sleep-ladder", given.ladder,
                 "Deeper and deeper sleeps without waking, each after a longer time without work: "
                 "offload:30s,suspend:10m")
      ->excludes(idle)
      ->excludes(level);
  app.add_flag(
      "--reload", given.reload,
      "Unload the model to sleep and load it anew to wake, as an engine without regions does");
  app.add_option("--offload-dir", given.offload_directory,
                 "Offload to a file in this directory (default: host memory for a GPU, the "
                 "temporary directory for the host device)")
      ->check(CLI::ExistingDirectory);
}

void add_model_options(CLI::App& app, arguments& given) {
  app.add_option("-m,--model", given.models,
                 "FILE or NAME=FILE: a GGUF file, or the first shard of one, and how requests name "
                 "it; may be repeated. The first is loaded at once, others when they are asked for")
      ->required()
      ->allow_extra_args(false);
  app.add_option("--models-memory-margin", given.memory_margin,
                 "What models leave free of the device [1GiB with several models, else 0]");
  app.add_option("--host-memory", given.host_memory,
                 "What the device HOST offers [the memory of the machine]");
  app.add_option("--models-max", given.server.most_loaded,
                 "Models that are loaded at once, whatever they hold")
      ->check(CLI::Range(1, 1000));
}

void add_options(CLI::App& app, arguments& given) {
  add_model_options(app, given);
  add(app, "--device", given.device, "Device by name, PCI address or UUID");
  add(app, "--host", given.server.host, "Address to listen on");
  add(app, "--port", given.server.port, "Port to listen on; 0: any that is free")
      ->check(CLI::Range(0, 65535));
  app.add_option(
         "--token-file", given.token_file,
         fmt::format("File with the token that requests which change anything must bring "
                     "(default: {} in the environment). Without one only this machine can connect",
                     token_variable))
      ->check(CLI::ExistingFile);
  add_sleep_options(app, given);
  add(app, "--parallel", given.server.parallel, "Completions of a model computed at once")
      ->check(CLI::Range(1, 1024));
  add(app, "--request-timeout", given.request_timeout, "Seconds that a request may wait")
      ->check(seconds_within(0.001, 86400));
  add(app, "--kv-size", given.kv_size, "Size of a model's cache, which no sleep keeps; 0: none");
  add_graph_options(app, given);
  add(app, "--wake-delay-ms", given.wake_delay_ms, "For tests: make wakes this much longer")
      ->check(CLI::Range(0, 600000));
  add(app, "--word-delay-ms", given.word_delay_ms, "For tests: make each word this much longer")
      ->check(CLI::Range(0, 600000));
  app.footer(
      "Routes: GET /health /props /models /metrics /is_sleeping (never wake a model);\n"
      "POST /completion /sleep /wake /wake_up. \"model\" in the body, or ?model=, names one; "
      "without "
      "it\nthe first completes, and all sleep or wake.\n"
      "Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage");
}

milliseconds to_ms(double seconds) {
  return milliseconds{static_cast<std::int64_t>(seconds * 1000)};
}

lull::graph_limits graph_limits_from(const arguments& given) {
  const std::uint64_t bytes = lull::parse_bytes(given.graph_cache_size);
  lull::graph_limits limits;
  if (given.graph_cache_entries > 0) {
    limits.entries = static_cast<std::uint64_t>(given.graph_cache_entries);
  }
  if (bytes > 0) limits.bytes = bytes;
  if (given.graph_cache_idle > 0) {
    limits.idle_time = std::max(milliseconds{1}, to_ms(given.graph_cache_idle));
  }
  return limits;
}

/// The first line of the file, or what the environment says.
std::string token_from(const arguments& given) {
  std::string token;
  if (given.token_file.empty()) {
    const char* const text = std::getenv(token_variable);
    return text == nullptr ? token : text;
  }
  std::getline(std::ifstream(given.token_file), token);
  if (token.empty()) {
    throw lull::error(lull::status::invalid_argument,
                      fmt::format("there is no token in {}", given.token_file));
  }
  return token;
}

/// NAME=FILE, or a file that is named after itself.
example::model_file model_from(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string name = text.substr(0, equals == text.npos ? 0 : equals);
  const bool named = !name.empty() && name.find('/') == text.npos && !fs::exists(text);
  const fs::path path = named ? text.substr(equals + 1) : text;
  // Names of files need not be UTF-8, what is told of models has to be.
  const nlohmann::json shown = named ? name : path.stem().string();
  return {nlohmann::json::parse(example::to_text(shown)), path};
}

std::vector<example::model_file> models_from(const std::vector<std::string>& texts) {
  std::vector<example::model_file> models;
  for (const std::string& text : texts) {
    const example::model_file made = model_from(text);
    for (const example::model_file& each : models) {
      if (each.name != made.name) continue;
      throw lull::error(lull::status::invalid_argument,
                        fmt::format("two models are named '{}'; NAME=FILE names them", made.name));
    }
    models.push_back(made);
  }
  return models;
}

/// What can be said about the levels without touching a device.
void check_levels(const example::server_options& options) {
  for (const lull::sleep_level level : options.levels()) {
    static_cast<void>(lull::plan_for(level));  // throws if there is no such level yet
    if (options.mode == example::sleep_mode::reload && level == lull::sleep_level::offload) {
      throw lull::error(lull::status::invalid_argument,
                        "--reload keeps no contents that could be offloaded; use discard or reset");
    }
    if (options.files.size() > 1 && level == lull::sleep_level::reset) {
      throw lull::error(lull::status::invalid_argument,
                        "a reset takes the context of all models; with several use offload or "
                        "discard");
    }
  }
  lull::sleeper_options tried;
  tried.rebirth.hand_over = [](const auto&) { return lull::rebirth_handover{}; };
  for (const example::ladder_step& each : options.sleep_ladder) {
    tried.ladder.push_back({each.after, lull::plan_for(each.level)});
  }
  const lull::sleeper refuses_what_is_no_ladder(std::move(tried));
}

example::server_options options_from(const arguments& given) {
  example::server_options options = given.server;
  if (given.idle_seconds >= 0) options.sleep_idle = to_ms(given.idle_seconds);
  options.files = models_from(given.models);
  if (!given.host_memory.empty()) static_cast<void>(lull::parse_bytes(given.host_memory));
  if (!given.memory_margin.empty()) options.memory_margin = lull::parse_bytes(given.memory_margin);
  options.sleep_level = lull::parse_sleep_level(given.level);
  if (!given.ladder.empty()) options.sleep_ladder = example::parse_ladder(given.ladder);
  options.mode = given.reload ? example::sleep_mode::reload : example::sleep_mode::regions;
  check_levels(options);
  options.token = token_from(given);
  options.request_timeout = to_ms(given.request_timeout);
  options.kv_bytes = lull::parse_bytes(given.kv_size);
  options.graphs = graph_limits_from(given);
  options.wake_delay = milliseconds{given.wake_delay_ms};
  options.word_delay = milliseconds{given.word_delay_ms};
  if (!given.offload_directory.empty()) options.offload_directory = given.offload_directory;
  return options;
}

/// Blocks the signals that end the server, in this thread and in those it starts.
sigset_t block_signals() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  // A reader of the log that goes away is no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  return ending;
}

/// Every connection takes a descriptor, and many systems give a program 1024 unless it asks.
void raise_descriptor_limit() {
  constexpr rlim_t enough = 4096;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough) return;
  limit.rlim_cur = std::min(enough, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void serve(const arguments& given, std::optional<lull::reborn> left, const lull::log_sink& log,
           const sigset_t& ending) {
  raise_descriptor_limit();
  example::server_options options = options_from(given);
  options.log = log;
  options.left = std::move(left);
  lull::registry_options where;
  if (!given.host_memory.empty()) {
    where.settings = {{"host", "capacity_bytes", given.host_memory}};
  }
  const lull::registry devices(where);
  const lull::device device = devices.find(given.device);
  example::expect_levels(device, options.levels());
  example::server server(device, std::move(options));
  log.write(lull::log_level::info,
            fmt::format("loading; port {} answers observers meanwhile", server.port()));
  // Ends with the process: it may wait for a signal that never comes.
  std::thread([stopping = server.stopping(), ending]() mutable {
    int signal = 0;
    sigwait(&ending, &signal);
    stopping.request_stop();
    sigwait(&ending, &signal);
    std::_Exit(128 + signal);  // who asks twice does not want to wait
  }).detach();
  server.run([&] {
    const std::string& host = given.server.host;
    const bool is_v6 = host.find(':') != std::string::npos;
    fmt::print("listening on http://{}:{}\n", is_v6 ? fmt::format("[{}]", host) : host,
               server.port());
    std::fflush(stdout);
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<lull::reborn> left;  // for this image, if it is not the first
  try {
    left = lull::take_rebirth();
  } catch (const lull::error& failure) {
    std::cerr << fmt::format("lull-example-server: {}\n", failure.what());
    return 1;
  }
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
  const sigset_t ending = block_signals();  // before there are other threads
  const example::log_writer log(STDERR_FILENO);
  try {
    serve(given, std::move(left), log.sink(), ending);
    return 0;
  } catch (const std::exception& failure) {
    log.sink().write(lull::log_level::error, failure.what());
  }
  return 1;
}
