#ifndef LULL_DEVICE_GRAPHS_HPP
#define LULL_DEVICE_GRAPHS_HPP

/// @file
/// Graph caches for the executable graphs of a device.

#include <lull/clock.hpp>
#include <lull/device.hpp>
#include <lull/export.h>
#include <lull/graph_driver.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

namespace lull {

struct device_graph_options {
  /// What a node of an executable graph holds, for graphs whose capture function says how many nodes
  /// they have and not how many bytes. Absent: the backend's own figure (device::graph_node_bytes()),
  /// if it has one. 0: no estimates.
  std::optional<std::uint64_t> bytes_per_node = {};
  /// How long a reset of the device waits for graphs in use and for captures to end before it is
  /// refused. Above 0.
  duration clear_timeout = std::chrono::seconds{10};
};

/// A driver for caches whose graphs are the executable graphs of a device (cudaGraphExec_t).
///
/// Graphs are destroyed once the work that uses them is done: CUDA frees one that still runs when it
/// has finished (cuda.h, cuGraphExecDestroy), the other vendors' modules wait for the device first.
/// Where the vendor keeps memory of graphs that are gone, trimming returns it.
///
/// A reset of the device clears the caches first, and is refused while graphs are in use or being
/// captured; one that drops what lives evicts what is not in use, and leaves the rest to die with the
/// context. What is of an older generation is dropped without a vendor call.
///
/// Estimates are corrected by what the platform says this process holds before and after a trim.
///
/// Creates no context by itself. Keeps the device's module loaded. Thread-safe.
/// @throws error unsupported: the device destroys no graphs (capability::graphs); invalid_argument
[[nodiscard]] LULL_API std::shared_ptr<graph_driver> make_graph_driver(
    const device& where, const device_graph_options& options = {});

}  // namespace lull

#endif  // LULL_DEVICE_GRAPHS_HPP
