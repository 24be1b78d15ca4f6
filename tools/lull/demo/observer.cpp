#include "observer.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>

#include <fmt/format.h>

#include "server_client.hpp"

namespace lull::demo {
namespace {

using namespace std::chrono_literals;

constexpr auto look_again = 10ms;
constexpr auto patience = 10s;  // observing waits for nothing, so this is a server that hangs

}  // namespace

observer::observer(int port, time_point origin)
    : thread_([this, port, origin](const std::stop_token& stop) { run(stop, port, origin); }) {}

observations observer::so_far() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

void observer::await(phase_kind state, time_point deadline, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto is_in_state = [&] {
    return !seen_.phases.empty() && seen_.phases.back().kind == state;
  };
  changed_.wait_until(lock, stop, deadline, [&] { return is_in_state() || seen_.failures > 0; });
  if (is_in_state()) return;
  if (stop.stop_requested()) throw error(status::cancelled, "interrupted");
  if (seen_.failures > 0) throw error(status::io, seen_.first_failure);
  throw error(
      status::timed_out,
      fmt::format("waited for the server to be {}; it is {}", to_string(state),
                  to_string(seen_.phases.empty() ? phase_kind::start : seen_.phases.back().kind)));
}

void observer::run(const std::stop_token& stop, int port, time_point origin) {
  server_client server(port, patience);
  const auto timed = [&](const std::function<void()>& look) {
    const time_point before = steady_clock().now();
    std::string failure;
    try {
      look();
    } catch (const std::exception& caught) {
      failure = caught.what();
    }
    const seconds taken = steady_clock().now() - before;
    const std::lock_guard lock(mutex_);
    ++seen_.requests;
    seen_.slowest = std::max(seen_.slowest, taken);
    if (!failure.empty() && seen_.failures++ == 0) seen_.first_failure = failure;
    changed_.notify_all();
  };
  while (!stop.stop_requested()) {
    timed([&] {
      const phase_kind state = server.state();
      record(state, steady_clock().now() - origin);
    });
    timed([&] { server.check_health(); });
    timed([&] { static_cast<void>(server.metrics()); });
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, look_again, [] { return false; });
  }
}

void observer::record(phase_kind state, seconds at) {
  const std::lock_guard lock(mutex_);
  auto& phases = seen_.phases;
  if (phases.empty()) phases.push_back({phase_kind::start, {}, at, {}});
  phases.back().end = at;
  if (phases.back().kind != state) phases.push_back({state, at, at, {}});
}

}  // namespace lull::demo
