#include <lull/log.hpp>

namespace lull {

std::string_view to_string(log_level level) noexcept {
  switch (level) {
    case log_level::debug: return "debug";
    case log_level::info: return "info";
    case log_level::warning: return "warning";
    case log_level::error: return "error";
  }
  return "?";
}

log_sink::log_sink(log_callback callback, log_level threshold) : threshold_(threshold) {
  if (callback) callback_ = std::make_shared<const log_callback>(std::move(callback));
}

void log_sink::write(log_level level, std::string_view line) const noexcept {
  if (!wants(level)) return;
  try {
    (*callback_)(level, line);
  } catch (...) {  // NOLINT(bugprone-empty-catch): logging never breaks an operation
  }
}

}  // namespace lull
