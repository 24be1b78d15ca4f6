#include "nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include <fmt/format.h>

namespace lull::serve {
namespace {

/// Longer names are compared by their beginnings: what people write is short.
constexpr std::size_t longest = 64;

std::string plain(std::string_view name) {
  std::string letters;
  for (const char c : name.substr(0, longest)) {
    if (c == '_' || c == '-') continue;
    letters += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return letters;
}

/// How many letters have to be put in, taken out or replaced.
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[to.size()];
}

}  // namespace

std::string nearest(std::string_view given, const std::vector<std::string>& known) {
  const std::string wanted = plain(given);
  std::string best;
  // A third of it may be otherwise, but never all of it.
  std::size_t least = std::min(std::max<std::size_t>(1, wanted.size() / 3) + 1, wanted.size());
  for (const std::string& name : known) {
    const std::size_t apart = distance(wanted, plain(name));
    if (apart >= least) continue;
    least = apart;
    best = name;
  }
  return best;
}

std::string did_you_mean(std::string_view given, const std::vector<std::string>& known) {
  const std::string name = nearest(given, known);
  return name.empty() ? "" : fmt::format("; did you mean '{}'?", name);
}

}  // namespace lull::serve
