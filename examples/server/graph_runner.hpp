#ifndef EXAMPLES_SERVER_GRAPH_RUNNER_HPP
#define EXAMPLES_SERVER_GRAPH_RUNNER_HPP

#include <lull/lull.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "server/model.hpp"

namespace example {

/// What a captured graph was captured for. Prompts of similar length share one, as servers pad them to
/// powers of two. The slot is part of it because a graph has one workspace, which two completions must
/// not use at a time, and because it reads its input at the slot's address.
struct graph_key {
  std::uint64_t bucket_bytes = 0;
  int slot = 0;

  friend bool operator==(const graph_key&, const graph_key&) = default;
};

/// The bucket of a prompt: the power of two that it fits in, from 16 bytes to 4 KiB. What is longer
/// shares the largest.
std::uint64_t bucket_for(std::uint64_t prompt_bytes) noexcept;

/// What a graph of a bucket holds: 1 MiB to 16 MiB.
std::uint64_t workspace_for(std::uint64_t bucket_bytes) noexcept;

}  // namespace example

template <>
struct std::hash<example::graph_key> {
  std::size_t operator()(const example::graph_key& key) const noexcept {
    // Slots are few: the key is one number.
    return std::hash<std::uint64_t>{}(key.bucket_bytes << 16U |
                                      static_cast<std::uint64_t>(key.slot));
  }
};

namespace example {

/// Runs the model through captured graphs and keeps those within bounds.
///
/// The graphs are stand-ins of the host whatever device holds the weights; with a vendor's, what
/// changes is the type, the capture and the driver.
class graph_runner {
 public:
  /// @param what must outlive it
  /// @param weights_device where the model is
  /// @param slots how many completions run at once
  graph_runner(const model& what, const lull::device& weights_device, int slots,
               const lull::graph_limits& limits, lull::log_sink log);

  /// What model::digest() gives, by launching the graph of this slot and this length of prompt. It is
  /// captured first if it is not there; where the bounds have no room for it, the model is run without
  /// one. Thread-safe for different slots.
  /// @param slot below `slots`; one caller at a time
  /// @throws lull::error timed_out; and what model::digest() throws
  [[nodiscard]] std::uint64_t digest(std::string_view prompt, int slot, lull::time_point deadline);

  /// For the sleeper, and to look at.
  [[nodiscard]] lull::any_graph_cache& cache() noexcept { return cache_; }
  [[nodiscard]] const lull::any_graph_cache& cache() const noexcept { return cache_; }

 private:
  using cache_type = lull::graph_cache<graph_key, lull::host_graph*>;

  [[nodiscard]] lull::host_graph* capture(const graph_key& key);
  [[nodiscard]] cache_type::handle find_or_capture(const graph_key& key, lull::time_point deadline);

  const model& model_;
  std::vector<model::digest_slot> slots_;  ///< never grows: graphs hold addresses in it
  cache_type cache_;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_GRAPH_RUNNER_HPP
