#include <algorithm>
#include <utility>

#include "graphs/list.hpp"
#include "graphs/pool.hpp"

namespace lull::detail {

void graph_core::remove(graph_node& node, graph_eviction cause) noexcept {
  index.remove(node);
  heap_of(node).remove(node);
  subtract(&graph_account::live, {1, node.bytes});
  add(&graph_account::held, {1, node.bytes});
  ++counted.evictions[static_cast<std::size_t>(cause)];
  if (options.frequency_filter) flush_uses(node);
  push(removed_nodes, node);
}

void graph_core::settle_removed() noexcept {
  if (removed_nodes == nullptr) return;
  std::uint64_t removed = 0;
  bool any_pinned = false;
  for (const graph_node* node = removed_nodes; node != nullptr; node = node->next) ++removed;
  // Said before the pins are looked at: whoever unpins later than that sees it.
  awaiting_unpin_.fetch_add(removed, std::memory_order_seq_cst);
  // Without other readers there are no pins that this thread does not see already, only some that
  // are being given back; that matters for what looks pinned.
  if (!readers.only_this_thread()) remote_fence();
  for (const graph_node* node = removed_nodes; node != nullptr; node = node->next) {
    any_pinned = any_pinned || is_pinned(*node);
  }
  if (any_pinned) remote_fence();
  while (removed_nodes != nullptr) push(awaiting_nodes, pop(removed_nodes));
  collect_unpinned();
}

void graph_core::collect_unpinned() noexcept {
  graph_node* still_awaiting = nullptr;
  while (awaiting_nodes != nullptr) {
    graph_node& node = pop(awaiting_nodes);
    if (is_pinned(node)) {
      push(still_awaiting, node);
      continue;
    }
    awaiting_unpin_.fetch_sub(1, std::memory_order_seq_cst);
    queue(node);
  }
  awaiting_nodes = still_awaiting;
}

void graph_core::queue(graph_node& node) noexcept {
  subtract(&graph_account::held, {1, node.bytes});
  if (node.generation != current_generation()) {
    drop(node);
    return;
  }
  add(&graph_account::queued, {1, node.bytes});
  push(queued_nodes, node);
}

graph_node* graph_core::take(graph_node& node) noexcept {
  remove(node, graph_eviction::updated);
  // A lookup may have pinned it at the last moment; then it is not the caller's to change.
  removed_nodes = nullptr;
  if (!readers.only_this_thread()) remote_fence();
  if (!is_pinned(node)) return &node;
  push(removed_nodes, node);
  settle_removed();
  return nullptr;
}

void graph_core::put_away(graph_node& node, bool has_graph) noexcept {
  if (has_graph) {
    queue(node);
  } else {
    subtract(&graph_account::held, {1, node.bytes});
    delete &node;
  }
}

void graph_core::drop(graph_node& node) noexcept {
  ++counted.dropped;
  delete &node;
}

template <class Predicate>
std::uint64_t graph_core::remove_where(graph_eviction cause, const Predicate& wanted) noexcept {
  std::uint64_t removed = 0;
  for (recency_heap* const heap : {&main, &window}) {
    for (std::size_t end = heap->size(); end > 0;) {
      graph_node& node = heap->node(end - 1);
      if (!wanted(node)) {
        --end;
        continue;
      }
      // What takes its place may be a parent that was not looked at yet; so look there again.
      remove(node, cause);
      ++removed;
      end = std::min(end, heap->size());
    }
  }
  settle_removed();
  return removed;
}

std::uint64_t graph_core::remove_all(graph_eviction cause, bool also_pinned) noexcept {
  return remove_where(cause, [&](graph_node& node) { return also_pinned || !is_pinned(node); });
}

std::uint64_t graph_core::drop_stale() noexcept {
  const std::uint64_t generation = current_generation();
  if (generation == swept_generation) return 0;
  swept_generation = generation;
  for (graph_node* list = std::exchange(queued_nodes, nullptr); list != nullptr;) {
    graph_node& node = pop(list);
    subtract(&graph_account::queued, {1, node.bytes});
    add(&graph_account::held, {1, node.bytes});
    queue(node);
  }
  return remove_where(graph_eviction::stale,
                      [&](graph_node& node) { return node.generation != generation; });
}

std::uint64_t graph_core::evict_idle(time_point now) noexcept {
  last_sweep = now;
  const duration::rep here = now.time_since_epoch().count();
  return remove_where(graph_eviction::idle, [&](graph_node& node) {
    const std::uint64_t stamp = node.stamp.load(std::memory_order_relaxed);
    if (stamp != node.swept_stamp || is_pinned(node)) {
      node.swept_stamp = stamp;
      node.used_at = here;
    }
    return options.limits.idle_time && here - node.used_at >= options.limits.idle_time->count();
  });
}

void graph_core::enforce_limits() noexcept {
  const auto above = [](const std::optional<std::uint64_t>& limit, std::uint64_t lasting) {
    return limit && lasting > *limit;
  };
  while (above(options.limits.entries, account.lasting().entries) &&
         evict_one(graph_eviction::entries)) {
  }
  while (above(options.limits.bytes, account.lasting().bytes) && evict_one(graph_eviction::bytes)) {
  }
}

void graph_pool::enforce_bounds() noexcept {
  const auto evict_one = [this](graph_eviction cause) {
    graph_core* const core = core_of_victim();
    return core != nullptr && core->evict_one(cause);
  };
  while (bounds.entries && account.lasting().entries > *bounds.entries &&
         evict_one(graph_eviction::entries)) {
  }
  while (bounds.bytes && account.lasting().bytes > *bounds.bytes &&
         evict_one(graph_eviction::bytes)) {
  }
}

graph_core* graph_pool::core_of_victim() noexcept {
  graph_core* found = nullptr;
  std::uint64_t oldest = 0;
  for (const auto& core : cores) {
    const auto stamp = core->victim_stamp();
    if (!stamp || (found != nullptr && *stamp >= oldest)) continue;
    found = core.get();
    oldest = *stamp;
  }
  return found;
}

graph_node* graph_core::candidate(recency_heap& heap) noexcept {
  graph_node* aside = nullptr;
  graph_node* found = nullptr;
  while (found == nullptr) {
    graph_node* const node = heap.least_recent();
    if (node == nullptr) break;
    if (!is_pinned(*node)) {
      found = node;
      break;
    }
    heap.remove(*node);
    push(aside, *node);
  }
  while (aside != nullptr) heap.push(pop(aside));
  return found;
}

graph_core::contest graph_core::hold_contest(bool again) noexcept {
  graph_node* const settled = candidate(main);
  if (window.size() == 0) return {settled};
  graph_node* const newcomer = candidate(window);
  if (newcomer == nullptr) return {settled};
  if (settled == nullptr) return {newcomer};
  // Below its share the window is left alone; but not when it has just lost an entry to the same
  // newcomer, which needs the room of several: else each of those would cost a settled entry.
  if (window.size() < window_entries() && !again) return {settled};
  // TinyLFU's admission: a newcomer takes a settled entry's place if it came more often.
  if (frequency(*newcomer) > frequency(*settled)) return {settled, newcomer};
  return {newcomer};
}

std::optional<std::uint64_t> graph_core::victim_stamp() noexcept {
  const graph_node* const node = hold_contest(false).loser;
  if (node == nullptr) return std::nullopt;
  return node->stamp.load(std::memory_order_relaxed);
}

bool graph_core::evict_one(graph_eviction cause, bool again) noexcept {
  const contest held = hold_contest(again);
  if (held.loser == nullptr) return false;
  if (held.winner != nullptr) promote(*held.winner);
  remove(*held.loser, cause);
  settle_removed();
  return true;
}

void graph_core::promote(graph_node& node) noexcept {
  window.remove(node);
  node.in_window = false;
  main.push(node);
}

std::size_t graph_core::window_entries() const noexcept {
  // One entry in 64 for newcomers; the 2017 paper's W-TinyLFU uses one in a hundred.
  constexpr std::size_t share = 64;
  return main.size() / share + 1;
}

std::uint32_t graph_core::frequency(const graph_node& node) const noexcept {
  const std::uint32_t counted_uses = node.uses.load(std::memory_order_relaxed);
  return std::min(sketch.estimate(node.hash) + std::min(counted_uses, frequency_sketch::highest),
                  frequency_sketch::highest);
}

void graph_core::flush_uses(graph_node& node) noexcept {
  const std::uint32_t uses = node.uses.exchange(0, std::memory_order_relaxed);
  if (uses != 0 && sketch.capacity() != 0) {
    sketch.add(node.hash, std::min(uses, frequency_sketch::highest));
  }
}

}  // namespace lull::detail
