#include "vocabulary/call_back.hpp"

#include "vocabulary/text.hpp"

namespace lull::detail {

void log_warning(const log_sink& log, std::string_view name, std::string_view words) noexcept {
  try {
    if (log.wants(log_level::warning)) {
      log.write(log_level::warning, text("{}: {}", name, words));
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): logging never breaks an operation
  }
}

}  // namespace lull::detail
