#ifndef LULL_CORE_OPS_TABLE_HPP
#define LULL_CORE_OPS_TABLE_HPP

#include <lull/backend.h>

#include <cstdint>

namespace lull::detail {

/// A module's operations, safe to call: every slot is set.
struct ops_table {
  lull_backend_ops ops{};
  std::uint64_t groups = 0;  ///< the lull_capability bits of the groups that the module provides
};

/// Copies and checks the table that a module handed out. A table of an older minor version counts
/// as one whose later slots are null; of a newer one, what this version knows is used. Absent
/// groups are filled with operations that answer LULL_ERROR_UNSUPPORTED, so that no caller has to
/// look.
/// @throws error (bad_module): another ABI major, too small, without a name, a mandatory slot or
///         half a group missing; the message names the slot
ops_table check_ops(const lull_backend_ops& from);

}  // namespace lull::detail

#endif  // LULL_CORE_OPS_TABLE_HPP
