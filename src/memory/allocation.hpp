#ifndef LULL_MEMORY_ALLOCATION_HPP
#define LULL_MEMORY_ALLOCATION_HPP

#include <cstdint>
#include <memory>

namespace lull::detail {

struct region_state;

/// Finds a place for a new region, with memory behind it, and puts it on the list. A reset that
/// comes in between sees it there.
/// @throws error out_of_device_memory: with what was asked, taken, free and missing; backend. Then
///         all is as it was.
void settle_in(const std::shared_ptr<region_state>& region, std::uint64_t granularity);

}  // namespace lull::detail

#endif  // LULL_MEMORY_ALLOCATION_HPP
