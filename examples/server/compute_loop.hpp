#ifndef EXAMPLES_SERVER_COMPUTE_LOOP_HPP
#define EXAMPLES_SERVER_COMPUTE_LOOP_HPP

#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "server/completion.hpp"
#include "server/engine.hpp"
#include "stand_in/model.hpp"

namespace example {

/// A task queue and the one thread that computes: the only one that touches the engine. Completions
/// wait in line for a slot, and those that have one advance by a word each in turn. Between two
/// rounds the thread runs what else has to happen where nothing is computed: the sleeper's
/// transitions, which come only when no completion holds a lease.
class compute_loop {
 public:
  /// @param slots completions that are computed at a time
  /// @param word_delay for tests: makes each round this much longer
  compute_loop(engine& with, int slots, std::chrono::milliseconds word_delay);
  /// Ends the thread, after what it is running. What was posted and has not run is destroyed.
  ~compute_loop() = default;
  compute_loop(const compute_loop&) = delete;
  compute_loop& operator=(const compute_loop&) = delete;

  /// Puts a completion that holds its lease in line.
  void submit(std::shared_ptr<completion> what);

  /// Runs `work` on the thread. Once.
  void post(std::packaged_task<void()> work);

  /// Takes no completions any more and waits until those that are there have ended, which they do
  /// at their next word at the latest. What is posted is still run.
  void close();

 private:
  struct slot {
    std::shared_ptr<completion> what;
    std::optional<word_source> words = {};  ///< once the prompt was looked at
    int said = 0;
  };

  void run(const std::stop_token& stop);
  [[nodiscard]] std::deque<std::packaged_task<void()>> next_work(const std::stop_token& stop);
  [[nodiscard]] std::optional<lull::error> reason_to_drop(const completion& which) const;
  void seat_those_in_line();
  void advance();
  void advance(slot& which);
  [[nodiscard]] bool all_empty() const noexcept;

  engine& engine_;
  const std::chrono::milliseconds word_delay_;
  std::vector<slot> slots_;  ///< of the thread alone
  std::mutex mutex_;
  std::condition_variable_any changed_;
  // Under the mutex:
  std::deque<std::packaged_task<void()>> posted_;
  std::deque<std::shared_ptr<completion>> line_;
  bool computing_ = false;
  bool closed_ = false;

  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace example

#endif  // EXAMPLES_SERVER_COMPUTE_LOOP_HPP
