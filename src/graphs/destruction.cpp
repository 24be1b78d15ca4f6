#include <lull/error.hpp>

#include <algorithm>
#include <exception>

#include "graphs/destruction_gate.hpp"
#include "graphs/list.hpp"
#include "graphs/pool.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

/// What is destroyed at once, and what came of it. Belongs to the thread that destroys.
struct graph_core::destruction_batch {
  graph_node* nodes = nullptr;
  graph_node* postponed = nullptr;
  bool trim = false;
  std::uint64_t destroyed = 0;
  std::uint64_t dropped = 0;
  std::uint64_t failed = 0;
  graph_tally gone;
  bool all_estimated = true;
  std::optional<std::uint64_t> returned_bytes;
  duration elapsed{};
};

namespace {

/// Calls into the driver; what it throws is logged, but for what is to be expected.
/// @return ok, stale, busy, or another status of failure
template <class Call>
status attempt(const graph_core& core, std::string_view what, Call&& call) noexcept {
  try {
    call();
    return status::ok;
  } catch (...) {
    const error failure = current_error(status::callback);
    if (failure.code() == status::stale || failure.code() == status::busy) return failure.code();
    core.log(log_level::error,
             text("graph cache '{}': {} failed: {}", core.options.name, what, failure.what()));
  }
  return status::callback;
}

}  // namespace

bool graph_pool::has_work() const noexcept {
  return std::any_of(cores.begin(), cores.end(), [](const auto& core) { return core->has_work(); });
}

void graph_pool::drain(std::unique_lock<std::mutex>& lock) noexcept {
  destruction_gate& gate = destruction_gate::of_process();
  for (const auto& core : cores) core->queue_postponed();
  while (!draining && has_work()) {
    if (!gate.try_begin_destroying()) {
      if (gate.leave(shared_from_this())) return;
      continue;
    }
    draining = true;
    for (std::size_t i = 0; i < cores.size(); ++i) {
      const std::shared_ptr<graph_core> core = cores[i];
      if (core->has_work()) core->destroy_queued(lock);
    }
    draining = false;
    gate.end_destroying();
    changed.notify_all();
    forget_retired(lock);
  }
}

void graph_core::queue_postponed() noexcept {
  while (postponed_nodes != nullptr) push(queued_nodes, pop(postponed_nodes));
}

void graph_core::destroy_queued(std::unique_lock<std::mutex>& lock) noexcept {
  destruction_batch batch;
  batch.nodes = std::exchange(queued_nodes, nullptr);
  batch.trim = std::exchange(trim_wanted, false);
  const std::uint64_t untrimmed_before = untrimmed_bytes;
  for (const graph_node* node = batch.nodes; node != nullptr; node = node->next) {
    untrimmed_bytes += node->bytes;
  }
  batch.trim = batch.trim || untrimmed_bytes >= options.trim_after_bytes;
  if (batch.trim) untrimmed_bytes = 0;

  lock.unlock();
  run(batch);
  lock.lock();

  while (batch.postponed != nullptr) push(postponed_nodes, pop(batch.postponed));
  subtract(&graph_account::queued, batch.gone);
  counted.destroyed += batch.destroyed;
  counted.dropped += batch.dropped;
  counted.failed_destructions += batch.failed;
  counted.returned_bytes += batch.gone.bytes;
  counted.destroying += batch.elapsed;
  // Memory that earlier batches left in the vendor's pools would be taken for this one's.
  if (untrimmed_before == 0) learn(batch);
}

void graph_core::run(destruction_batch& batch) noexcept {
  const time_point begin = options.clock->now();
  // Before the trim nothing need have come back, so there is nothing to measure either.
  const auto used_before = batch.trim ? driver->used_bytes() : std::nullopt;
  if (batch.nodes != nullptr) attempt(*this, "synchronizing", [&] { driver->before_destroy(); });
  while (batch.nodes != nullptr) {
    std::unique_ptr<graph_node> node(&pop(batch.nodes));
    const status came_to = destroy(*node);
    if (came_to == status::busy) {
      push(batch.postponed, *node.release());
      continue;
    }
    batch.gone += {1, node->bytes};
    batch.all_estimated = batch.all_estimated && node->estimated;
    switch (came_to) {
      case status::ok: ++batch.destroyed; break;
      case status::stale: ++batch.dropped; break;
      default: ++batch.failed;
    }
  }
  if (batch.trim) attempt(*this, "trimming", [&] { driver->trim(); });
  const auto used_after = used_before ? driver->used_bytes() : std::nullopt;
  if (used_after) {
    batch.returned_bytes = *used_before > *used_after ? *used_before - *used_after : 0;
  }
  batch.elapsed = options.clock->now() - begin;
}

status graph_core::destroy(graph_node& node) noexcept {
  if (node.generation != current_generation()) return status::stale;
  return attempt(*this, "destroying", [&] { driver->destroy(node.handle(), node.generation); });
}

void graph_core::learn(const destruction_batch& batch) noexcept {
  if (!batch.returned_bytes) return;
  counted.measured_returned_bytes =
      counted.measured_returned_bytes.value_or(0) + *batch.returned_bytes;
  if (!batch.all_estimated || batch.gone.bytes == 0 || batch.dropped != 0) return;
  // Other threads allocate meanwhile, so one batch says little: it moves the factor by an eighth of
  // the way, within bounds that no honest estimate is outside of.
  constexpr double weight = 0.125;
  constexpr double furthest = 8;
  const double ratio = static_cast<double>(*batch.returned_bytes) /
                       static_cast<double>(batch.gone.bytes) * counted.footprint_correction;
  const double sample = std::clamp(ratio, 1 / furthest, furthest);
  counted.footprint_correction += (sample - counted.footprint_correction) * weight;
}

void graph_core_base::destroy_unpinned() noexcept {
  graph_core& core = static_cast<graph_core&>(*this);
  const std::shared_ptr<graph_pool> pool = core.pool;
  std::unique_lock lock(pool->mutex);
  core.collect_unpinned();
  pool->changed.notify_all();
  pool->drain(lock);
}

}  // namespace lull::detail
