#include "command.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <string_view>
#include <thread>

#include <fmt/format.h>

namespace gpu_checks {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

volatile std::sig_atomic_t stop_wanted = 0;

constexpr auto look_every = 10ms;
constexpr auto kill_wait =
    5s;  // a process that was killed and hangs in a driver is left behind then

/// What posix_spawn wants of a list of strings.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& each : texts) result.push_back(each.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& ours) {
  std::vector<std::string> result;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text = *each;
    if (ours.find(std::string(text.substr(0, text.find('=')))) == ours.end()) {
      result.emplace_back(text);
    }
  }
  for (const auto& [name, value] : ours) result.push_back(name + '=' + value);
  return result;
}

/// Where the child's standard streams go.
class redirections {
 public:
  explicit redirections(const command& what) {
    ::posix_spawn_file_actions_init(&actions_);
    // There may be no /dev at all.
    if (::access("/dev/null", R_OK) == 0) {
      ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    } else {
      ::posix_spawn_file_actions_addclose(&actions_, STDIN_FILENO);
    }
    constexpr mode_t mode = 0644;
    ::posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, what.log.c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, mode);
    if (what.output.empty()) {
      ::posix_spawn_file_actions_adddup2(&actions_, STDERR_FILENO, STDOUT_FILENO);
    } else {
      ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, what.output.c_str(),
                                         O_WRONLY | O_CREAT | O_TRUNC, mode);
    }
  }
  ~redirections() { ::posix_spawn_file_actions_destroy(&actions_); }
  redirections(const redirections&) = delete;
  redirections& operator=(const redirections&) = delete;
  [[nodiscard]] const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

/// A process group of its own.
class own_group {
 public:
  own_group() {
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
  }
  ~own_group() { ::posix_spawnattr_destroy(&attributes_); }
  own_group(const own_group&) = delete;
  own_group& operator=(const own_group&) = delete;
  [[nodiscard]] const posix_spawnattr_t* get() const noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

/// Whether it has ended by then; it stays a zombie, so that its group's number stays its own.
bool ended_by(pid_t child, clock::time_point deadline, bool heed_stop) {
  while (true) {
    siginfo_t info{};
    const int result =
        ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
    if (result == 0 && info.si_pid == child) return true;
    if (result != 0 && errno != EINTR) return true;
    if (clock::now() >= deadline || (heed_stop && stopped())) return false;
    std::this_thread::sleep_for(look_every);
  }
}

/// Kills what is left of the group, and reaps.
outcome collect(pid_t child) {
  ::kill(-child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return {ending::signalled, WTERMSIG(status), {}};
  return {ending::exited, WEXITSTATUS(status), {}};
}

outcome wait_for(pid_t child, clock::time_point deadline) {
  if (ended_by(child, deadline, true)) return collect(child);
  const ending why = stopped() ? ending::interrupted : ending::timed_out;
  ::kill(-child, SIGKILL);
  if (!ended_by(child, clock::now() + kill_wait, false)) return {ending::stuck, SIGKILL, {}};
  static_cast<void>(collect(child));
  return {why, SIGKILL, {}};
}

}  // namespace

std::string to_string(const outcome& of, seconds limit) {
  switch (of.how) {
    case ending::exited: return fmt::format("exited with code {}", of.code);
    case ending::signalled:
      return fmt::format("killed by signal {} ({})", of.code, ::strsignal(of.code));
    case ending::timed_out: return fmt::format("killed after its limit of {:g} s", limit.count());
    case ending::not_started: return fmt::format("did not start: {}", std::strerror(of.code));
    case ending::stuck:
      return fmt::format("killed after its limit of {:g} s, and does not end", limit.count());
    case ending::interrupted: return "interrupted";
  }
  return {};
}

outcome run(const command& what) {
  std::vector<std::string> arguments = what.arguments;
  std::vector<std::string> environment = environment_with(what.environment);
  if (stopped()) return {ending::interrupted, 0, {}};
  const redirections streams(what);
  const own_group group;
  const auto begun = clock::now();
  pid_t child = -1;
  const int failed = ::posix_spawnp(&child, arguments.front().c_str(), streams.get(), group.get(),
                                    pointers(arguments).data(), pointers(environment).data());
  if (failed != 0) return {ending::not_started, failed, {}};
  outcome result = wait_for(child, begun + std::chrono::duration_cast<clock::duration>(what.limit));
  result.elapsed = clock::now() - begun;
  return result;
}

void stop_running() noexcept {
  stop_wanted = 1;
}

bool stopped() noexcept {
  return stop_wanted != 0;
}

std::vector<std::string> last_lines(const std::filesystem::path& file, std::size_t count) {
  constexpr std::size_t longest = 300;
  std::ifstream from(file);
  std::deque<std::string> kept;
  for (std::string line; std::getline(from, line);) {
    if (line.empty()) continue;
    kept.push_back(line.substr(0, longest));
    if (kept.size() > count) kept.pop_front();
  }
  return {kept.begin(), kept.end()};
}

}  // namespace gpu_checks
