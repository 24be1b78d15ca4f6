#ifndef TOOLS_LULL_DEMO_OBSERVER_HPP
#define TOOLS_LULL_DEMO_OBSERVER_HPP

#include <lull/clock.hpp>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "timeline.hpp"

namespace lull::demo {

/// What came of watching.
struct observations {
  std::vector<phase> phases;  ///< the last one ends at the latest observation
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
  seconds slowest{};  ///< the longest time until an answer
};

/// Looks at the server all the time, as a monitoring system does, on a thread of its own:
/// GET /health, /props and /metrics. None of them may wake it or wait for a transition.
class observer {
 public:
  /// @param origin the time that phases are relative to; a phase `start` lasts from there to the
  ///        first observation
  observer(int port, time_point origin);
  observer(const observer&) = delete;
  observer& operator=(const observer&) = delete;

  /// Thread-safe.
  [[nodiscard]] observations so_far() const;

  /// Waits until the server is seen in this state.
  /// @throws error timed_out, with the state it is in; cancelled; io: it does not answer any more
  void await(phase_kind state, time_point deadline, const std::stop_token& stop);

 private:
  void run(const std::stop_token& stop, int port, time_point origin);
  void record(phase_kind state, seconds at);

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  observations seen_;
  std::jthread thread_;
};

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_OBSERVER_HPP
