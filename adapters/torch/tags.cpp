#include "tags.hpp"

#include <utility>

#include "failure.hpp"

namespace lull_torch {

bool sleeping_tags::contains(std::string_view tag) const {
  return all_ != (exceptions_.find(tag) != exceptions_.end());
}

void sleeping_tags::set(const std::string& tag, bool asleep) {
  if (asleep == all_) {
    exceptions_.erase(tag);
  } else {
    exceptions_.insert(tag);
  }
}

void sleeping_tags::add(const lull_eviction_plan& plan) {
  sleeping_tags after = *this;
  if (plan.otherwise != LULL_CONTENTS_KEEP) {
    after.all_ = true;
    after.exceptions_.clear();
  }
  for (std::size_t i = 0; i < plan.tag_count; ++i) {
    const std::string tag = plan.tags[i].tag != nullptr ? plan.tags[i].tag : "";
    lull_contents_action action{};
    expect_ok(lull_eviction_plan_action(&plan, tag.c_str(), &action));
    after.set(tag, action != LULL_CONTENTS_KEEP || contains(tag));
  }
  *this = std::move(after);
}

void sleeping_tags::remove(const std::vector<std::string>& tags) {
  for (const std::string& each : tags) set(each, false);
}

void sleeping_tags::clear() {
  all_ = false;
  exceptions_.clear();
}

}  // namespace lull_torch
