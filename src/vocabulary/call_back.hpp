#ifndef LULL_VOCABULARY_CALL_BACK_HPP
#define LULL_VOCABULARY_CALL_BACK_HPP

#include <lull/log.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include "vocabulary/current_error.hpp"

namespace lull::detail {

/// Logs "name: words" as a warning; never throws.
void log_warning(const log_sink& log, std::string_view name, std::string_view words) noexcept;

/// Calls a callback of the caller, if there is one; what it throws is logged.
template <class... Arguments>
void call_back(const log_sink& log, std::string_view name,
               const std::function<void(Arguments...)>& callback,
               const std::type_identity_t<Arguments>&... arguments) noexcept {
  if (!callback) return;
  try {
    callback(arguments...);
  } catch (...) {
    log_warning(log, name, current_error(status::callback).what());
  }
}

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_CALL_BACK_HPP
