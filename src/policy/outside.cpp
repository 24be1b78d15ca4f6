#include "policy/outside.hpp"

#include <lull/error.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "vocabulary/sigpipe_blocked.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// A program that has a driver's library to load takes up to a second for the first answer.
constexpr auto answer_patience = std::chrono::seconds{5};

process start_observer(const std::vector<std::string>& program) {
  process_options options;
  options.arguments = program;
  options.input = child_stream::pipe;
  options.output = child_stream::pipe;
  options.state_pipe = false;
  options.end_with_parent = true;
  options.stopping.grace = duration::zero();
  return process(std::move(options));
}

}  // namespace

std::optional<std::map<std::string, std::uint64_t>> parse_free_line(std::string_view line) {
  std::map<std::string, std::uint64_t> free;
  while (!line.empty()) {
    const std::size_t space = line.find(' ');
    if (space == 0 || space == line.npos) return {};
    const std::string name(line.substr(0, space));
    line.remove_prefix(space + 1);
    std::uint64_t bytes = 0;
    const auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), bytes);
    const auto used = static_cast<std::size_t>(end - line.data());
    if (failed != std::errc{} || (used < line.size() && line[used] != ' ')) return {};
    line.remove_prefix(std::min(used + 1, line.size()));
    free[name] = bytes;
  }
  return free;
}

outside_observer::outside_observer(const std::vector<std::string>& program)
    : child_(start_observer(program)),
      questions_(child_.take_input()),
      answers_(child_.take_output()) {}

std::map<std::string, std::uint64_t> outside_observer::free_bytes() {
  const time_point deadline = steady_clock().deadline_in(answer_patience);
  const auto ended = [this] {
    fail(status::backend, "process {}, which says what is free on the devices, has ended",
         child_.id());
  };
  rest_.clear();
  const sigpipe_blocked quiet;
  // Blocks never: it is a line in an empty pipe.
  if (child_.observe().ended || ::write(questions_.get(), "free\n", 5) != 5) ended();
  while (rest_.find('\n') == rest_.npos) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock().now());
    pollfd answer{.fd = answers_.get(), .events = POLLIN, .revents = 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&answer, 1, static_cast<int>(left.count()));
    if (ready == 0) {
      fail(status::timed_out,
           "process {}, which says what is free on the devices, has not answered", child_.id());
    }
    std::array<char, 4096> buffer;
    const ssize_t got = ready < 0 ? -1 : ::read(answers_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) ended();
    rest_.append(buffer.data(), static_cast<std::size_t>(got));
  }
  const auto free = parse_free_line(std::string_view(rest_).substr(0, rest_.find('\n')));
  if (!free) {
    fail(status::backend, "process {}, which says what is free on the devices, answered '{}'",
         child_.id(), rest_);
  }
  return *free;
}

}  // namespace lull::detail
