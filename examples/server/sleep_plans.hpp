#ifndef EXAMPLES_SERVER_SLEEP_PLANS_HPP
#define EXAMPLES_SERVER_SLEEP_PLANS_HPP

#include <lull/lull.hpp>

#include <filesystem>
#include <optional>
#include <string>

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

/// Whether who asked for `asked`, and found the server asleep by `found`, has got what was asked
/// for.
bool is_covered(const lull::sleep_plan& asked, const std::string& found);

}  // namespace example

#endif  // EXAMPLES_SERVER_SLEEP_PLANS_HPP
