#ifndef LULL_MEMORY_REFILL_HPP
#define LULL_MEMORY_REFILL_HPP

#include <lull/memory.hpp>

namespace lull::detail {

class courier;
struct region_state;

/// Lets a callback write a region, through a courier. All it wrote has arrived when this returns.
/// @throws error (callback) that names the region and carries the callback's words; what the
///         courier throws
void run_refill(const region_state& region, const refill_callback& callback, courier& with);

struct refill_access {
  static refill_target target(const region_state& region, courier& with);
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_REFILL_HPP
