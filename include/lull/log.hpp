#ifndef LULL_LOG_HPP
#define LULL_LOG_HPP

/// @file
/// Where lull's log lines go: a callback of the caller. Without one lull is silent; it never writes
/// to standard output or standard error.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace lull {

enum class log_level : std::int32_t { debug = 0, info = 1, warning = 2, error = 3 };

/// Lines below it are dropped unless something else is asked for.
inline constexpr log_level default_log_threshold = log_level::info;

/// "debug", "info", "warning", "error".
LULL_API std::string_view to_string(log_level level) noexcept;

/// Receives one line without a newline; the text is valid during the call only. What it throws is
/// swallowed: logging never breaks an operation.
///
/// Called by the thread that does what the line is about, which waits meanwhile: the sleeper's, so
/// that no further transition begins and its destructor does not return; the one that moves memory,
/// so that the transfer does not go on; that of a child process, so that its end is not told; or
/// the caller's own. Several may call at once; none holds a lock of lull's that an observer needs.
/// So it must not block: a sink that writes to a pipe which nobody reads has to keep lines, up to a
/// limit, and drop the rest (examples/server/log_writer.hpp does). It must not call what it was
/// given to.
using log_callback = std::function<void(log_level level, std::string_view line)>;

/// A sink that can be copied and shared. Default: silent, and then a line costs one comparison.
class LULL_API log_sink {
 public:
  log_sink() = default;
  /// Lines below `threshold` are dropped before the callback is called.
  explicit log_sink(log_callback callback, log_level threshold = default_log_threshold);

  /// Whether a line of this level would be delivered. Ask before composing an expensive line.
  [[nodiscard]] bool wants(log_level level) const noexcept {
    return callback_ != nullptr && level >= threshold_;
  }

  void write(log_level level, std::string_view line) const noexcept;

 private:
  std::shared_ptr<const log_callback> callback_;
  log_level threshold_ = log_level::error;
};

}  // namespace lull

#endif  // LULL_LOG_HPP
