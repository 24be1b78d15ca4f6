#ifndef LULL_MEMORY_SELECTION_HPP
#define LULL_MEMORY_SELECTION_HPP

#include <lull/memory.hpp>

#include <string>
#include <vector>

#include "memory/region_state.hpp"
#include "memory/transfer.hpp"

namespace lull::detail {

// Called with the mutex of the memory held.

/// The regions that a plan takes off, of one device or of all.
[[nodiscard]] std::vector<transfer::job> jobs_to_evict(const memory_state& memory,
                                                       const eviction_plan& plan,
                                                       const device* only = nullptr);

/// The regions that come back: those with one of the tags, or all when there are none.
/// @throws error (not_found): nothing has such a tag
[[nodiscard]] std::vector<transfer::job> jobs_to_restore(const memory_state& memory,
                                                         const std::vector<std::string>& tags);

/// Those that are in the backing store, and need not be.
[[nodiscard]] std::vector<transfer::job> jobs_to_drop(const memory_state& memory,
                                                      const eviction_plan& plan);

}  // namespace lull::detail

#endif  // LULL_MEMORY_SELECTION_HPP
