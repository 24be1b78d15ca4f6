#include "graphs/destruction_gate.hpp"

#include <lull/error.hpp>
#include <lull/graph_driver.hpp>

#include <utility>

#include "graphs/pool.hpp"

namespace lull {
namespace detail {
namespace {

constinit thread_local std::uint64_t holds_of_this_thread = 0;

}  // namespace

destruction_gate& destruction_gate::of_process() {
  static destruction_gate& instance = *new destruction_gate;
  return instance;
}

void destruction_gate::hold(time_point deadline, const clock& time) {
  std::unique_lock lock(mutex_);
  while (destroying_ != 0 && holds_of_this_thread == 0) {
    if (time.now() >= deadline) {
      throw error(status::timed_out,
                  "graphs were still being destroyed when the deadline of a capture passed");
    }
    time.wait_until(changed_, lock, deadline);
  }
  ++holds_;
  ++holds_of_this_thread;
}

void destruction_gate::release_hold() noexcept {
  std::shared_ptr<graph_pool> pool;
  {
    const std::lock_guard lock(mutex_);
    --holds_of_this_thread;
    if (--holds_ == 0) pool = std::move(left_);
  }
  while (pool != nullptr) {
    std::shared_ptr<graph_pool> next;
    {
      const std::lock_guard lock(mutex_);
      next = std::move(pool->next_left);
      pool->is_left = false;
    }
    std::unique_lock lock(pool->mutex);
    pool->drain(lock);
    lock.unlock();
    pool = std::move(next);
  }
}

std::uint64_t destruction_gate::holds() noexcept {
  const std::lock_guard lock(mutex_);
  return holds_;
}

bool destruction_gate::this_thread_holds() noexcept {
  return holds_of_this_thread != 0;
}

bool destruction_gate::try_begin_destroying() noexcept {
  const std::lock_guard lock(mutex_);
  if (holds_ != 0) return false;
  ++destroying_;
  return true;
}

void destruction_gate::end_destroying() noexcept {
  {
    const std::lock_guard lock(mutex_);
    --destroying_;
  }
  changed_.notify_all();
}

bool destruction_gate::leave(const std::shared_ptr<graph_pool>& pool) noexcept {
  const std::lock_guard lock(mutex_);
  if (holds_ == 0) return false;
  if (!pool->is_left) {
    pool->is_left = true;
    pool->next_left = std::move(left_);
    left_ = pool;
  }
  return true;
}

}  // namespace detail

graph_hold::graph_hold() : graph_hold(no_deadline) {}

graph_hold::graph_hold(time_point deadline, const clock& time) {
  detail::destruction_gate::of_process().hold(deadline, time);
}

graph_hold::~graph_hold() {
  detail::destruction_gate::of_process().release_hold();
}

std::uint64_t graph_hold::count() noexcept {
  return detail::destruction_gate::of_process().holds();
}

}  // namespace lull
