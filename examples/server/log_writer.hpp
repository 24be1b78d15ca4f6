#ifndef EXAMPLES_SERVER_LOG_WRITER_HPP
#define EXAMPLES_SERVER_LOG_WRITER_HPP

#include <lull/log.hpp>

#include <cstddef>
#include <memory>

namespace example {

/// Writes log lines to a descriptor on a thread of its own. Whoever logs never waits: when nobody
/// reads the other end, lines are kept up to a limit, then dropped and counted, and the count is
/// written once there is room again. So a pipe that nobody reads stops neither a transition nor the
/// end.
class log_writer {
 public:
  /// @param descriptor is duplicated; if it is not open, lines go nowhere
  /// @throws std::system_error when there are no descriptors left
  explicit log_writer(int descriptor, std::size_t most_lines = 1024);
  /// Writes what can be written within a quarter second; the rest is lost.
  ~log_writer();
  log_writer(const log_writer&) = delete;
  log_writer& operator=(const log_writer&) = delete;

  /// May be used after the writer is gone: then it drops everything.
  [[nodiscard]] lull::log_sink sink() const;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_LOG_WRITER_HPP
