#ifndef LULL_TESTS_SUPPORT_CHILDREN_HPP
#define LULL_TESTS_SUPPORT_CHILDREN_HPP

#include <lull/process.hpp>

#include <dirent.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/eventually.hpp"

namespace lull::test {

/// Options for the child program in a mode.
inline process_options child_options(std::vector<std::string> arguments) {
  process_options options;
  options.arguments = std::move(arguments);
  options.arguments.insert(options.arguments.begin(), LULL_TEST_CHILD);
  options.output = child_stream::pipe;
  return options;
}

/// The reading end of a pipe, by lines.
class line_source {
 public:
  explicit line_source(int descriptor) : descriptor_(descriptor) {}
  line_source(const line_source&) = delete;
  line_source& operator=(const line_source&) = delete;
  ~line_source() { ::close(descriptor_); }

  /// The next line; nothing at the end of the stream, or when none comes.
  std::optional<std::string> next() {
    while (text_.find('\n') == std::string::npos) {
      if (!fill()) return {};
    }
    const std::size_t end = text_.find('\n');
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }

  /// Whether the stream ends, as it does when nobody holds its other end any more.
  bool ends() {
    while (fill()) {
    }
    return ended_;
  }

 private:
  bool fill() {
    pollfd source{.fd = descriptor_, .events = POLLIN, .revents = 0};
    const auto patience_ms = std::chrono::milliseconds{patience}.count();
    if (::poll(&source, 1, static_cast<int>(patience_ms)) <= 0) return false;
    char buffer[4096];
    const ssize_t count = ::read(descriptor_, buffer, sizeof buffer);
    ended_ = count == 0;
    if (count <= 0) return false;
    text_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  int descriptor_;
  std::string text_;
  bool ended_ = false;
};

inline std::size_t open_descriptors() {
  DIR* const directory = ::opendir("/proc/self/fd");
  std::size_t count = 0;
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

/// Whether this process has children, zombies among them.
inline bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_CHILDREN_HPP
