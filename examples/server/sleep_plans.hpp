#ifndef EXAMPLES_SERVER_SLEEP_PLANS_HPP
#define EXAMPLES_SERVER_SLEEP_PLANS_HPP

#include <lull/lull.hpp>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/requests.hpp"

namespace example {

/// The plan of a level. The KV cache is worth no copy: it goes at every level but `trim`, which
/// keeps all.
/// @param offload_directory for what is offloaded; absent: host memory for a GPU, and for the host
///        device, where a copy in host memory would free nothing, the system's directory for
///        temporary files
/// @throws lull::error (unsupported) for a level that does not exist yet
lull::sleep_plan plan_for(lull::sleep_level level, const lull::device& device,
                          const std::optional<std::filesystem::path>& offload_directory);

/// The plan that discards what has one of the tags, and keeps the rest.
lull::sleep_plan plan_for_tags(const std::vector<std::string>& tags);

/// One step of a ladder.
struct ladder_step {
  lull::sleep_level level;
  std::chrono::milliseconds after;  ///< without work
};

/// Reads "offload:30s,suspend:10m": levels, each with a number of ms, s, m or h.
/// @throws lull::error (invalid_argument) that names the step and what would be right
std::vector<ladder_step> parse_ladder(std::string_view text);

/// As parse_ladder() reads it.
std::string to_string(const std::vector<ladder_step>& ladder);

/// @throws lull::error (unsupported) for a level that a device lacks, with those that it has
void expect_levels(const lull::device& device, const std::vector<lull::sleep_level>& levels);

}  // namespace example

#endif  // EXAMPLES_SERVER_SLEEP_PLANS_HPP
