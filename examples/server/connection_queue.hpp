#ifndef EXAMPLES_SERVER_CONNECTION_QUEUE_HPP
#define EXAMPLES_SERVER_CONNECTION_QUEUE_HPP

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <httplib.h>

namespace example {

/// Gives every connection a thread, up to a limit.
///
/// cpp-httplib keeps a thread busy for as long as a connection lives, idle or not, and by default
/// has eight. Eight clients that wait for a wake would then keep /health from being answered: just
/// what an observer must not feel. So threads are made as connections come; those that are idle are
/// used again.
class connection_queue final : public httplib::TaskQueue {
 public:
  explicit connection_queue(std::size_t most_threads) : most_threads_(most_threads) {}

  void enqueue(std::function<void()> job) override;
  void shutdown() override;

 private:
  void work();

  const std::size_t most_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_CONNECTION_QUEUE_HPP
