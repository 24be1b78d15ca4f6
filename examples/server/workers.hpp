#ifndef EXAMPLES_SERVER_WORKERS_HPP
#define EXAMPLES_SERVER_WORKERS_HPP

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <future>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace example {

/// Threads for what blocks: made as they are needed, up to a limit.
class workers {
 public:
  explicit workers(std::size_t most) : most_(most) {}
  /// Waits for what is running.
  ~workers() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    for (std::thread& each : threads_) each.join();
  }
  workers(const workers&) = delete;
  workers& operator=(const workers&) = delete;

  /// Runs `job` on one of them.
  /// @return false when all are busy; then it is not run
  bool run(std::packaged_task<void()> job) {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= idle_) {
      if (threads_.size() >= most_) return false;
      try {
        threads_.emplace_back([this] { work(); });
      } catch (const std::system_error&) {
        return false;  // the system has no thread to give
      }
      ++idle_;  // it will be
    }
    jobs_.push_back(std::move(job));
    changed_.notify_one();
    return true;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      --idle_;
      lock.unlock();
      job();
      lock.lock();
      ++idle_;
    }
  }

  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<void()>> jobs_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_WORKERS_HPP
