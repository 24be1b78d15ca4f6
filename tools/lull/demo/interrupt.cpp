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

}  // namespace

interrupt_watch::interrupt_watch() {
  const sigset_t signals = watched_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  thread_ = std::jthread([this, signals](const std::stop_token& stop) {
    constexpr timespec look_again{.tv_sec = 0, .tv_nsec = 50'000'000};
    while (!stop.stop_requested()) {
      if (::sigtimedwait(&signals, nullptr, &look_again) > 0) interrupted_.request_stop();
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
