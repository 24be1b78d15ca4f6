#include "server/log_writer.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "http/descriptor.hpp"

namespace example {
namespace {

using namespace std::chrono_literals;

constexpr auto farewell = 250ms;
// POSIX: a pipe that poll() calls writable takes this much without blocking (PIPE_BUF of Linux).
constexpr std::size_t safe_bytes = 4096;

/// Of a descriptor that is not open, one that takes everything.
int duplicate(int descriptor) {
  const int made = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return made >= 0 ? made : ::open("/dev/null", O_WRONLY | O_CLOEXEC);
}

bool is_writable(int descriptor, std::chrono::milliseconds limit) {
  pollfd asked{.fd = descriptor, .events = POLLOUT, .revents = 0};
  return ::poll(&asked, 1, static_cast<int>(limit.count())) == 1 && (asked.revents & POLLOUT) != 0;
}

}  // namespace

/// Shared with the thread, which is left behind should another writer of the same pipe block it.
struct log_writer::state {
  http::descriptor output;  ///< of its own: the thread may outlive the caller's
  const std::size_t most_lines;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> lines;
  std::uint64_t dropped = 0;
  bool ending = false;
  bool ended = false;

  state(int descriptor, std::size_t most)
      : output(duplicate(descriptor), "the log's output"), most_lines(most) {}

  void add(std::string line) {
    {
      const std::lock_guard lock(mutex);
      if (ending) return;
      if (lines.size() >= most_lines) {
        ++dropped;
      } else {
        lines.push_back(std::move(line));
      }
    }
    changed.notify_all();
  }

  /// Waits for a line. Empty: there will be none.
  std::string next() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return ending || !lines.empty() || dropped > 0; });
    if (lines.empty()) {
      const std::uint64_t lost = std::exchange(dropped, 0);
      return lost == 0 ? std::string() : fmt::format("warning: {} log lines were dropped\n", lost);
    }
    std::string line = std::move(lines.front());
    lines.pop_front();
    return line;
  }

  bool is_over(std::chrono::steady_clock::time_point since) {
    const std::lock_guard lock(mutex);
    return ending && std::chrono::steady_clock::now() - since > farewell;
  }

  void run() {
    for (std::string line = next(); !line.empty(); line = next()) {
      auto waiting_since = std::chrono::steady_clock::now();
      for (std::string_view rest = line; !rest.empty();) {
        if (is_over(waiting_since)) break;
        if (!is_writable(output.get(), 50ms)) continue;
        const ssize_t written =
            ::write(output.get(), rest.data(), std::min(rest.size(), safe_bytes));
        if (written <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(written));
        waiting_since = std::chrono::steady_clock::now();
      }
    }
    const std::lock_guard lock(mutex);
    ended = true;
    changed.notify_all();
  }
};

log_writer::log_writer(int descriptor, std::size_t most_lines)
    : state_(std::make_shared<state>(descriptor, most_lines)) {
  std::thread([kept = state_] { kept->run(); }).detach();
}

log_writer::~log_writer() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, farewell, [this] { return state_->ended; });
  state_->lines.clear();
}

lull::log_sink log_writer::sink() const {
  return lull::log_sink([kept = state_](lull::log_level level, std::string_view line) {
    kept->add(fmt::format("{}: {}\n", to_string(level), line));
  });
}

}  // namespace example
