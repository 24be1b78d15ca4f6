#include <lull/device.hpp>
#include <lull/error.hpp>
#include <lull/graph_cache.hpp>
#include <lull/reset.hpp>

#include "core/device_access.hpp"
#include "vocabulary/text.hpp"

namespace lull {

graph_driver::~graph_driver() = default;

namespace {

class device_graph_driver final : public graph_driver {
 public:
  device_graph_driver(const device& where, const device_graph_options& options)
      : graph_driver(detail::device_access::state(where)->generation->count),
        device_(where),
        bytes_per_node_(options.bytes_per_node.value_or(where.graph_node_bytes().value_or(0))),
        clear_timeout_(options.clear_timeout) {}

  void destroy(void* handle, std::uint64_t of_generation) override {
    device_.graph_destroy(handle, of_generation);
  }
  void adopt(void* handle) override { device_.graph_adopt(handle); }
  void disown(void* handle) noexcept override { device_.graph_disown(handle); }
  void trim() override {
    if (device_.supports(capability::graph_trim)) device_.graph_trim();
  }
  [[nodiscard]] std::optional<std::uint64_t> footprint(
      void* /*handle*/, std::optional<std::uint64_t> nodes) noexcept override {
    if (!nodes || bytes_per_node_ == 0) return std::nullopt;
    return *nodes * bytes_per_node_;
  }
  [[nodiscard]] std::optional<std::uint64_t> used_bytes() noexcept override {
    try {
      const memory_info seen = device_.memory();
      // The books of the host backend know what it handed out, and graphs are made by others.
      if (seen.source == memory_source::accounting) return std::nullopt;
      return seen.used_by_process_bytes;
    } catch (...) {
      return std::nullopt;  // a platform that does not answer must not fail an eviction
    }
  }

  [[nodiscard]] std::shared_ptr<void> attach(any_graph_cache& cache) override {
    const auto before = [&cache, this](const reset_event& event) {
      if (event.dropping) {
        cache.trim();
      } else {
        cache.clear_within(clear_timeout_);
      }
    };
    const auto check = [&cache](const reset_event& event) {
      if (event.dropping || cache.holds_nothing()) return;
      detail::fail(status::busy, "{}: graphs were captured again meanwhile", event.device.name());
    };
    const auto after = [&cache](const reset_event& event) {
      if (event.was_reset) cache.reset_generation();
    };
    return std::make_shared<reset_hook>(device_, "graph cache", before, after, check);
  }

 private:
  const device device_;
  const std::uint64_t bytes_per_node_;
  const duration clear_timeout_;
};

}  // namespace

std::shared_ptr<graph_driver> make_graph_driver(const device& where,
                                                const device_graph_options& options) {
  where.require(capability::graphs, "make_graph_driver");
  if (options.clear_timeout <= duration::zero()) {
    throw error(status::invalid_argument, "make_graph_driver: clear_timeout must be above 0");
  }
  return std::make_shared<device_graph_driver>(where, options);
}

}  // namespace lull
