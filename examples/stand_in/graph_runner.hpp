#ifndef EXAMPLES_STAND_IN_GRAPH_RUNNER_HPP
#define EXAMPLES_STAND_IN_GRAPH_RUNNER_HPP

#include <lull/lull.hpp>

#include <cstdint>
#include <string_view>

#include "stand_in/model.hpp"

namespace example {

/// The bucket of a prompt: the power of two that it fits in, from 16 bytes to 4 KiB. What is longer
/// shares the largest. Servers pad prompts so, and graphs are captured per bucket.
std::uint64_t bucket_for(std::uint64_t prompt_bytes) noexcept;

/// What a graph of a bucket holds: 1 MiB to 16 MiB.
std::uint64_t workspace_for(std::uint64_t bucket_bytes) noexcept;

/// Runs the model through captured graphs and keeps those within bounds.
///
/// The graphs are stand-ins of the host whatever device holds the weights; with a vendor's, what
/// changes is the type, the capture and the driver. A graph has one workspace and reads its input
/// at one address: all run on the one thread that computes.
class graph_runner {
 public:
  /// @param weights_device where the model is
  graph_runner(const lull::device& weights_device, const lull::graph_limits& limits,
               lull::log_sink log);

  /// Which model is run. It must outlive the graphs that are captured of it.
  void use(const model& what) noexcept { model_ = &what; }

  /// What model::digest() gives, by launching the graph of this length of prompt. It is captured
  /// first if it is not there; where the bounds have no room for it, the model is run without one.
  /// @throws what model::digest() throws
  [[nodiscard]] std::uint64_t digest(std::string_view prompt);

  /// For the sleeper, and to look at.
  [[nodiscard]] lull::any_graph_cache& cache() noexcept { return cache_; }
  [[nodiscard]] const lull::any_graph_cache& cache() const noexcept { return cache_; }

 private:
  using cache_type = lull::graph_cache<std::uint64_t, lull::host_graph*>;

  [[nodiscard]] lull::host_graph* capture(std::uint64_t bucket_bytes);
  [[nodiscard]] cache_type::handle find_or_capture(std::uint64_t bucket_bytes);

  const model* model_ = nullptr;
  model::digest_slot slot_;
  cache_type cache_;
};

}  // namespace example

#endif  // EXAMPLES_STAND_IN_GRAPH_RUNNER_HPP
