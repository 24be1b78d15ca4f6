#ifndef TOOLS_LULL_DEMO_INTERRUPT_HPP
#define TOOLS_LULL_DEMO_INTERRUPT_HPP

#include <lull/clock.hpp>

#include <chrono>
#include <csignal>
#include <optional>
#include <stop_token>
#include <thread>

namespace lull::demo {

/// Turns SIGINT, SIGTERM and SIGHUP into a stop request while it exists, so that everything unwinds
/// as after any other failure. Create it before the process has other threads: those started later
/// inherit the blocked signals.
class interrupt_watch {
 public:
  /// @param patience for a program that has nothing to take back, but may be writing into a pipe
  ///        which nobody reads: after so long, and by another signal, it ends as it would by
  ///        default
  explicit interrupt_watch(std::optional<std::chrono::milliseconds> patience = std::nullopt);
  ~interrupt_watch();
  interrupt_watch(const interrupt_watch&) = delete;
  interrupt_watch& operator=(const interrupt_watch&) = delete;

  [[nodiscard]] std::stop_token token() const noexcept { return interrupted_.get_token(); }

 private:
  sigset_t before_{};
  std::stop_source interrupted_;
  std::jthread thread_;
};

/// @throws error (cancelled) when a stop was requested
void throw_if_interrupted(const std::stop_token& stop);

/// Sleeps for `span`.
/// @throws error (cancelled) as soon as a stop is requested
void pause_for(duration span, const std::stop_token& stop);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_INTERRUPT_HPP
