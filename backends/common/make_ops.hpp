#ifndef LULL_BACKENDS_COMMON_MAKE_OPS_HPP
#define LULL_BACKENDS_COMMON_MAKE_OPS_HPP

#include <lull/backend.hpp>

#include "common/runtime_backend.hpp"

namespace lull::backends {

/// The operations table over runtime_backend<Api>, with the groups that `api` has here.
template <class Api>
lull_backend_ops make_ops(const Api& api, decltype(lull_backend_ops::score) score,
                          decltype(lull_backend_ops::open) open) {
  using backend = runtime_backend<Api>;
  lull_backend_ops table{};
  table.abi_version = LULL_BACKEND_ABI_VERSION;
  table.struct_size = sizeof table;
  table.name = Api::name;
  table.score = score;
  table.open = open;
  table.close = [](lull_backend* self) { delete reinterpret_cast<backend*>(self); };
  table.device_count = [](lull_backend* self) {
    return reinterpret_cast<backend*>(self)->device_count();
  };
  table.device_describe = thunk<&backend::describe>;
  table.memory_info = thunk<&backend::memory_info>;
  table.allocate = &group_of<lull_allocate_ops, backend>;
  table.copy = &group_of<lull_copy_ops, backend>;
  table.pinned = &group_of<lull_pinned_ops, backend>;
  table.context = &group_of<lull_context_ops, backend>;
  table.reset = &group_of<lull_reset_ops, backend>;
  if (api.addresses) table.stable_addresses = &group_of<lull_stable_addresses_ops, backend>;
  if (api.addresses && api.peers) table.peers = &group_of<lull_peers_ops, backend>;
  if (api.events) table.streams = &group_of<lull_streams_ops, backend>;
  if (api.registration) table.registration = &group_of<lull_registration_ops, backend>;
  if (api.pools) table.pools = &group_of<lull_pools_ops, backend>;
  if (api.graphs) table.graphs = &group_of<lull_graphs_ops, backend>;
  if (api.graph_uploads) table.graph_upload = &group_of<lull_graph_upload_ops, backend>;
  if (api.graph_trims) table.graph_trim = &group_of<lull_graph_trim_ops, backend>;
  if constexpr (lists_processes<typename Api::own>) {
    table.processes = &group_of<lull_processes_ops, backend>;
  }
  if constexpr (suspends_processes<typename Api::own>) {
    if (api.suspension) table.suspend = &group_of<lull_suspend_ops, backend>;
  }
  return table;
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_MAKE_OPS_HPP
