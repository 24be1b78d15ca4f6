#include <lull/error.hpp>

#include <algorithm>
#include <limits>

#include "graphs/pool.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

std::uint64_t next_core_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

/// Cores whose cache is gone while handles are out. They stay, because a handle looks at its core
/// once more after its entry was given up.
void keep_for_ever(std::shared_ptr<graph_core> core) noexcept {
  static std::mutex mutex;
  static auto& kept = *new std::vector<std::shared_ptr<graph_core>>;
  const std::lock_guard lock(mutex);
  try {
    kept.push_back(core);
  } catch (const std::bad_alloc&) {
    // Leaked instead of freed under a handle.
    new (std::nothrow) std::shared_ptr<graph_core>(std::move(core));
  }
}

}  // namespace

std::uint64_t graph_pool::new_stamp() noexcept {
  std::uint64_t newest = era.load(std::memory_order_relaxed);
  for (const auto& core : cores) newest = std::max(newest, core->readers.newest_stamp());
  era.store(newest + 1, std::memory_order_relaxed);
  for (const auto& core : cores) core->readers.set_floors(core->floor());
  return newest + 1;
}

graph_core::graph_core(std::shared_ptr<graph_driver> its_driver, graph_cache_options given,
                       std::shared_ptr<graph_pool> in)
    : driver(std::move(its_driver)),
      options(std::move(given)),
      pool(std::move(in)),
      readers(id_ = next_core_id()),
      last_sweep(options.clock->now()) {
  generation_ = &driver->generation_counter();
  era_ = &pool->era;
  swept_generation = current_generation();
  counts_uses_.store(options.frequency_filter, std::memory_order_relaxed);
}

graph_core::~graph_core() = default;

graph_pin graph_core::pin(graph_node& node) noexcept {
  graph_reader* const reader = readers.of_this_thread();
  if (reader != nullptr) {
    // It may be new.
    reader->floor.store(floor(), std::memory_order_relaxed);
    note_use(*reader, node);
    for (graph_reader::pin_place& place : reader->pins) {
      if (place.load(std::memory_order_acquire) != nullptr) continue;
      place.store(&node, std::memory_order_seq_cst);
      return {&node, &place};
    }
  } else {
    node.stamp.store(pool->new_stamp(), std::memory_order_relaxed);
    ++counted.hits;
  }
  counted_pins_.fetch_add(1, std::memory_order_relaxed);
  node.pins.fetch_add(1, std::memory_order_seq_cst);
  return {&node, nullptr};
}

bool graph_core::is_pinned(const graph_node& node) const noexcept {
  return node.pins.load(std::memory_order_seq_cst) != 0 || readers.pins(node);
}

void graph_core::reserve_for_one() {
  const std::size_t entries = main.size() + window.size() + flights.size() + 1;
  index.reserve(entries);
  main.reserve(entries);
  window.reserve(entries);
}

graph_pin graph_core::admit(std::unique_ptr<graph_node> owner) noexcept {
  graph_node& node = *owner.release();
  node.used_at = options.clock->now().time_since_epoch().count();
  node.stamp.store(pool->new_stamp(), std::memory_order_relaxed);
  node.swept_stamp = node.stamp.load(std::memory_order_relaxed);
  node.pins.store(1, std::memory_order_relaxed);
  counted_pins_.fetch_add(1, std::memory_order_relaxed);
  node.in_window = options.frequency_filter;
  add(&graph_account::live, {1, node.bytes});
  note_peak();
  if (node.in_window && !find_shortage(expected_bytes)) {
    // As long as there is room, nobody has to earn a place.
    while (window.size() != 0 && window.size() >= window_entries()) {
      promote(*window.least_recent());
    }
  }
  heap_of(node).push(node);
  index.insert(node);
  return {&node, nullptr};
}

void graph_core::note_peak() noexcept {
  const graph_tally existing = account.existing();
  counted.peak_entries = std::max(counted.peak_entries, existing.entries);
  counted.peak_bytes = std::max(counted.peak_bytes, existing.bytes);
}

void graph_core::note_miss(std::uint64_t hash) noexcept {
  ++counted.misses;
  pool->new_stamp();
  if (!options.frequency_filter) return;
  age_sketch();
  if (sketch.capacity() != 0) sketch.add(hash, 1);
}

void graph_core::age_sketch() noexcept {
  const std::size_t entries = main.size() + window.size();
  if (entries >= sketch.capacity()) {
    try {
      // Doubled, so that a cache that grows forgets seldom.
      sketch.reset(std::max<std::size_t>(entries * 2, 64));
    } catch (const std::bad_alloc&) {
      set_filter(false);
      return;
    }
  }
  const std::uint64_t samples = readers.hits() + counted.misses;
  if (samples - sampled_at < sketch.sample_size()) return;
  sampled_at = samples;
  for (const recency_heap* const heap : {&main, &window}) {
    for (std::size_t i = 0; i < heap->size(); ++i) flush_uses(heap->node(i));
  }
  sketch.halve();
}

void graph_core::set_filter(bool on) noexcept {
  options.frequency_filter = on;
  counts_uses_.store(on, std::memory_order_relaxed);
  readers.set_floors(floor());
  while (!on && window.size() != 0) promote(*window.least_recent());
}

std::uint64_t graph_core::floor() const noexcept {
  return options.frequency_filter ? std::numeric_limits<std::uint64_t>::max()
                                  : pool->era.load(std::memory_order_relaxed);
}

graph_cache_stats graph_core::stats() const {
  graph_cache_stats result = counted;
  result.name = options.name;
  result.hits += readers.hits();
  result.entries = account.live.entries;
  result.bytes = account.live.bytes;
  result.handles = readers.pin_count() + counted_pins_.load(std::memory_order_relaxed);
  result.leaving_entries = account.held.entries + account.queued.entries;
  result.leaving_bytes = account.held.bytes + account.queued.bytes;
  return result;
}

void graph_core::retire() noexcept {
  const std::shared_ptr<graph_core> self = shared_from_this();
  const std::shared_ptr<graph_pool> in = pool;
  std::unique_lock lock(in->mutex);
  remove_all(graph_eviction::cleared, true);
  retired = true;
  in->drain(lock);
  const std::uint64_t in_use = account.held.entries;
  if (in_use != 0) keep_for_ever(self);
  in->forget_retired(lock);
  lock.unlock();
  if (in_use != 0) {
    log(log_level::error,
        text("graph cache '{}' was destroyed with {} graphs in use; they go when they are "
             "released",
             options.name, in_use));
  }
}

void graph_pool::forget_retired(std::unique_lock<std::mutex>& lock) noexcept {
  std::shared_ptr<graph_core> forgotten;
  for (std::size_t i = 0; i < cores.size();) {
    if (!cores[i]->retired || cores[i]->account.existing().entries != 0) {
      ++i;
      continue;
    }
    cores[i]->next_forgotten = std::move(forgotten);
    forgotten = std::move(cores[i]);
    cores.erase(cores.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (forgotten == nullptr) return;
  lock.unlock();
  forgotten.reset();
  lock.lock();
}

}  // namespace lull::detail
