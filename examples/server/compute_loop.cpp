#include "server/compute_loop.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <utility>

namespace example {

compute_loop::compute_loop(engine& with, int slots, std::chrono::milliseconds word_delay)
    : engine_(with),
      word_delay_(word_delay),
      slots_(static_cast<std::size_t>(slots)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void compute_loop::submit(std::shared_ptr<completion> what) {
  std::unique_lock lock(mutex_);
  if (closed_) {
    lock.unlock();
    return what->fail(lull::error(lull::status::cancelled, "the server is stopping"));
  }
  line_.push_back(std::move(what));
  changed_.notify_all();
}

void compute_loop::post(std::packaged_task<void()> work) {
  const std::lock_guard lock(mutex_);
  posted_.push_back(std::move(work));
  changed_.notify_all();
}

void compute_loop::close() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return line_.empty() && !computing_; });
}

void compute_loop::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    for (auto& work : next_work(stop)) work();
    seat_those_in_line();
    advance();
  }
}

/// Waits until there is something to do.
std::deque<std::packaged_task<void()>> compute_loop::next_work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  computing_ = !all_empty();
  changed_.notify_all();
  changed_.wait(lock, stop, [this] { return computing_ || !posted_.empty() || !line_.empty(); });
  return std::exchange(posted_, {});
}

bool compute_loop::all_empty() const noexcept {
  return std::all_of(slots_.begin(), slots_.end(),
                     [](const slot& each) { return each.what == nullptr; });
}

/// Why there is no sense in computing this one any more; nothing when there is.
std::optional<lull::error> compute_loop::reason_to_drop(const completion& which) const {
  using lull::status;
  if (which.unwanted().stop_requested()) {
    return lull::error(status::cancelled, "nobody waits for it any more");
  }
  if (which.deadline() <= lull::steady_clock().now()) {
    return lull::error(status::timed_out, "the deadline passed while waiting for a free slot");
  }
  if (closed_) return lull::error(status::cancelled, "the server is stopping");
  return std::nullopt;
}

/// Free slots go to those who have waited for the longest. Who waits in vain leaves the line.
void compute_loop::seat_those_in_line() {
  std::vector<std::pair<std::shared_ptr<completion>, lull::error>> dropped;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(line_, [&](std::shared_ptr<completion>& each) {
      auto reason = reason_to_drop(*each);
      if (!reason) return false;
      dropped.emplace_back(std::move(each), std::move(*reason));
      return true;
    });
    for (slot& each : slots_) {
      if (line_.empty()) break;
      if (each.what != nullptr) continue;
      each = slot{std::move(line_.front())};
      line_.pop_front();
      computing_ = true;
    }
  }
  for (const auto& [what, reason] : dropped) what->fail(reason);
}

void compute_loop::advance() {
  if (all_empty()) return;
  std::this_thread::sleep_for(word_delay_);
  for (slot& each : slots_) {
    if (each.what != nullptr) advance(each);
  }
}

void compute_loop::advance(slot& which) {
  try {
    if (which.what->unwanted().stop_requested()) {
      throw lull::error(lull::status::cancelled, "nobody waits for it any more");
    }
    if (!which.words) which.words.emplace(engine_.digest(which.what->what().prompt));
    which.what->say(which.words->next());
    if (++which.said < which.what->what().tokens) return;
    which.what->finish();
  } catch (const std::exception& failure) {
    which.what->fail(failure);
  }
  which = slot{};
}

}  // namespace example
