#include "arrivals.hpp"

#include <utility>

namespace lull::serve {

void arrivals::begin(std::string from, time_point now) {
  from_ = std::move(from);
  began_ = now;
}

std::optional<duration> arrivals::end(time_point now) {
  if (began_ == time_point{}) return {};
  const duration took = now - std::exchange(began_, {});
  const auto [mean, is_first] = means_.emplace(from_, took);
  constexpr int last_counts_one_in = 3;
  if (!is_first) mean->second += (took - mean->second) / last_counts_one_in;
  return took;
}

std::optional<duration> arrivals::expected(const std::string& from) const {
  const auto found = means_.find(from);
  if (found == means_.end()) return {};
  return found->second;
}

}  // namespace lull::serve
