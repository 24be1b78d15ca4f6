#include "memory/selection.hpp"

#include <lull/error.hpp>

#include <algorithm>

#include "vocabulary/text.hpp"

namespace lull::detail {

std::vector<transfer::job> jobs_to_evict(const memory_state& memory, const eviction_plan& plan,
                                         const device* only) {
  std::vector<transfer::job> jobs;
  for (const auto& region : memory.regions) {
    if (only != nullptr && !(region->where == *only)) continue;
    contents_action action = plan.action_for(region->options.tag);
    if (action == contents_action::keep || !is_on_device(region->contents) || region->arriving) {
      continue;
    }
    // A source is no longer one when its region was written to.
    const bool lost =
        action == contents_action::discard && region->options.source && region->written;
    if (lost) action = contents_action::offload;
    // Contents that are not valid are not worth a copy.
    if (region->contents == residency::unfilled) action = contents_action::discard;
    jobs.push_back({region, action, region->contents});
  }
  return jobs;
}

std::vector<transfer::job> jobs_to_restore(const memory_state& memory,
                                           const std::vector<std::string>& tags) {
  for (const std::string& tag : tags) {
    const bool exists =
        std::any_of(memory.regions.begin(), memory.regions.end(),
                    [&tag](const auto& region) { return region->options.tag == tag; });
    if (!exists) fail(status::not_found, "restore: no region has the tag '{}'", tag);
  }
  std::vector<transfer::job> jobs;
  for (const auto& region : memory.regions) {
    const bool wanted =
        tags.empty() || std::find(tags.begin(), tags.end(), region->options.tag) != tags.end();
    if (!wanted || region->arriving) continue;
    if (region->contents == residency::offloaded) {
      jobs.push_back({region, contents_action::offload, region->contents});
    } else if (region->contents == residency::discarded) {
      jobs.push_back({region, contents_action::discard, region->contents});
    }
  }
  return jobs;
}

std::vector<transfer::job> jobs_to_drop(const memory_state& memory, const eviction_plan& plan) {
  std::vector<transfer::job> jobs;
  for (const auto& region : memory.regions) {
    const bool written_again =
        region->options.source ? !region->written : static_cast<bool>(region->refill);
    if (region->contents != residency::offloaded || region->arriving || !written_again) continue;
    if (plan.action_for(region->options.tag) != contents_action::discard) continue;
    jobs.push_back({region, contents_action::discard, residency::discarded});
  }
  return jobs;
}

}  // namespace lull::detail
