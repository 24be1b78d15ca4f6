#include "core/ops_table.hpp"

#include <lull/backend.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <string_view>
#include <tuple>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
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

/// Calls `visit(group, name, slot)` for every slot that may be absent.
template <class Visit>
void for_each_optional_slot(lull_backend_ops& ops, Visit&& visit) {
  visit(LULL_CAP_ALLOCATE, "allocate", ops.allocate);
  visit(LULL_CAP_ALLOCATE, "deallocate", ops.deallocate);
  visit(LULL_CAP_STABLE_ADDRESSES, "vm_granularity", ops.vm_granularity);
  visit(LULL_CAP_STABLE_ADDRESSES, "vm_reserve", ops.vm_reserve);
  visit(LULL_CAP_STABLE_ADDRESSES, "vm_release", ops.vm_release);
  visit(LULL_CAP_STABLE_ADDRESSES, "vm_create", ops.vm_create);
  visit(LULL_CAP_STABLE_ADDRESSES, "vm_destroy", ops.vm_destroy);
  visit(LULL_CAP_STABLE_ADDRESSES, "vm_map", ops.vm_map);
  visit(LULL_CAP_STABLE_ADDRESSES, "vm_unmap", ops.vm_unmap);
  visit(LULL_CAP_COPY, "copy_to_host", ops.copy_to_host);
  visit(LULL_CAP_COPY, "copy_from_host", ops.copy_from_host);
  visit(LULL_CAP_COPY, "fill", ops.fill);
  visit(LULL_CAP_STREAMS, "stream_create", ops.stream_create);
  visit(LULL_CAP_STREAMS, "stream_destroy", ops.stream_destroy);
  visit(LULL_CAP_STREAMS, "stream_synchronize", ops.stream_synchronize);
  visit(LULL_CAP_STREAMS, "copy_async", ops.copy_async);
  visit(LULL_CAP_PINNED, "pinned_allocate", ops.pinned_allocate);
  visit(LULL_CAP_PINNED, "pinned_free", ops.pinned_free);
  visit(LULL_CAP_CONTEXT, "context_create", ops.context_create);
  visit(LULL_CAP_CONTEXT, "context_alive", ops.context_alive);
  visit(LULL_CAP_CONTEXT, "synchronize", ops.synchronize);
  visit(LULL_CAP_RESET, "reset", ops.reset);
  visit(LULL_CAP_POOLS, "pool_trim", ops.pool_trim);
  visit(LULL_CAP_GRAPHS, "graph_destroy", ops.graph_destroy);
  visit(LULL_CAP_GRAPHS, "graph_node_count", ops.graph_node_count);
  visit(LULL_CAP_GRAPH_UPLOAD, "graph_upload", ops.graph_upload);
  visit(LULL_CAP_GRAPH_TRIM, "graph_trim", ops.graph_trim);
  visit(LULL_CAP_SUSPEND, "suspend", ops.suspend);
  visit(LULL_CAP_SUSPEND, "resume", ops.resume);
  visit(LULL_CAP_PROCESSES, "process_list", ops.process_list);
  visit(LULL_CAP_CHECKPOINT, "process_checkpoint", ops.process_checkpoint);
}

void check_mandatory(const lull_backend_ops& ops) {
  const auto expect = [](bool present, std::string_view slot) {
    if (!present) refuse(text("its operations table lacks the mandatory '{}'", slot));
  };
  expect(ops.name != nullptr && *ops.name != '\0', "name");
  expect(ops.score != nullptr, "score");
  expect(ops.open != nullptr, "open");
  expect(ops.close != nullptr, "close");
  expect(ops.device_count != nullptr, "device_count");
  expect(ops.device_describe != nullptr, "device_describe");
  expect(ops.memory_info != nullptr, "memory_info");
}

/// What a table has of one group, by the names of its slots.
struct group_slots {
  std::string_view present;
  std::string_view absent;
};

std::uint64_t check_groups(lull_backend_ops& ops) {
  std::map<lull_capability, group_slots> groups;
  for_each_optional_slot(ops, [&](lull_capability group, std::string_view name, auto* slot) {
    (slot != nullptr ? groups[group].present : groups[group].absent) = name;
  });
  std::uint64_t provided = 0;
  for (const auto& [group, slots] : groups) {
    if (!slots.present.empty() && !slots.absent.empty()) {
      refuse(
          text("its operations table has '{}' but not '{}' of the same group; a group is "
               "provided as a whole or not at all",
               slots.present, slots.absent));
    }
    if (slots.absent.empty()) provided |= group;
  }
  return provided;
}

}  // namespace

ops_table check_ops(const lull_backend_ops& from) {
  const auto major = from.abi_version >> 16;
  if (major != LULL_BACKEND_ABI_MAJOR) {
    refuse(text("it is built for module ABI {}.{}; this lull understands {}.x", major,
                from.abi_version & 0xffff, LULL_BACKEND_ABI_MAJOR));
  }
  if (from.struct_size < LULL_BACKEND_OPS_MIN_SIZE) {
    refuse(text("its operations table has {} bytes; the mandatory part alone has {}",
                from.struct_size, LULL_BACKEND_OPS_MIN_SIZE));
  }
  ops_table table;
  std::memcpy(&table.ops, &from, std::min<std::size_t>(from.struct_size, sizeof table.ops));
  check_mandatory(table.ops);
  table.groups = check_groups(table.ops);
  for_each_optional_slot(
      table.ops, []<class... A>(lull_capability, std::string_view, lull_status (*&slot)(A...)) {
        if (slot == nullptr) slot = &unsupported<A...>;
      });
  return table;
}

}  // namespace lull::detail
