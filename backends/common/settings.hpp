#ifndef LULL_BACKENDS_COMMON_SETTINGS_HPP
#define LULL_BACKENDS_COMMON_SETTINGS_HPP

#include <lull/backend.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "common/thunk.hpp"

namespace lull::backends {

/// Calls `accept(key, value)` for each setting; when it returns false the setting is unknown.
/// @throws backend_failure that names the settings there are
template <class Accept>
void read_settings(const lull_backend_setting* settings, std::uint64_t count,
                   std::string_view backend, std::string_view known, Accept&& accept) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (accept(std::string_view{settings[i].key}, std::string_view{settings[i].value})) continue;
    std::string message{backend};
    message += " has no setting '";
    message += settings[i].key;
    message += known.empty() ? "'; it has none" : "'; it has: ";
    message += known;
    throw backend_failure(LULL_ERROR_INVALID_ARGUMENT, "", 0, message);
  }
}

/// A module's score: 10 when `find_problem` finds nothing, else 0 with what it says. Nothing escapes.
template <class FindProblem>
std::int32_t score_from(FindProblem&& find_problem, char* reason,
                        std::uint64_t reason_size) noexcept {
  lull_backend_error failure{};
  std::string problem;
  if (guard(&failure, [&] { problem = find_problem(); }) != LULL_OK) problem = failure.message;
  if (problem.empty()) return 10;
  if (reason_size != 0) reason[problem.copy(reason, reason_size - 1)] = '\0';
  return 0;
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_SETTINGS_HPP
