#include <lull/error.hpp>
#include <lull/process.hpp>
#include <lull/registry.hpp>
#include <lull/settle.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands.hpp"
#include "duration_option.hpp"
#include "pid_directory.hpp"
#include "say.hpp"

namespace lull::tool {
namespace {

struct run_arguments {
  std::filesystem::path pid_directory = default_pid_directory();
  bool keep = false;
  duration stop_timeout = stop_options{}.grace;
  duration max_wait = settle_options{}.max_wait;
};

sigset_t forwarded_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals, number);
  return signals;
}

/// Keeps the signals that are forwarded from acting by themselves. To be made before the process
/// has other threads, which inherit it.
class signal_block {
 public:
  signal_block() {
    const sigset_t signals = forwarded_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  ~signal_block() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signal_block(const signal_block&) = delete;
  signal_block& operator=(const signal_block&) = delete;

 private:
  sigset_t before_{};
};

/// Stops the child when this process is told to stop: the first signal is passed on, with the grace
/// period; the second one kills at once. A signal that comes when the child has ended, and a second
/// one, also end the wait for its memory; the one that stopped it does not.
class signal_forwarder {
 public:
  signal_forwarder(process& child, duration grace)
      : child_(child),
        grace_(grace),
        watcher_([this](const std::stop_token& stop) { watch(stop); }) {}

  /// Set when the child cannot be killed: do not wait for it any longer.
  [[nodiscard]] std::stop_token give_up() const noexcept { return give_up_.get_token(); }
  /// Set when its memory is not to be waited for.
  [[nodiscard]] std::stop_token impatient() const noexcept { return impatient_.get_token(); }

 private:
  void watch(const std::stop_token& stop) {
    const sigset_t signals = forwarded_signals();
    constexpr timespec look_again{.tv_sec = 0, .tv_nsec = 50'000'000};
    std::optional<std::jthread> first;
    while (!stop.stop_requested()) {
      const int number = ::sigtimedwait(&signals, nullptr, &look_again);
      if (number <= 0) continue;
      if (!first && !child_.observe().ended) {
        first.emplace([this, number] { stop_child(number, grace_); });
      } else {
        impatient_.request_stop();
        stop_child(number, duration::zero());
      }
    }
  }

  void stop_child(int number, duration grace) noexcept {
    try {
      stop_options how;
      how.signal = number;
      how.grace = grace;
      if (child_.stop(how).killed) {
        say("lull run: the command did not stop in time and was killed");
      }
    } catch (const std::exception& failure) {
      say("lull run: {}", failure.what());
      give_up_.request_stop();
    }
  }

  process& child_;
  const duration grace_;
  std::stop_source impatient_;
  std::stop_source give_up_;
  std::jthread watcher_;  // last: ends before what it uses
};

/// The devices whose memory can be seen and may come back late.
std::vector<device> devices_to_settle(const registry& all) {
  std::vector<device> chosen;
  for (const device& each : all.devices()) {
    if (each.type() == device_type::host) continue;
    try {
      if (each.memory().free_bytes) chosen.push_back(each);
    } catch (const error& failure) {
      say("lull run: not waited for: {}", failure.what());
    }
  }
  return chosen;
}

/// A directory for the pid file, or none where it cannot be written: the command runs all the same.
std::filesystem::path usable(const std::filesystem::path& directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory.parent_path(), failed);
  ::mkdir(directory.c_str(), S_IRWXU);
  if (::access(directory.c_str(), W_OK | X_OK) == 0) return directory;
  fmt::print(stderr, "lull run: no pid file: cannot write to {}\n", directory.string());
  return {};
}

process start(const std::vector<std::string>& command, const run_arguments& arguments,
              release_clock& releases) {
  process_options options;
  options.arguments = command;
  // The child has a process group of its own, so the kernel would stop it, for good, if it read
  // from the terminal.
  options.input = ::isatty(STDIN_FILENO) == 1 ? child_stream::null : child_stream::inherit;
  options.state_pipe = false;
  options.releases = &releases;
  options.end_with_parent = !arguments.keep;
  options.pid_directory = usable(arguments.pid_directory);
  options.stopping.grace = arguments.stop_timeout;
  return process(std::move(options));
}

