// What the child's thread does: reads the state pipe, reaps, ends the group, tells.

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "process/child.hpp"
#include "process/proc_stat.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

constexpr std::size_t read_bytes = std::size_t{16} << 10;
/// What is read of the pipe after the child's end. A pipe holds 64 KiB by default and 1 MiB at most
/// (pipe(7)); more comes from somebody who left the group and still writes.
constexpr std::size_t drain_limit_bytes = std::size_t{1} << 20;
/// How long a killed group may take to end before the release is announced all the same.
constexpr auto group_end_patience = std::chrono::seconds{1};

enum class read_result { some, nothing, end };

read_result read_some(int descriptor, line_decoder& decoder, std::size_t& total_bytes) {
  std::array<char, read_bytes> buffer;
  while (true) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return read_result::nothing;
    if (count <= 0) return read_result::end;
    total_bytes += static_cast<std::size_t>(count);
    decoder.feed({buffer.data(), static_cast<std::size_t>(count)});
    return read_result::some;
  }
}

bool is_power_of_ten(std::uint64_t number) {
  while (number >= 10 && number % 10 == 0) number /= 10;
  return number == 1;
}

}  // namespace

void child::live(std::promise<void>& begun) {
  {
    const std::lock_guard lock(mutex_);
    thread_id_ = std::this_thread::get_id();
  }
  std::optional<line_decoder> decoder;
  try {
    decoder.emplace([this](const process_event& event) { on_event(event); },
                    [this](const rejected_line& line) { on_rejected(line); });
    begin();
  } catch (...) {
    begun.set_exception(std::current_exception());
    return;
  }
  begun.set_value();
  watch(*decoder);
}

/// From here on nothing may throw: a child that has begun is watched to its end.
void child::watch(line_decoder& decoder) noexcept {
  while (true) {
    // poll() skips a negative descriptor. Both are looked at in every round, so that a child that
    // floods the pipe cannot hide its end.
    std::array<pollfd, 2> sources{pollfd{.fd = exit_->descriptor(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = ends_.states.get(), .events = POLLIN, .revents = 0}};
    if (::poll(sources.data(), sources.size(), -1) <= 0) continue;
    if (sources[0].revents != 0) break;
    if (sources[1].revents != 0 && !read_states(decoder)) ends_.states.close();
  }
  const exit_status status = reap();
  expect_group_end(status);
  pid_file_.remove();
  announce_release();
  drain_states(decoder);
  publish(status);
}

bool child::read_states(line_decoder& decoder) {
  std::size_t total_bytes = 0;
  if (read_some(ends_.states.get(), decoder, total_bytes) != read_result::end) return true;
  decoder.finish();
  return false;
}

void child::drain_states(line_decoder& decoder) {
  if (!ends_.states) return;
  std::size_t total_bytes = 0;
  while (total_bytes < drain_limit_bytes &&
         read_some(ends_.states.get(), decoder, total_bytes) == read_result::some) {
  }
  decoder.finish();
  ends_.states.close();
}

exit_status child::reap() {
  const std::lock_guard lock(mutex_);
  // While the zombie holds the id, the group's id cannot belong to anybody else.
  if (exit_->is_ours()) system_.send(-id(), SIGKILL);
  reaped_ = true;
  return exit_->reap();
}

void child::expect_group_end(const exit_status& status) const noexcept try {
  if (status.how == exit_status::kind::unknown) {
    log_warning(options_.log, "process",
                text("{} was reaped by somebody else in this program: how it ended is "
                     "unknown, and what it left in its group was not killed",
                     id()));
    return;
  }
  if (!wait_for_group_end(id(), steady_clock().deadline_in(group_end_patience))) {
    log_warning(options_.log, "process",
                text("{} has ended, but not all of its group, which was killed", id()));
  }
} catch (...) {
  log_warning(options_.log, "process", current_error(status::internal).what());
}

bool child::is_silenced() const {
  const std::lock_guard lock(mutex_);
  return silenced_;
}

void child::announce_release() {
  if (is_silenced()) return;
  const time_point when = options_.clock->now();
  mark_release(when);
  call_back(options_.log, "on_release", options_.on_release, when);
}

void child::on_event(const process_event& event) {
  {
    const std::lock_guard lock(mutex_);
    seen_.last_event = event;
    ++seen_.events;
  }
  if (!is_silenced()) call_back(options_.log, "on_event", options_.on_event, event);
}

void child::on_rejected(const rejected_line& line) {
  std::uint64_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    count = ++seen_.rejected_lines;
  }
  // Not each: a child may print nothing else.
  if (is_power_of_ten(count) && options_.log.wants(log_level::warning)) {
    try {
      log_warning(
          options_.log, "process",
          text("{}: line no. {} on the state pipe that is none: {}", id(), count, line.reason));
    } catch (...) {  // NOLINT(bugprone-empty-catch): logging never breaks an operation
    }
  }
  if (!is_silenced()) call_back(options_.log, "on_rejected", options_.on_rejected, line);
}

void child::publish(const exit_status& status) {
  const std::lock_guard lock(mutex_);
  seen_.ended = status;
  changed_.notify_all();
}

}  // namespace lull::detail
