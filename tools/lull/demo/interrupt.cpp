#include "interrupt.hpp"

#include <lull/error.hpp>

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>

namespace lull::demo {
namespace {

sigset_t watched_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals, number);
  return signals;
}

/// As a signal does where nobody handles it.
void end_by(int number) {
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(number, &by_default, nullptr);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, number);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  static_cast<void>(::raise(number));
}

}  // namespace

interrupt_watch::interrupt_watch(std::optional<std::chrono::milliseconds> patience) {
  const sigset_t signals = watched_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  thread_ = std::jthread([this, signals, patience](const std::stop_token& stop) {
    constexpr timespec look_again{.tv_sec = 0, .tv_nsec = 50'000'000};
    int first = 0;
    std::chrono::steady_clock::time_point when;
    while (!stop.stop_requested()) {
      const int number = ::sigtimedwait(&signals, nullptr, &look_again);
      const auto now = std::chrono::steady_clock::now();
      if (patience && first != 0 && (number > 0 || now - when >= *patience)) end_by(first);
      if (number <= 0) continue;
      first = number;
      when = now;
      interrupted_.request_stop();
    }
  });
}

interrupt_watch::~interrupt_watch() {
  thread_.request_stop();
  thread_.join();
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void throw_if_interrupted(const std::stop_token& stop) {
  if (stop.stop_requested()) throw error(status::cancelled, "interrupted");
}

void pause_for(duration span, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, span, [] { return false; });
  throw_if_interrupted(stop);
}

}  // namespace lull::demo
