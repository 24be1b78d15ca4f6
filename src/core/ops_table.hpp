#ifndef LULL_CORE_OPS_TABLE_HPP
#define LULL_CORE_OPS_TABLE_HPP

#include <lull/backend.h>
#include <lull/detail/backend_operations.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace lull::detail {

/// A module's operations, safe to call: every slot of every group is set.
struct ops_table {
  lull_backend_ops ops{};  ///< the mandatory part; its pointers to groups are null

#define LULL_MEMBER(group, GROUP) lull_##group##_ops group{};
  LULL_BACKEND_OPERATIONS(LULL_MEMBER, LULL_BACKEND_NOTHING)
#undef LULL_MEMBER

  std::uint64_t groups = 0;  ///< the lull_capability bits of the groups that the module provides
  std::string unused;        ///< what it has that this version cannot use, for people; or empty
};

/// Copies and checks the table that a module handed out. What an older module does not know of
/// counts as null; of a newer one, what this version knows is used. Operations that are not there
/// are filled with one that answers LULL_ERROR_UNSUPPORTED, so that no caller has to look.
/// @throws error (bad_module): another ABI major, too small, without a name, a mandatory slot or
///         half a group missing; the message names the slot
ops_table check_ops(const lull_backend_ops& from);

/// An operation: its name, and where it stands in an ops_table.
template <auto Group, auto Slot>
struct operation {
  std::string_view name;

  [[nodiscard]] static auto in(const ops_table& table) noexcept { return table.*Group.*Slot; }
};

/// Every operation of every group, by its name.
namespace op {
#define LULL_CONSTANT(group, name) \
  inline constexpr operation<&ops_table::group, &lull_##group##_ops::name> name{#name};
LULL_BACKEND_OPERATIONS(LULL_BACKEND_NOTHING, LULL_CONSTANT)
#undef LULL_CONSTANT
}  // namespace op

}  // namespace lull::detail

#endif  // LULL_CORE_OPS_TABLE_HPP
