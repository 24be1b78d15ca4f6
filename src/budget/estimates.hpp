#ifndef LULL_BUDGET_ESTIMATES_HPP
#define LULL_BUDGET_ESTIMATES_HPP

#include <lull/budget.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace lull::detail {

/// What models held when they were last loaded. A small text file: a line for each model and
/// device, names with what is not printable, space and % written as in a URL.
using load_estimates = std::map<std::string, bytes_by_device, std::less<>>;

std::string to_text(const load_estimates& all);
/// @return nothing for a text that is not whole
std::optional<load_estimates> parse_estimates(std::string_view text);

/// Empty when there is no such file.
/// @throws error (io) for one that cannot be read, or is not whole
load_estimates read_estimates(const std::string& path);
/// Replaces the file as a whole: who reads it sees the old one or the new one.
/// @throws error (io), and then the old one is still there
void write_estimates(const std::string& path, const load_estimates& all);

}  // namespace lull::detail

#endif  // LULL_BUDGET_ESTIMATES_HPP
