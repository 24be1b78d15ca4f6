#include "server_process.hpp"

#include <lull/error.hpp>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

namespace lull::demo {
namespace {

using namespace std::chrono_literals;

constexpr auto start_limit = 300s;
constexpr auto end_grace = 5s;
constexpr auto end_notice = 500ms;  // from a lost connection to the end of the process

std::vector<std::string> arguments(const server_options& options) {
  std::vector<std::string> all{options.program.string(),
                               "--model",
                               options.model.string(),
                               "--device",
                               options.device,
                               "--host",
                               "127.0.0.1",
                               "--port",
                               "0",
                               "--sleep-level",
                               std::string(to_string(options.level)),
                               "--sleep-idle-seconds",
                               std::to_string(options.idle_time.count())};
  if (!options.offload_dir.empty()) {
    all.insert(all.end(), {"--offload-dir", options.offload_dir.string()});
  }
  all.insert(all.end(), options.more_arguments.begin(), options.more_arguments.end());
  return all;
}

/// This program is `lull`, which a server that is suspended asks what is free (`lull observe`).
std::string path_with_this_program() {
  const std::string here = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  const char* const others = std::getenv("PATH");
  return others == nullptr ? here : fmt::format("{}:{}", here, others);
}

process_options child_of(const server_options& options) {
  process_options child;
  child.arguments = arguments(options);
  child.environment["PATH"] = path_with_this_program();
  child.output = child_stream::pipe;
  child.errors = child_stream::pipe;
  child.state_pipe = false;
  child.stopping.grace = end_grace;
  child.end_with_parent = true;
  return child;
}

/// The port in "listening on http://127.0.0.1:PORT".
int parse_port(std::string_view line) {
  int port = 0;
  const std::string_view digits = line.substr(line.rfind(':') + 1);
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failure != std::errc{} || end != digits.data() + digits.size() || port <= 0) {
    throw error(status::io,
                fmt::format("expected 'listening on http://HOST:PORT', got '{}'", line));
  }
  return port;
}

}  // namespace

server_process::server_process(const server_options& options, const std::stop_token& stop)
    : started_at_(steady_clock().now()),
      child_(child_of(options)),
      output_(child_.take_output(), child_.take_errors()),
      kill_on_stop_(stop, [this] { child_.send_signal(SIGKILL); }),
      port_(await_port(stop)) {}

server_process::~server_process() {
  try {
    child_.stop();
  } catch (const error&) {  // NOLINT(bugprone-empty-catch): its destructor kills what did not stop
  }
}

int server_process::await_port(const std::stop_token& stop) {
  try {
    return parse_port(output_.first_line(steady_clock().deadline_in(start_limit), stop));
  } catch (const error& failure) {
    if (failure.code() == status::cancelled) throw;
    throw error(failure.code(),
                fmt::format("the server did not start: {}{}", failure.what(), condition()));
  }
}

std::string server_process::condition() {
  const auto ending = child_.wait(steady_clock().deadline_in(end_notice));
  const std::string words = output_.last_words();
  return fmt::format("\nthe server {}; {}", ending ? to_string(*ending) : "is still running",
                     words.empty() ? "it wrote nothing to standard error"
                                   : "the end of its standard error:\n" + words);
}

}  // namespace lull::demo
