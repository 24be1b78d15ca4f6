#ifndef LULL_DETAIL_BACKEND_OPERATIONS_H
#define LULL_DETAIL_BACKEND_OPERATIONS_H

/// @file
/// The one list of the operations of <lull/backend.h>. Names, capabilities, checks, the C tables
/// over a C++ class and the backend of the tests whose operations fail are all made from it. Not a
/// template, because a name must become text, a member of a struct and a member of a class at once.
///
/// `group(name, NAME)` is a group: the member `name` of lull_backend_ops, its table
/// `lull_<name>_ops`, its capability LULL_CAP_<NAME> and lull::capability::<name>, and its version
/// LULL_<NAME>_OPS_VERSION.
/// `operation(group, name)` is an operation of it, in the order of the table.

#define LULL_BACKEND_OPERATIONS(group, operation)                                                  \
  group(allocate, ALLOCATE) operation(allocate, allocate) operation(allocate, deallocate) group(   \
      stable_addresses, STABLE_ADDRESSES) operation(stable_addresses,                              \
                                                    vm_granularity) operation(stable_addresses,    \
                                                                              vm_reserve)          \
      operation(stable_addresses, vm_release) operation(stable_addresses, vm_create) operation(    \
          stable_addresses,                                                                        \
          vm_destroy) operation(stable_addresses,                                                  \
                                vm_map) operation(stable_addresses,                                \
                                                  vm_unmap) operation(stable_addresses,            \
                                                                      vm_reserve_near) group(copy, \
                                                                                             COPY) \
          operation(copy, copy_to_host) operation(copy, copy_from_host) operation(                 \
              copy, fill) group(streams, STREAMS) operation(streams, stream_create)                \
              operation(streams, stream_destroy) operation(streams, stream_synchronize) operation( \
                  streams, stream_wait_event) operation(streams, copy_to_host_async)               \
                  operation(streams, copy_from_host_async) operation(                              \
                      streams, event_create) operation(streams, event_destroy)                     \
                      operation(streams, event_record) operation(streams, event_query) operation(  \
                          streams, event_synchronize) group(pinned, PINNED)                        \
                          operation(pinned, pinned_allocate) operation(pinned, pinned_free) group( \
                              registration, REGISTRATION) operation(registration, host_register)   \
                              operation(registration, host_unregister) group(                      \
                                  context, CONTEXT) operation(context, context_create)             \
                                  operation(context, context_alive) operation(                     \
                                      context, synchronize) group(reset, RESET) operation(reset,   \
                                                                                          reset)   \
                                      group(pools, POOLS) operation(pools, pool_trim) group(       \
                                          graphs, GRAPHS) operation(graphs, graph_destroy)         \
                                          operation(graphs, graph_node_count) group(               \
                                              graph_upload, GRAPH_UPLOAD) operation(graph_upload,  \
                                                                                    graph_upload)  \
                                              group(graph_trim, GRAPH_TRIM) operation(             \
                                                  graph_trim, graph_trim) group(processes,         \
                                                                                PROCESSES)         \
                                                  operation(processes, process_list) group(        \
                                                      suspend, SUSPEND) operation(suspend,         \
                                                                                  suspend_state)   \
                                                      operation(suspend, suspend_lock) operation(  \
                                                          suspend, suspend_save)                   \
                                                          operation(suspend, suspend_restore)      \
                                                              operation(suspend, suspend_unlock)   \
                                                                  group(peers, PEERS) operation(   \
                                                                      peers, peer_can_access)      \
                                                                      operation(peers,             \
                                                                                vm_set_access)

/// For uses that are about groups alone, or operations alone.
#define LULL_BACKEND_NOTHING(first, second)

#endif  // LULL_DETAIL_BACKEND_OPERATIONS_H
