#ifndef TOOLS_PLAN_SNAPSHOT_JSON_HPP
#define TOOLS_PLAN_SNAPSHOT_JSON_HPP

/// @file
/// A budget at one moment as JSON: what `lull plan --state` reads, and who has a budget can write.

#include <lull/budget.hpp>

#include <string>

#include <nlohmann/json.hpp>

namespace lull::plan {

/// Spans are in milliseconds, sizes in bytes; what is not known is left out.
[[nodiscard]] nlohmann::ordered_json to_json(const budget_snapshot& snapshot);

/// What is left out has its default; what is not known to it is left alone.
/// @param file its name, for errors
/// @throws error (invalid_argument): "state.json:3: ...", "state.json: models[2].state: ..."
[[nodiscard]] budget_snapshot parse_snapshot(const std::string& text, const std::string& file);

}  // namespace lull::plan

#endif  // TOOLS_PLAN_SNAPSHOT_JSON_HPP
