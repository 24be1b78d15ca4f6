#ifndef TOOLS_SERVE_CONFIG_VALUES_HPP
#define TOOLS_SERVE_CONFIG_VALUES_HPP

/// @file
/// Single values, as people write them. What is wrong is thrown as std::invalid_argument, whose
/// words say what would be right.

#include <lull/clock.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config.hpp"

namespace lull::serve {

/// "500ms", "2s", "1.5m", "3h", "7d"; without a unit seconds. Not negative, at most 10 years.
duration parse_span(std::string_view text);

/// A whole number within bounds.
std::int64_t parse_whole(std::string_view text, std::int64_t least, std::int64_t most);

/// "true", "yes", "on", and their opposites, in any case.
bool parse_flag(std::string_view text);

/// "512MiB", "1.5GiB", "1073741824".
std::uint64_t parse_size(std::string_view text);

/// What is kept free of a device: "1GiB" or "5%".
struct margin {
  std::uint64_t bytes = 0;
  double share = 0;
};
margin parse_margin(std::string_view text);

/// "8080", ":8080" (all addresses), "127.0.0.1:8080", "[::1]:8080". Port 0: any that is free.
endpoint parse_listen(std::string_view text);

/// "http://127.0.0.1:9000/api".
struct url {
  endpoint where;
  std::string path;  ///< "" or "/api"
};
url parse_url(std::string_view text);

/// A command line without the lines that begin with #; a line that ends with a backslash goes on.
std::string without_comments(std::string_view text);

/// Splits a command line into words as a shell does, but for what a shell would look up: blanks
/// part, quotes and backslashes keep together. Comments are left out.
std::vector<std::string> split_words(std::string_view text);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_VALUES_HPP
