#ifndef EXAMPLES_SERVER_JSON_HPP
#define EXAMPLES_SERVER_JSON_HPP

#include <lull/graph_cache.hpp>
#include <lull/report.hpp>
#include <lull/sleeper.hpp>

#include <string>

#include <nlohmann/json.hpp>

namespace example {

/// Milliseconds with a fraction.
double milliseconds(lull::duration span) noexcept;

nlohmann::json to_json(const lull::transition_report& report);

/// null where there is no bound.
nlohmann::json to_json(const lull::graph_limits& limits);

/// JSON as text. What is not UTF-8 (names of files, quotes of a client's words) is replaced.
std::string to_text(const nlohmann::json& value);

}  // namespace example

#endif  // EXAMPLES_SERVER_JSON_HPP
