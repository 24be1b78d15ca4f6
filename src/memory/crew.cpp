#include "memory/crew.hpp"

#include <deque>
#include <optional>
#include <thread>
#include <utility>

namespace lull::detail {

crew::crew(std::shared_ptr<arena_state> arena, const lull::clock& time,
           std::function<void(const std::function<void()>&)> on_thread,
           std::function<void()> on_failure)
    : arena_(std::move(arena)),
      clock_(time),
      on_thread_(std::move(on_thread)),
      on_failure_(std::move(on_failure)) {}

void crew::fail() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return;
    failure_ = std::current_exception();
    failed_.store(true, std::memory_order_relaxed);
  }
  if (on_failure_) on_failure_();
}

void crew::work(const share& from, std::atomic<std::size_t>& next, tally& into) noexcept {
  std::optional<courier> mine;
  try {
    mine.emplace(from.where, arena_, clock_);
    while (!failed_.load(std::memory_order_relaxed)) {
      const std::size_t number = next.fetch_add(1, std::memory_order_relaxed);
      if (number >= from.tasks.size()) {
        mine->drain();
        break;
      }
      from.tasks[number](*mine);
    }
  } catch (...) {
    fail();
  }
  if (!mine) return;
  const std::lock_guard lock(mutex_);
  into.staged_bytes += mine->staged_bytes();
  into.ready_time += mine->ready_time();
}

void crew::run(const std::vector<share>& shares) {
  tallies_.assign(shares.size(), {});
  std::deque<std::atomic<std::size_t>> next(shares.size());
  // One for every share first, so that none is left out when threads run short.
  std::vector<std::function<void()>> posts;
  std::size_t most = 0;
  for (const share& each : shares) most = std::max<std::size_t>(most, each.couriers);
  for (std::size_t round = 0; round < most; ++round) {
    for (std::size_t i = 0; i < shares.size(); ++i) {
      if (round >= shares[i].couriers) continue;
      posts.emplace_back([this, &share = shares[i], &taken = next[i], &into = tallies_[i]] {
        work(share, taken, into);
      });
    }
  }
  std::vector<std::thread> threads;
  threads.reserve(posts.size());
  std::size_t started = 1;
  try {
    for (; started < posts.size(); ++started) {
      threads.emplace_back([this, &post = posts[started]] { on_thread_(post); });
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch)
    // The system gives no more threads, or no memory for one.
  }
  if (!posts.empty()) posts.front()();
  for (std::size_t i = started; i < shares.size(); ++i) posts[i]();
  for (std::thread& each : threads) each.join();
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace lull::detail
