#ifndef LULL_GRAPH_DRIVER_HPP
#define LULL_GRAPH_DRIVER_HPP

/// @file
/// What a graph cache needs from a vendor, and the hold that keeps every cache of the process from
/// destroying graphs.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

namespace lull {

class any_graph_cache;
class device;

/// The vendor's side of captured graphs: how one is destroyed and what it costs. A cache knows
/// graphs as opaque handles only.
///
/// Operations are called under no lock, on whatever thread evicts, captures or releases; each cache
/// destroys on one thread at a time. What returns memory (destroy(), before_destroy(), trim()) is
/// never called while any thread of the process captures (see graph_hold); what it throws is logged
/// and counted, and the handle counts as gone then.
class LULL_API graph_driver {
 public:
  graph_driver() noexcept = default;
  /// Takes the generation from elsewhere, such as a device's own counter, which must outlive it.
  explicit graph_driver(const std::atomic<std::uint64_t>& generation) noexcept
      : generation_(&generation) {}
  virtual ~graph_driver();
  graph_driver(const graph_driver&) = delete;
  graph_driver& operator=(const graph_driver&) = delete;

  /// Destroys an executable graph. May return before the vendor has given its memory back.
  /// @param generation the one that it was captured under. Not older than generation() was a moment
  ///        ago; a driver whose device can be reset meanwhile compares again under its own lock.
  /// @throws error stale: it died with its generation, and nothing was called; busy: it cannot be
  ///         done now, and the cache tries again when it next has something to destroy
  virtual void destroy(void* handle, std::uint64_t generation) = 0;

  // The others need not be there.

  /// A graph was captured and is about to enter a cache. What this throws fails the capture, and
  /// the graph is destroyed.
  virtual void adopt(void* /*handle*/) {}
  /// An adopted graph died in a reset before it entered the cache.
  virtual void disown(void* /*handle*/) noexcept {}
  /// Called once before a batch of destroy(). Where the vendor destroys lazily or frees what still
  /// runs (HIP: ROCm/pytorch pull request 1455 puts a synchronization around hipGraphExecDestroy),
  /// wait for the work here.
  virtual void before_destroy() {}
  /// Returns memory that the vendor keeps for graphs that are gone.
  virtual void trim() {}
  /// An estimate of what a graph holds, in bytes; absent when it cannot be told.
  /// @param nodes how many it has, where the capture function says so
  [[nodiscard]] virtual std::optional<std::uint64_t> footprint(
      void* /*handle*/, std::optional<std::uint64_t> /*nodes*/) noexcept {
    return std::nullopt;
  }
  /// What this process holds now of the memory that graphs are made of, in bytes; absent when it
  /// cannot be told. Asked when memory is trimmed, and around captures that come without any other
  /// footprint.
  [[nodiscard]] virtual std::optional<std::uint64_t> used_bytes() noexcept { return std::nullopt; }
  /// Called when a cache begins to use the driver.
  /// @return what the cache keeps, and destroys first of all when it goes: a driver whose device
  ///         can be reset has the cache told before that happens
  [[nodiscard]] virtual std::shared_ptr<void> attach(any_graph_cache& /*cache*/) { return nullptr; }

  /// Raised when the device was reset: graphs that were captured under an older generation died
  /// with the context, and are dropped without a call.
  [[nodiscard]] std::uint64_t generation() const noexcept {
    return generation_->load(std::memory_order_acquire);
  }
  /// Says that the device was reset. Thread-safe. Does nothing to a generation from elsewhere.
  void raise_generation() noexcept { own_generation_.fetch_add(1, std::memory_order_acq_rel); }

 private:
  std::atomic<std::uint64_t> own_generation_{0};
  const std::atomic<std::uint64_t>* generation_ = &own_generation_;
};

struct device_graph_options {
  /// What a node of an executable graph holds, for graphs whose capture function says how many
  /// nodes they have and not how many bytes. Absent: the backend's own figure
  /// (device::graph_node_bytes()), if it has one. 0: no estimates.
  std::optional<std::uint64_t> bytes_per_node = {};
  /// How long a reset of the device waits for graphs in use and for captures to end before it is
  /// refused. Above 0.
  duration clear_timeout = std::chrono::seconds{10};
};

/// A driver for caches whose graphs are the executable graphs of a device (cudaGraphExec_t).
///
/// Graphs are destroyed once the work that uses them is done: CUDA frees one that still runs when
/// it has finished (cuda.h, cuGraphExecDestroy), the other vendors' modules wait for the device
/// first. Where the vendor keeps memory of graphs that are gone, trimming returns it.
///
/// A reset of the device clears the caches first, and is refused while graphs are in use or being
/// captured; one that drops what lives evicts what is not in use, and leaves the rest to die with
/// the context. What is of an older generation is dropped without a vendor call.
///
/// Estimates are corrected by what the platform says this process holds before and after a trim.
/// Creates no context by itself. Keeps the device's module loaded. Thread-safe.
/// @throws error unsupported: the device destroys no graphs (capability::graphs); invalid_argument
[[nodiscard]] LULL_API std::shared_ptr<graph_driver> make_graph_driver(
    const device& where, const device_graph_options& options = {});

/// While one exists, no cache of this process destroys a graph; what is evicted meanwhile is
/// destroyed when the last hold ends, on the thread that ends it.
///
/// Vendors fail a capture when another thread destroys a graph or synchronizes meanwhile
/// (ggml-org/llama.cpp pull request 27368). get_or_capture takes a hold by itself; take one around
/// captures that do not go through a cache.
///
/// Not to be moved between threads. Nests.
class LULL_API graph_hold {
 public:
  /// Waits for destructions under way. A thread that has a hold already never waits.
  graph_hold();
  /// @param deadline on `time`
  /// @throws error timed_out; unsupported: another copy of lull is in use in this process
  explicit graph_hold(time_point deadline, const clock& time = steady_clock());
  ~graph_hold();
  graph_hold(const graph_hold&) = delete;
  graph_hold& operator=(const graph_hold&) = delete;

  /// How many holds exist in this process.
  [[nodiscard]] static std::uint64_t count() noexcept;
};

}  // namespace lull

#endif  // LULL_GRAPH_DRIVER_HPP
