#include "child_output.hpp"

#include <lull/error.hpp>

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

namespace lull::demo {
namespace {

using namespace std::chrono_literals;

constexpr auto read_grace = 200ms;
constexpr std::size_t kept_bytes = 8192;

/// Appends what can be read. @return false at the end of the stream
bool append_available(int fd, std::string& text) {
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(fd, buffer.data(), buffer.size());
  if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  return count > 0 || (count < 0 && errno == EINTR);
}

}  // namespace

child_output::child_output(int output, int errors)
    : output_(output),
      errors_(errors),
      reader_([this](const std::stop_token& stop) { read(stop); }) {}

child_output::~child_output() {
  reader_.request_stop();
  reader_.join();
  ::close(output_);
  ::close(errors_);
}

std::string child_output::first_line(time_point deadline, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto has_line = [&] { return said_.find('\n') != std::string::npos; };
  changed_.wait_until(lock, stop, deadline, [&] { return has_line() || output_ended_; });
  if (has_line()) return said_.substr(0, said_.find('\n'));
  if (stop.stop_requested()) throw error(status::cancelled, "interrupted");
  if (!output_ended_) throw error(status::timed_out, "the program printed no line in time");
  throw error(status::io, "the program closed its output without printing a line");
}

std::string child_output::last_words() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, read_grace, [this] { return errors_ended_; });
  return complained_;
}

void child_output::read(const std::stop_token& stop) {
  std::array<pollfd, 2> sources{pollfd{.fd = output_, .events = POLLIN, .revents = 0},
                                pollfd{.fd = errors_, .events = POLLIN, .revents = 0}};
  const std::array<std::string*, 2> texts{&said_, &complained_};
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
    if (said_.size() > kept_bytes) said_.resize(kept_bytes);
    if (complained_.size() > kept_bytes) complained_.erase(0, complained_.size() - kept_bytes);
    output_ended_ = sources[0].fd < 0;
    errors_ended_ = sources[1].fd < 0;
    changed_.notify_all();
  }
}

}  // namespace lull::demo
