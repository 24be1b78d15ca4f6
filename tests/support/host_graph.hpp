#ifndef LULL_TESTS_SUPPORT_HOST_GRAPH_HPP
#define LULL_TESTS_SUPPORT_HOST_GRAPH_HPP

#include <lull/graph_driver.hpp>

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <stdexcept>

namespace lull::test {

inline constexpr std::uint64_t page = 4096;

/// A stand-in for a captured graph whose footprint is real: memory of its own that is written to,
/// so that the resident set of the process shows it.
struct host_graph {
  std::uint64_t bytes;
  std::uint64_t value;  ///< what launching it would compute

  static host_graph* capture(std::uint64_t bytes, std::uint64_t value = 0) {
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return new (memory) host_graph{bytes, value};
  }
};

/// Destroys host graphs and keeps books; breaks no rule silently.
class host_graph_driver final : public graph_driver {
 public:
  void destroy(void* handle, std::uint64_t /*generation*/) override {
    if (graph_hold::count() != 0) ++destroyed_during_capture;
    if (on_destroy) on_destroy(handle);
    if (fail_next.exchange(false)) throw std::runtime_error("the vendor refuses");
    auto* const graph = static_cast<host_graph*>(handle);
    const std::uint64_t bytes = graph->bytes;
    if (!keep_mapped) ::munmap(graph, bytes);
    ++destroyed;
    live_bytes -= bytes;
  }
  void before_destroy() override { ++synchronizations; }
  void trim() override { ++trims; }
  std::optional<std::uint64_t> footprint(void* handle,
                                         std::optional<std::uint64_t> /*nodes*/) noexcept override {
    if (!knows_footprints) return std::nullopt;
    return static_cast<host_graph*>(handle)->bytes / estimate_divisor;
  }
  std::optional<std::uint64_t> used_bytes() noexcept override {
    if (!measures) return std::nullopt;
    return live_bytes.load();
  }

  host_graph* capture(std::uint64_t bytes, std::uint64_t value = 0) {
    auto* const graph = host_graph::capture(bytes, value);
    ++captured;
    const std::uint64_t now = live_bytes += bytes;
    std::uint64_t peak = peak_bytes.load();
    while (peak < now && !peak_bytes.compare_exchange_weak(peak, now)) {
    }
    return graph;
  }

  [[nodiscard]] std::uint64_t live() const { return captured - destroyed; }

  std::atomic<std::uint64_t> captured{0};
  std::atomic<std::uint64_t> destroyed{0};
  std::atomic<std::uint64_t> destroyed_during_capture{0};
  std::atomic<std::uint64_t> synchronizations{0};
  std::atomic<std::uint64_t> trims{0};
  std::atomic<std::uint64_t> live_bytes{0};
  std::atomic<std::uint64_t> peak_bytes{0};
  std::atomic<bool> fail_next{false};
  std::atomic<bool> keep_mapped{false};
  std::function<void(void*)> on_destroy;
  bool knows_footprints = true;
  bool measures = false;
  std::uint64_t estimate_divisor = 1;
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_HOST_GRAPH_HPP
