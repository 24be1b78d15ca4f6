#ifndef TOOLS_SERVE_HELPERS_HPP
#define TOOLS_SERVE_HELPERS_HPP

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>

namespace lull::serve {

/// Threads for what blocks: starting a process, stopping one, asking a driver. One for each piece
/// of work, since any of them may take its time; there are never more than a few for each model.
class helpers {
 public:
  helpers() = default;
  /// Waits for all.
  ~helpers() { wait(); }
  helpers(const helpers&) = delete;
  helpers& operator=(const helpers&) = delete;

  /// Runs it on a thread of its own; here and now where none can be started. It must not throw.
  void run(std::function<void()> work);
  /// For what takes as long as a server lives. @return false where no thread can be started
  bool try_run(std::function<void()> work);
  void wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t running_ = 0;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_HELPERS_HPP
