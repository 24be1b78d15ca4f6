#ifndef LULL_HOST_GRAPH_HPP
#define LULL_HOST_GRAPH_HPP

/// @file
/// Executable graphs of the host: a stand-in for a vendor's, so that the whole life of a captured
/// graph, its memory included, can be seen and tested without a GPU.

#include <lull/backend.h>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace lull {

namespace detail {
struct host_graph_state;
}  // namespace detail

/// Recorded work with memory of its own, for tests, examples and back ends that compute on the CPU.
///
/// The footprint is real: the workspace is part of the resident set from recording on, and is
/// returned to the system when the graph is destroyed. The speed is not: the nodes are called one
/// after the other on the thread that launches; there is no parallelism and no stream.
///
/// Its address is a host graph to the device "HOST" (see lull_host_graph), and so is what a
/// `graph_cache<Key, host_graph*>` hands to its driver. It is owned by a std::unique_ptr, or
/// released from that and ended by device::graph_destroy, once: the host, which has no context to
/// lose, keeps no list of graphs, and cannot find out that one is `stale`.
class LULL_API host_graph {
 public:
  /// Ends the graph and unmaps its workspace. No launch may be under way.
  ~host_graph();
  host_graph(const host_graph&) = delete;
  host_graph& operator=(const host_graph&) = delete;

  /// Calls the nodes in the order in which they were recorded, on this thread, and returns when the
  /// last one has.
  ///
  /// Thread-safe, but one launch at a time: nodes share the workspace, as those of a vendor's graph
  /// do.
  /// @throws error (busy) when a launch is under way, on another thread or in a node of this one;
  ///         what a node throws, and then the nodes after it are not called. It can be launched
  ///         again.
  void launch();

  /// The memory of the workspace, in whole pages; what the resident set falls by when the graph is
  /// destroyed. Never changes.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  [[nodiscard]] std::uint64_t node_count() const noexcept { return header_.nodes; }

 private:
  friend class host_graph_builder;
  explicit host_graph(std::unique_ptr<detail::host_graph_state> state) noexcept;
  static void destroy(lull_host_graph* header) noexcept;

  lull_host_graph header_;  // first: the backend takes the graph's address for this one's
  detail::host_graph_state* state_;
};

/// Records a host_graph. Addresses are fixed while recording, as in a capture on a GPU: what
/// changes between launches is read by the nodes through a pointer that stays.
///
/// Not thread-safe. What was recorded and not instantiated goes with the builder.
class LULL_API host_graph_builder {
 public:
  host_graph_builder();
  ~host_graph_builder();
  host_graph_builder(const host_graph_builder&) = delete;
  host_graph_builder& operator=(const host_graph_builder&) = delete;

  /// Memory of the graph being recorded: zeroed, aligned to a page, part of the resident set when
  /// this returns. The address stays until the graph is destroyed. May be called several times.
  /// @param bytes above 0; rounded up to whole pages
  /// @throws error invalid_argument: 0, or more than can be addressed; out_of_host_memory
  [[nodiscard]] std::byte* workspace(std::uint64_t bytes);

  /// Adds a node after those that were added before.
  /// @param work what a launch calls; kept until the graph is destroyed
  /// @throws error (invalid_argument) when it is empty
  void add(std::function<void()> work);

  /// The graph that was recorded; it may have no nodes and no workspace. The builder is empty then,
  /// and can record another.
  [[nodiscard]] std::unique_ptr<host_graph> instantiate();

 private:
  std::unique_ptr<detail::host_graph_state> state_;
};

}  // namespace lull

#endif  // LULL_HOST_GRAPH_HPP
