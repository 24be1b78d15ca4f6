#include <lull/error.hpp>
#include <lull/graph_driver.hpp>

#include <utility>

namespace lull {

graph_driver::graph_driver() noexcept = default;
graph_driver::graph_driver(const std::atomic<std::uint64_t>& generation) noexcept
    : generation_(&generation) {}
graph_driver::~graph_driver() = default;

std::shared_ptr<void> graph_driver::attach(any_graph_cache& /*cache*/) {
  return nullptr;
}

std::optional<std::uint64_t> graph_driver::footprint(
    void* /*handle*/, std::optional<std::uint64_t> /*nodes*/) noexcept {
  return std::nullopt;
}

std::optional<std::uint64_t> graph_driver::used_bytes() noexcept {
  return std::nullopt;
}

function_graph_driver::function_graph_driver(graph_driver_functions functions)
    : functions_(std::move(functions)) {
  if (!functions_.destroy) {
    throw error(status::invalid_argument, "a graph driver needs a function that destroys a graph");
  }
}

void function_graph_driver::destroy(void* handle, std::uint64_t /*generation*/) {
  functions_.destroy(handle);
}

void function_graph_driver::before_destroy() {
  if (functions_.before_destroy) functions_.before_destroy();
}

void function_graph_driver::trim() {
  if (functions_.trim) functions_.trim();
}

std::optional<std::uint64_t> function_graph_driver::footprint(
    void* handle, std::optional<std::uint64_t> nodes) noexcept {
  return functions_.footprint ? functions_.footprint(handle, nodes) : std::nullopt;
}

std::optional<std::uint64_t> function_graph_driver::used_bytes() noexcept {
  return functions_.used_bytes ? functions_.used_bytes() : std::nullopt;
}

}  // namespace lull
