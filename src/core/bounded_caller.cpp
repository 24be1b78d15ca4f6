#include "core/bounded_caller.hpp"

#include <condition_variable>
#include <utility>

namespace lull::detail {

/// What the caller and its thread have in common; the thread keeps it alive when it hangs.
struct bounded_caller::shared {
  std::mutex mutex;
  std::condition_variable for_worker;
  std::condition_variable for_callers;
  std::function<void()> work;  ///< not empty: taken or to be taken by the thread
  bool running = false;        ///< a call occupies the thread
  bool hanging = false;        ///< and its caller has given up on it
  bool ending = false;

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      for_worker.wait(lock, [this] { return work || ending; });
      if (ending) return;
      auto next = std::exchange(work, nullptr);
      lock.unlock();
      next();
      next = nullptr;  // what it owns goes before the next call is let in
      lock.lock();
      running = hanging = false;
      for_callers.notify_all();
    }
  }
};

bounded_caller::~bounded_caller() {
  if (!thread_.joinable()) return;
  bool hanging = false;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->ending = true;
    hanging = shared_->running;
    shared_->for_worker.notify_all();
  }
  // The work may hold the last reference to what owns this object, and then this is its thread.
  if (hanging || thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void bounded_caller::start_thread() {
  const std::lock_guard lock(starting_);
  if (shared_) return;
  auto state = std::make_shared<shared>();
  thread_ = std::thread([state] { state->run(); });
  shared_ = std::move(state);
}

bounded_caller::outcome bounded_caller::call(std::function<void()> work, const clock& time,
                                             time_point deadline) {
  start_thread();
  shared& state = *shared_;
  std::unique_lock lock(state.mutex);
  const auto expired = [&] { return time.now() >= deadline; };
  while (state.running) {
    if (state.hanging) return outcome::hanging;
    if (expired()) return outcome::timed_out;
    time.wait_until(state.for_callers, lock, deadline);
  }
  // The caller's own flag: the thread may have begun another call by the time it looks.
  const auto finished = std::make_shared<bool>(false);
  state.running = true;
  state.work = [&state, finished, own = std::move(work)] {
    own();
    const std::lock_guard done(state.mutex);
    *finished = true;
  };
  state.for_worker.notify_one();
  while (!*finished) {
    if (expired()) {
      state.hanging = true;
      state.for_callers.notify_all();
      return outcome::timed_out;
    }
    time.wait_until(state.for_callers, lock, deadline);
  }
  return outcome::done;
}

}  // namespace lull::detail
