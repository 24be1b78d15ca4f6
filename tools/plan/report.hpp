#ifndef TOOLS_PLAN_REPORT_HPP
#define TOOLS_PLAN_REPORT_HPP

#include <string>

#include <nlohmann/json.hpp>

#include "plan/foresight.hpp"

namespace lull::plan {

/// Tables, for people.
[[nodiscard]] std::string to_text(const foresight& seen);
/// Sizes in bytes.
[[nodiscard]] nlohmann::ordered_json to_json(const foresight& seen);

}  // namespace lull::plan

#endif  // TOOLS_PLAN_REPORT_HPP
