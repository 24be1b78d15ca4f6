#ifndef LULL_MEMORY_CHECKS_HPP
#define LULL_MEMORY_CHECKS_HPP

#include <lull/memory.hpp>

#include "memory/region_state.hpp"

namespace lull::detail {

/// With what was left open filled in.
/// @throws error (invalid_argument) for one outside its range
[[nodiscard]] memory_options checked_options(memory_options options);

/// Pieces must lie inside the region and inside the file.
/// @throws error (invalid_argument)
void check_source(const region_state& region);

/// Leaves the devices that are to be told, each once.
/// @throws error (unsupported) for one that cannot reach the memory
void check_peers(const device& where, region_options& options);

}  // namespace lull::detail

#endif  // LULL_MEMORY_CHECKS_HPP
