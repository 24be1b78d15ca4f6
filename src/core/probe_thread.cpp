#include "core/probe_thread.hpp"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

/// What callers and the thread share; it lives as long as any of them.
struct probe_thread::shared_state {
  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> job;   // handed over, not yet taken
  bool busy = false;           // from handing over until the call has returned
  bool attended = false;       // busy, and its caller still waits for it
  bool overdue = false;        // busy, and past the deadline of whoever waited for it
  bool closing = false;        // the owner is gone
  std::uint64_t accepted = 0;  // calls that were handed over
  std::uint64_t returned = 0;
  std::uint64_t threads = 0;
  std::thread worker;

  void work();

  /// Waits until no call is under way. Called with `mutex` held, as all below.
  std::optional<call_outcome> await_turn(const clock& time, std::unique_lock<std::mutex>& lock,
                                         time_point deadline, const std::stop_token& stop);
  void hand_over(std::function<void()> next, const std::shared_ptr<shared_state>& self);
  call_outcome await_return(const clock& time, std::unique_lock<std::mutex>& lock,
                            time_point deadline, const std::stop_token& stop);
  void give_up_on_call() {
    overdue = true;
    changed.notify_all();  // those who wait their turn need not wait any longer
  }
};

void probe_thread::shared_state::work() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [this] { return closing || job; });
    if (!job) return;
    std::function<void()> taken = std::exchange(job, nullptr);
    lock.unlock();
    taken();
    // What the call captured goes first: its destructors may call the vendor, and hang as well.
    taken = nullptr;
    lock.lock();
    busy = attended = overdue = false;
    ++returned;
    changed.notify_all();
  }
}

std::optional<call_outcome> probe_thread::shared_state::await_turn(
    const clock& time, std::unique_lock<std::mutex>& lock, time_point deadline,
    const std::stop_token& stop) {
  while (busy) {
    if (overdue) return call_outcome::still_hanging;
    if (stop.stop_requested()) return call_outcome::cancelled;
    if (time.now() >= deadline) {
      // Its own caller may be more patient; a call that was left alone has nobody else to judge it.
      if (!attended) give_up_on_call();
      return call_outcome::late;
    }
    time.wait_until(changed, lock, deadline);
  }
  if (stop.stop_requested()) return call_outcome::cancelled;
  return std::nullopt;
}

void probe_thread::shared_state::hand_over(std::function<void()> next,
                                           const std::shared_ptr<shared_state>& self) {
  if (!worker.joinable()) {
    try {
      worker = std::thread([self] { self->work(); });
    } catch (const std::system_error& failure) {
      fail(status::out_of_host_memory, "cannot start a thread for a bounded call: {}",
           failure.what());
    }
    ++threads;
  }
  job = std::move(next);
  busy = attended = true;
  ++accepted;
  changed.notify_all();
}

call_outcome probe_thread::shared_state::await_return(const clock& time,
                                                      std::unique_lock<std::mutex>& lock,
                                                      time_point deadline,
                                                      const std::stop_token& stop) {
  const std::uint64_t ticket = accepted;
  while (returned < ticket) {
    if (stop.stop_requested()) {
      attended = false;
      return call_outcome::cancelled;
    }
    if (time.now() >= deadline) {
      give_up_on_call();
      return call_outcome::late;
    }
    time.wait_until(changed, lock, deadline);
  }
  return call_outcome::returned;
}

probe_thread::probe_thread() : state_(std::make_shared<shared_state>()) {}

probe_thread::~probe_thread() {
  if (leak_in_forked_child(std::move(state_))) return;
  std::thread worker;
  bool hangs = false;
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
    hangs = state_->busy;
    worker = std::move(state_->worker);
  }
  state_->changed.notify_all();
  if (!worker.joinable()) return;
  // The last owner may be the call itself, by what it captured.
  if (hangs || worker.get_id() == std::this_thread::get_id()) {
    worker.detach();
  } else {
    worker.join();
  }
}

bool probe_thread::hanging() const {
  const std::lock_guard lock(state_->mutex);
  return state_->overdue;
}

std::uint64_t probe_thread::threads_started() const {
  const std::lock_guard lock(state_->mutex);
  return state_->threads;
}

call_outcome probe_thread::run(const clock& time, std::function<void()> job, time_point deadline,
                               const std::stop_token& stop) {
  note_use();
  shared_state& state = *state_;
  // Before the lock, so that it is destroyed after it: its destructor waits for the callback.
  const std::stop_callback wake_up(stop, [&state] {
    { const std::lock_guard lock(state.mutex); }
    state.changed.notify_all();
  });
  std::unique_lock lock(state.mutex);
  if (const auto gave_up = state.await_turn(time, lock, deadline, stop)) return *gave_up;
  // A call that could only be late is not begun: it would count as hanging.
  if (time.now() >= deadline) return call_outcome::late;
  state.hand_over(std::move(job), state_);
  return state.await_return(time, lock, deadline, stop);
}

}  // namespace lull::detail
