#include "core/ops_table.hpp"

#include <lull/backend.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <tuple>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

[[noreturn]] void refuse_table(const std::string& reason) {
  throw error(status::bad_module, reason);
}

template <class... Arguments>
lull_status unsupported(Arguments... arguments) {
  lull_backend_error* const error = std::get<sizeof...(Arguments) - 1>(std::tie(arguments...));
  backends::copy_text(error->message, "the backend does not provide this operation");
  error->call[0] = '\0';
  error->vendor_code = 0;
  return LULL_ERROR_UNSUPPORTED;
}

void check_mandatory(const lull_backend_ops& ops) {
  const auto expect = [](bool present, std::string_view slot) {
    if (!present) refuse_table(text("its operations table lacks the mandatory '{}'", slot));
  };
  expect(ops.name != nullptr && *ops.name != '\0', "name");
  expect(ops.score != nullptr, "score");
  expect(ops.open != nullptr, "open");
  expect(ops.close != nullptr, "close");
  expect(ops.device_count != nullptr, "device_count");
  expect(ops.device_describe != nullptr, "device_describe");
  expect(ops.memory_info != nullptr, "memory_info");
}

/// Copies one group and checks that it is whole.
template <class Ops>
class group_check {
 public:
  /// @param version what this library knows
  group_check(const Ops* from, Ops& into, std::string_view name, std::uint32_t version)
      : from_(from), into_(into), name_(name), version_(version) {
    constexpr auto smallest = sizeof(std::uint32_t) * 2 + sizeof(void (*)());
    if (!usable()) return;
    if (from_->struct_size < smallest) {
      refuse_table(text("its group '{}' has {} bytes, too few for one operation", name_,
                        from_->struct_size));
    }
    bytes_ = std::min<std::size_t>(from_->struct_size, sizeof(Ops));
    std::memcpy(&into_, from_, bytes_);
  }

  [[nodiscard]] bool provided() const noexcept { return from_ != nullptr; }
  [[nodiscard]] bool usable() const noexcept { return provided() && from_->version == version_; }

  /// "its 'copy' is of version 2, and this lull knows version 1".
  [[nodiscard]] std::string why_unused() const {
    return text("its '{}' is of version {}, and this lull knows version {}", name_, from_->version,
                version_);
  }

  /// Whether a slot is there to be set: later ones are not in the table of an older module.
  [[nodiscard]] bool has_room_for(const void* slot, std::size_t slot_bytes) const noexcept {
    const auto at = static_cast<const std::byte*>(slot) - reinterpret_cast<std::byte*>(&into_);
    return static_cast<std::size_t>(at) + slot_bytes <= bytes_;
  }

  template <class... Arguments>
  void check(lull_status (*&slot)(Arguments...), std::string_view name) const {
    if (slot == nullptr && has_room_for(&slot, sizeof slot)) {
      refuse_table(text("its group '{}' lacks '{}'; a group is provided as a whole or not at all",
                        name_, name));
    }
    if (slot == nullptr) slot = &unsupported<Arguments...>;
  }

 private:
  const Ops* from_;
  Ops& into_;
  std::string_view name_;
  std::uint32_t version_;
  std::size_t bytes_ = 0;
};

void check_groups(const lull_backend_ops& from, ops_table& table) {
#define LULL_CHECK_GROUP(group, GROUP)                                                    \
  group_check group##_group(from.group, table.group, #group, LULL_##GROUP##_OPS_VERSION); \
  if (group##_group.usable()) table.groups |= LULL_CAP_##GROUP;                           \
  if (group##_group.provided() && !group##_group.usable()) {                              \
    if (!table.unused.empty()) table.unused += "; ";                                      \
    table.unused += group##_group.why_unused();                                           \
  }
#define LULL_CHECK_OPERATION(group, name) group##_group.check(table.group.name, #name);
  LULL_BACKEND_OPERATIONS(LULL_CHECK_GROUP, LULL_CHECK_OPERATION)
#undef LULL_CHECK_OPERATION
#undef LULL_CHECK_GROUP
}

}  // namespace

ops_table check_ops(const lull_backend_ops& from) {
  const auto major = from.abi_version >> 16;
  if (major != LULL_BACKEND_ABI_MAJOR) {
    refuse_table(text("it is built for module ABI {}.{}; this lull understands {}.x", major,
                      from.abi_version & 0xffff, LULL_BACKEND_ABI_MAJOR));
  }
  if (from.struct_size < LULL_BACKEND_OPS_MIN_SIZE) {
    refuse_table(text("its operations table has {} bytes; the mandatory part alone has {}",
                      from.struct_size, LULL_BACKEND_OPS_MIN_SIZE));
  }
  lull_backend_ops known{};
  std::memcpy(&known, &from, std::min<std::size_t>(from.struct_size, sizeof known));
  check_mandatory(known);
  ops_table table;
  std::memcpy(&table.ops, &known, LULL_BACKEND_OPS_MIN_SIZE);
  check_groups(known, table);
  return table;
}

}  // namespace lull::detail
