#include "policy/handed_work.hpp"

#include <utility>

#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"

namespace lull {

namespace detail {

std::optional<error> handed_work::hand_over(const std::function<void(transition_work)>& to,
                                            std::function<void()> work,
                                            const std::stop_token& stop) {
  const auto shared = std::make_shared<handed_work>(std::move(work));
  try {
    to(transition_work(shared));
  } catch (...) {
    const error failure = current_error(status::callback, "run_on");
    // It may have kept the work all the same; then that must not run any more.
    shared->refuse();
    if (shared->wait(stop) == progress::done) return std::nullopt;
    return failure;
  }
  switch (shared->wait(stop)) {
    case progress::done: return std::nullopt;
    case progress::taken_back:
      return error(status::cancelled, "the sleeper ended before run_on's loop ran the transition");
    default:
      return error(status::cancelled, "the loop that run_on posts to dropped the transition");
  }
}

void handed_work::run() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (progress_ != progress::waiting) return;
    progress_ = progress::running;
  }
  work_();
  const std::lock_guard lock(mutex_);
  progress_ = progress::done;
  changed_.notify_all();
}

void handed_work::refuse() noexcept {
  const std::lock_guard lock(mutex_);
  if (progress_ != progress::waiting) return;
  progress_ = progress::refused;
  changed_.notify_all();
}

handed_work::progress handed_work::wait(const std::stop_token& stop) {
  const std::stop_callback take_back(stop, [this] {
    const std::lock_guard lock(mutex_);
    if (progress_ != progress::waiting) return;
    progress_ = progress::taken_back;
    changed_.notify_all();
  });
  std::unique_lock lock(mutex_);
  changed_.wait(
      lock, [this] { return progress_ != progress::waiting && progress_ != progress::running; });
  return progress_;
}

}  // namespace detail

transition_work::transition_work(std::shared_ptr<detail::handed_work> work) noexcept
    : work_(std::move(work)) {}

transition_work& transition_work::operator=(transition_work&& other) noexcept {
  if (this != &other) {
    if (work_) work_->refuse();
    work_ = std::move(other.work_);
  }
  return *this;
}

transition_work::~transition_work() {
  if (!work_ || detail::leak_in_forked_child(std::move(work_))) return;
  work_->refuse();
}

void transition_work::operator()() noexcept {
  if (detail::in_forked_child.load(std::memory_order_relaxed)) return;
  if (const auto work = std::exchange(work_, nullptr)) work->run();
}

}  // namespace lull
