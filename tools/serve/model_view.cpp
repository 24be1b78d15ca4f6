// What others are told of a model: how far it can be put away, and how long it takes to come back.

#include <algorithm>
#include <utility>

#include "model.hpp"

namespace lull::serve {

std::vector<model::depth_view> model::depths() const {
  const budget_model books = for_books(config_, *around_.memory);
  std::vector<depth_view> all;
  for (std::size_t rung = 0; rung < config_.ladder.size(); ++rung) {
    if (broken_[rung]) continue;
    depth_view each;
    each.depth = rung + 1;
    each.level = config_.ladder[rung].level;
    // As it will be called when it has been found out what there is.
    if (each.level == "auto") {
      each.level = ways_of(rung).front() == sleep_way::driver ? "suspend" : "offload";
    }
    const bool stops = rung == deepest();
    each.measured = stops || left_[rung].has_value();
    if (!stops) each.left = left_[rung].value_or(books.levels[rung].left);
    each.back = arrivals_.expected(stops ? "cold" : each.level);
    all.push_back(std::move(each));
  }
  return all;
}

std::optional<duration> model::time_to_come() const {
  switch (phase_) {
    case phase::ready: return duration::zero();
    case phase::asleep: return arrivals_.expected(level_);
    case phase::starting:
    case phase::waking: {
      const auto whole = arrivals_.expected(arrivals_.from());
      if (!whole) return {};
      return std::max(*whole - (steady_clock().now() - arrivals_.began()), duration::zero());
    }
    case phase::leaving:  // how far is known when it has
    case phase::stopped:
    case phase::failed: break;
  }
  return arrivals_.expected("cold");
}

}  // namespace lull::serve
