#ifndef LULL_TESTS_GPU_CHECKS_CLAIMS_HPP
#define LULL_TESTS_GPU_CHECKS_CLAIMS_HPP

#include <optional>
#include <string>
#include <vector>

#include "check.hpp"

namespace gpu_checks {

/// A row of the table at the end. An aim that is missed is no failure of the check: it says so
/// here.
struct claim {
  std::string text;
  std::string measured;          ///< with its unit; "not measured: ..." where that is so
  std::string target = {};       ///< empty: it is only told
  std::optional<bool> met = {};  ///< absent: there is no target, or it was not measured
};

/// What the results say about what lull claims.
///
/// A program can bring rows of its own in an array "claims" of its result; then nothing else is
/// read from it:
///   {"claim": "wake, warm arena", "measured": 0.97, "unit": "of the link", "target": 0.95,
///    "better": "more"}
/// "measured" is a number or null, "better" is "more" or "less"; "unit" and "target" may be absent.
std::vector<claim> claims_of(const std::vector<check_result>& results);

/// As a table for people.
std::string to_table(const std::vector<claim>& claims);

json to_json(const std::vector<claim>& claims);

}  // namespace gpu_checks

#endif  // LULL_TESTS_GPU_CHECKS_CLAIMS_HPP
