#ifndef LULL_BACKENDS_COMMON_OPTIONAL_GROUPS_HPP
#define LULL_BACKENDS_COMMON_OPTIONAL_GROUPS_HPP

#include "common/vendor_fn.hpp"

namespace lull::backends {

/// Looks up the groups that a machine's libraries may lack, each as a whole. A group that is missing
/// stays null.
/// @param addresses where the functions for stable addresses are, the driver for some vendors
template <class Api>
void bind_optional_groups(Api& api, const vendor_library& runtime,
                          const vendor_library& addresses) {
  bind(addresses, api.vm_granularity, api.vm_reserve, api.vm_release, api.vm_create, api.vm_destroy,
       api.vm_map, api.vm_set_access, api.vm_unmap);
  bind(runtime, api.event_create, api.event_destroy, api.event_record, api.event_query,
       api.event_synchronize, api.stream_wait_event);
  bind(runtime, api.host_register, api.host_unregister);
  bind(runtime, api.pool_default, api.pool_trim);
  bind(runtime, api.graph_exec_destroy, api.graph_nodes);
  bind(runtime, api.graph_upload);
  bind(runtime, api.graph_trim);
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_OPTIONAL_GROUPS_HPP
