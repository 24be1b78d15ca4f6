#ifndef LULL_HOST_HOST_HPP
#define LULL_HOST_HOST_HPP

/// @file
/// The host backend, built into the library: device memory is memory of this process.

#include <lull/backend.h>

namespace lull::backends {

/// One device, "HOST". Allocations and mappings are anonymous pages, so that releasing them lowers
/// the process's resident set by as much. Reservations are PROT_NONE. Graphs are lull_host_graph.
///
/// Setting `capacity_bytes`: how much the device offers; more is out of memory. Default: the memory
/// of the machine, within the limit of the control group.
const lull_backend_ops& host_ops() noexcept;

}  // namespace lull::backends

#endif  // LULL_HOST_HOST_HPP
