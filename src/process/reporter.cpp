#include <lull/process.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "vocabulary/sigpipe_blocked.hpp"

namespace lull {
namespace {

constexpr auto write_patience = std::chrono::milliseconds{100};

/// The number in the environment, if it names a pipe or a socket: anything else is a leftover of
/// another process.
int descriptor_from_environment() noexcept {
  const char* const text = std::getenv(state_descriptor_variable);
  if (text == nullptr) return -1;
  const std::string_view digits = text;
  int descriptor = -1;
  const auto [end, failed] =
      std::from_chars(digits.data(), digits.data() + digits.size(), descriptor);
  if (failed != std::errc{} || end != digits.data() + digits.size()) return -1;
  struct stat what {};
  if (descriptor < 0 || ::fstat(descriptor, &what) != 0) return -1;
  return S_ISFIFO(what.st_mode) || S_ISSOCK(what.st_mode) ? descriptor : -1;
}

/// A line of the protocol; far below its length limit.
class line_text {
 public:
  line_text(process_state state, std::optional<double> progress) noexcept {
    add(R"({"lull":1,"state":")");
    add(to_string(state));
    add("\"");
    if (progress && !std::isnan(*progress)) {
      add(",\"progress\":");
      add(std::clamp(*progress, 0.0, 1.0));
    }
    add("}\n");
  }

  [[nodiscard]] const char* data() const noexcept { return text_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void add(std::string_view words) noexcept {
    size_ += words.copy(text_.data() + size_, text_.size() - size_);
  }
  void add(double number) noexcept {
    const auto [end, failed] =
        std::to_chars(text_.data() + size_, text_.data() + text_.size(), number);
    size_ = static_cast<std::size_t>(end - text_.data());
  }

  std::array<char, 128> text_{};
  std::size_t size_ = 0;
};

bool wait_for_room(int descriptor, time_point deadline) noexcept {
  using std::chrono::milliseconds;
  const auto left = deadline - steady_clock().now();
  if (left <= duration::zero()) return false;
  pollfd room{.fd = descriptor, .events = POLLOUT, .revents = 0};
  ::poll(&room, 1, static_cast<int>(std::chrono::ceil<milliseconds>(left).count()));
  return true;
}

}  // namespace

std::string_view to_string(process_state state) noexcept {
  switch (state) {
    case process_state::loading: return "loading";
    case process_state::ready: return "ready";
    case process_state::sleeping: return "sleeping";
    case process_state::awake: return "awake";
    case process_state::stopped: return "stopped";
  }
  return "?";
}

state_reporter::state_reporter() noexcept : state_reporter(descriptor_from_environment()) {}

state_reporter::state_reporter(int descriptor) noexcept {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0) return;
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  if (::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0) descriptor_ = descriptor;
}

bool state_reporter::report(process_state state, std::optional<double> progress) const noexcept {
  if (!connected()) return false;
  const line_text line(state, progress);
  const time_point deadline = steady_clock().deadline_in(write_patience);
  const detail::sigpipe_blocked quiet;
  while (true) {
    const ssize_t written = ::write(descriptor_, line.data(), line.size());
    // Below PIPE_BUF a pipe takes all or nothing, so lines of several threads never mix.
    if (written >= 0) return static_cast<std::size_t>(written) == line.size();
    if (errno == EINTR) continue;
    if (errno != EAGAIN || !wait_for_room(descriptor_, deadline)) return false;
  }
}

}  // namespace lull