/// Says what is not back in time.
void wait_for_memory(const std::vector<device>& devices, const release_clock& releases,
                     duration max_wait, const std::stop_token& stop) {
  settle_options options;
  options.releases = &releases;
  options.max_wait = max_wait;
  options.stop = stop;
  const settle_result result = settle(devices, options);
  if (result.status == settle_status::settled || result.status == settle_status::skipped) return;
  std::vector<std::string> late;
  for (const device_settlement& each : result.devices) {
    if (each.verdict == settle_verdict::waiting) late.push_back(each.device);
  }
  say("lull run: not all memory may be back: {}{}{}{}", to_string(result.status),
      result.reason.empty() ? "" : ", ", result.reason,
      late.empty() ? "" : fmt::format(" ({})", fmt::join(late, ", ")));
}

exit_status run(const std::vector<std::string>& command, const run_arguments& arguments) {
  const signal_block blocked;
  release_clock releases;
  std::optional<process> child;
  try {
    child.emplace(start(command, arguments, releases));
  } catch (const error& failure) {
    say("lull run: {}", failure.what());
    return failure.code() == status::not_found ? exit_no_such_command : exit_cannot_run;
  }
  const signal_forwarder signals(*child, arguments.stop_timeout);
  // Whatever happens to what looks at memory, the command and its result stand.
  const auto report_failure = [](const std::exception& failure) {
    say("lull run: cannot wait for memory: {}", failure.what());
  };
  std::vector<device> devices;
  try {
    // While the command runs: loading the vendors' libraries can take a second.
    const registry all;
    devices = devices_to_settle(all);
    child->set_devices(devices);
  } catch (const std::exception& failure) {
    report_failure(failure);
  }
  const auto ended = child->wait(no_deadline, signals.give_up());
  if (!ended) return exit_failed;
  try {
    wait_for_memory(devices, releases, arguments.max_wait, signals.impatient());
  } catch (const std::exception& failure) {
    report_failure(failure);
  }
  return static_cast<exit_status>(ended->shell_code());
}

/// The parser does not know of the command behind `--`.
class run_help final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string name) const override {
    return fmt::format("Usage: {} [OPTIONS] -- COMMAND...\n", name);
  }
};

}  // namespace

void add_run_command(CLI::App& app, exit_status& status, std::vector<std::string> words) {
  auto* command = app.add_subcommand(
      "run", "Run a command, and end when it has ended and its GPU memory is free again");
  const auto arguments = std::make_shared<run_arguments>();
  add_duration_option(*command, "--stop-timeout", arguments->stop_timeout,
                      "How long the command may take to stop after SIGINT, SIGTERM or SIGHUP");
  add_duration_option(*command, "--max-wait", arguments->max_wait,
                      "The longest wait for the memory");
  command->add_flag(
      "--keep", arguments->keep,
      "Let the command run on when this tool is killed; `lull orphans` finds it then");
  command
      ->add_option("--pid-dir", arguments->pid_directory,
                   "Where a file tells of the command while it runs")
      ->capture_default_str();
  command->formatter(std::make_shared<run_help>());
  command->footer(
      "SIGINT, SIGTERM and SIGHUP are passed on to the command and all it has started in its "
      "process "
      "group; after --stop-timeout, or with a second signal, they are killed. A second signal also "
      "ends the "
      "wait for the memory.\n"
      "The command has this tool's standard streams, except that a terminal is not its input. When "
      "this "
      "tool is killed the kernel kills the command too, but not what that has started.\n"
      "Exit status: that of the command; 128 + the signal when it was killed by one; 126 it cannot "
      "be run; 127 there is no such command; 1 it could not be stopped; 2 wrong usage.");
  command->callback([arguments, words = std::move(words), &status] {
    if (words.empty()) throw CLI::RequiredError("-- COMMAND...");
    status = run(words, *arguments);
  });
}

}  // namespace lull::tool
