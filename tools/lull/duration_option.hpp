#ifndef TOOLS_LULL_DURATION_OPTION_HPP
#define TOOLS_LULL_DURATION_OPTION_HPP

#include <lull/clock.hpp>

#include <string>

#include <CLI/CLI.hpp>

namespace lull::tool {

/// Reads "2s", "500ms", "1.5s", "3m"; without a unit they are seconds. Not negative, at most a day.
/// @throws error (invalid_argument) with the text quoted
duration parse_duration(const std::string& text);

/// "500ms", "2s", "1.5s": what parse_duration reads.
std::string duration_text(duration span);

/// Adds an option that holds a duration; a text that is none is wrong usage.
/// @param value keeps the default, and must outlive the parsing
CLI::Option* add_duration_option(CLI::App& command, const std::string& name, duration& value,
                                 const std::string& description);

}  // namespace lull::tool

#endif  // TOOLS_LULL_DURATION_OPTION_HPP
