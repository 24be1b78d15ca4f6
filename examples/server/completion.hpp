#ifndef EXAMPLES_SERVER_COMPLETION_HPP
#define EXAMPLES_SERVER_COMPLETION_HPP

#include <lull/budget.hpp>
#include <lull/clock.hpp>
#include <lull/sleeper.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "http/reply.hpp"
#include "server/requests.hpp"

namespace example {

/// What became of the completions that were asked for.
struct completion_counters {
  std::atomic<std::uint64_t> completed{0};
  std::atomic<std::uint64_t> rejected{0};  ///< too many waited
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> abandoned{0};  ///< the client did not wait for the end
  std::atomic<std::uint64_t> tokens{0};
  std::atomic<int> present{0};  ///< wait or are computed now
};

/// What work holds from its beginning to its end.
struct permit {
  lull::budget_ticket room;    ///< the model's bytes are its own
  lull::sleeper::lease lease;  ///< and are there; given back first
};

/// A completion on its way: from the request to the wake, through the queue to its last word. Used
/// by one thread at a time, and counted when it ends, however it does.
class completion {
 public:
  completion(completion_request what, http::reply to, lull::time_point deadline,
             completion_counters& counters);
  ~completion();
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;

  [[nodiscard]] const completion_request& what() const noexcept { return what_; }
  /// Until when it has to begin.
  [[nodiscard]] lull::time_point deadline() const noexcept { return deadline_; }
  /// Set when nobody waits for it any more.
  [[nodiscard]] std::stop_token unwanted() const { return to_.unwanted(); }

  /// Keeps the model awake from now to the end: the lease belongs to the work.
  void hold(permit what) { permit_.emplace(std::move(what)); }

  void say(std::string_view word);
  void finish();
  void fail(const std::exception& why);

 private:
  void end(std::atomic<std::uint64_t>& counter);

  completion_request what_;
  http::reply to_;
  lull::time_point deadline_;
  completion_counters& counters_;
  std::optional<permit> permit_;
  std::string content_;
  int said_ = 0;
  bool ended_ = false;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_COMPLETION_HPP
