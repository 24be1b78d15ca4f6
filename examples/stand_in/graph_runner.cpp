#include "stand_in/graph_runner.hpp"

#include <algorithm>
#include <bit>
#include <span>
#include <utility>

namespace example {
namespace {

constexpr std::uint64_t least_bucket_bytes = 16;
constexpr std::uint64_t most_bucket_bytes = 4096;
// Activations grow with the prompt; these make the smallest and the largest graph 1 and 16 MiB.
constexpr std::uint64_t workspace_per_prompt_byte = 4096;
constexpr std::uint64_t least_workspace_bytes = std::uint64_t{1} << 20;

lull::device host_of(const lull::device& weights_device) {
  if (weights_device.type() == lull::device_type::host) return weights_device;
  return lull::registry::shared().find("HOST");
}

}  // namespace

std::uint64_t bucket_for(std::uint64_t prompt_bytes) noexcept {
  return std::bit_ceil(std::clamp(prompt_bytes, least_bucket_bytes, most_bucket_bytes));
}

std::uint64_t workspace_for(std::uint64_t bucket_bytes) noexcept {
  return std::max(bucket_bytes * workspace_per_prompt_byte, least_workspace_bytes);
}

graph_runner::graph_runner(const lull::device& weights_device, const lull::graph_limits& limits,
                           lull::log_sink log)
    : cache_(lull::make_graph_driver(host_of(weights_device)),
             {.limits = limits, .log = std::move(log)}) {}

std::uint64_t graph_runner::digest(std::string_view prompt) {
  // Given back at the end of the call, and so before the lease is: a sleep finds it free.
  const cache_type::handle graph = find_or_capture(bucket_for(prompt.size()));
  if (!graph) return model_->digest(prompt);
  slot_.prompt = prompt;
  (*graph)->launch();
  return slot_.result;
}

/// Nothing when the bounds have no room for it.
graph_runner::cache_type::handle graph_runner::find_or_capture(std::uint64_t bucket_bytes) {
  try {
    // The footprint is known beforehand, so room is made for it and not for more.
    return cache_.get_or_capture(bucket_bytes, [&] { return capture(bucket_bytes); },
                                 {.bytes = workspace_for(bucket_bytes)});
  } catch (const lull::error& failure) {
    if (failure.code() == lull::status::out_of_device_memory) return {};
    throw;
  }
}

/// Owned by the cache, whose driver destroys it.
lull::host_graph* graph_runner::capture(std::uint64_t bucket_bytes) {
  lull::host_graph_builder recording;
  const std::uint64_t bytes = workspace_for(bucket_bytes);
  const std::span workspace(recording.workspace(bytes), bytes);
  model_->record_digest(recording, slot_, workspace);
  return recording.instantiate().release();
}

}  // namespace example
