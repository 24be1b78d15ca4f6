#include "child_process.hpp"

#include <lull/error.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace lull::demo {
namespace {

using namespace std::chrono_literals;

constexpr auto end_grace = 5s;
constexpr auto look_again = 10ms;
constexpr auto read_grace = 200ms;
constexpr std::size_t kept_bytes = 8192;

struct pipe_ends {
  unique_fd read;
  unique_fd write;
};

pipe_ends make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw error(status::io, fmt::format("pipe2: {}", std::generic_category().message(errno)));
  }
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

/// What the child does between fork and exec: only calls that are safe there.
/// @return errno of what failed
int become(const char* program, char* const* arguments, int output, int errors, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(EXIT_FAILURE);  // it died before prctl could tie us to it
  ::setpgid(0, 0);  // Ctrl-C on the terminal is for the parent, which then ends this one
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::execv(program, arguments);
  return errno;
}

std::string describe(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return fmt::format("exited with status {}", info.si_status);
  return fmt::format("killed by signal {} ({})", info.si_status, ::strsignal(info.si_status));
}

/// Appends what can be read. @return false at the end of the stream
bool append_available(int fd, std::string& text) {
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(fd, buffer.data(), buffer.size());
  if (count > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return count > 0 || (count < 0 && errno == EINTR);
}

}  // namespace

unique_fd::unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

unique_fd& unique_fd::operator=(unique_fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

unique_fd::~unique_fd() {
  if (fd_ >= 0) ::close(fd_);
}

child_process::child_process(const std::filesystem::path& program,
                             const std::vector<std::string>& arguments) {
  std::vector<std::string> words{program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  pipe_ends output = make_pipe();
  pipe_ends errors = make_pipe();
  pipe_ends failure = make_pipe();  // closed by a successful exec
  const pid_t self = ::getpid();
  id_ = ::fork();
  if (id_ == 0) {
    const int reason = become(argv[0], argv.data(), output.write.get(), errors.write.get(), self);
    [[maybe_unused]] const auto written = ::write(failure.write.get(), &reason, sizeof reason);
    ::_exit(EXIT_FAILURE);
  }
  const int fork_reason = errno;
  failure.write = unique_fd();
  int reason = id_ < 0 ? fork_reason : 0;
  if (id_ > 0 && ::read(failure.read.get(), &reason, sizeof reason) > 0) {
    ::waitpid(id_, nullptr, 0);
  }
  if (reason != 0) {
    throw error(status::io, fmt::format("cannot start '{}': {}", program.string(),
                                        std::generic_category().message(reason)));
  }
  reader_ = std::jthread([this, out = std::move(output.read), err = std::move(errors.read)](
                             const std::stop_token& stop) { read_output(stop, out, err); });
}

child_process::~child_process() {
  ::kill(id_, SIGTERM);
  if (!ending(steady_clock().deadline_in(end_grace))) kill();
  ::waitpid(id_, nullptr, 0);
}

std::string child_process::first_line(time_point deadline, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto has_line = [&] { return output_.find('\n') != std::string::npos; };
  changed_.wait_until(lock, stop, deadline, [&] { return has_line() || output_ended_; });
  if (has_line()) return output_.substr(0, output_.find('\n'));
  if (stop.stop_requested()) throw error(status::cancelled, "interrupted");
  if (!output_ended_) throw error(status::timed_out, "the program printed no line in time");
  throw error(status::io, "the program closed its output without printing a line");
}

std::optional<std::string> child_process::ending(time_point deadline) const {
  while (true) {
    siginfo_t info{};
    // WNOWAIT leaves it to be reaped by the destructor, so that its id cannot be taken by another.
    const int failed = ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (failed == 0 && info.si_pid == id_) return describe(info);
    if (failed != 0 && errno != EINTR) return std::nullopt;
    if (steady_clock().now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(look_again);
  }
}

std::string child_process::last_words() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, read_grace, [this] { return errors_ended_; });
  return errors_;
}

void child_process::kill() const noexcept {
  ::kill(id_, SIGKILL);
}

void child_process::read_output(const std::stop_token& stop, const unique_fd& output,
                                const unique_fd& errors) {
  std::array<pollfd, 2> sources{pollfd{.fd = output.get(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = errors.get(), .events = POLLIN, .revents = 0}};
  const std::array<std::string*, 2> texts{&output_, &errors_};
  constexpr int look_again_ms = 50;
  while (!stop.stop_requested() && (sources[0].fd >= 0 || sources[1].fd >= 0)) {
    if (::poll(sources.data(), sources.size(), look_again_ms) <= 0) continue;
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < sources.size(); ++i) {
      // poll() skips a negative descriptor.
      if (sources[i].revents != 0 && !append_available(sources[i].fd, *texts[i])) {
        sources[i].fd = -1;
      }
    }
    if (output_.size() > kept_bytes) output_.resize(kept_bytes);
    if (errors_.size() > kept_bytes) errors_.erase(0, errors_.size() - kept_bytes);
    output_ended_ = sources[0].fd < 0;
    errors_ended_ = sources[1].fd < 0;
    changed_.notify_all();
  }
}

}  // namespace lull::demo
