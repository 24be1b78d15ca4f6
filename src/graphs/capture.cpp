#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <exception>
#include <new>

#include "graphs/destruction_gate.hpp"
#include "graphs/pool.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

/// A capture that succeeded, before it is an entry.
struct graph_core::capture_result {
  std::unique_ptr<graph_node> node;
  std::optional<std::uint64_t> given_bytes;
  std::optional<std::uint64_t> estimated_bytes;
  std::optional<std::uint64_t> measured_bytes;  ///< how much more the process held afterwards
  std::optional<error> refusal;                 ///< why the driver does not take it
  std::uint64_t generation = 0;
  duration elapsed{};
};

graph_pin graph_core::find_or_make(std::unique_lock<std::mutex>& lock, const graph_key& key,
                                   graph_maker& how, const graph_capture_options& wishes) {
  for (;;) {
    drop_stale();
    if (graph_node* const found = find(key)) return pin(*found);
    const auto flight = std::find_if(flights.begin(), flights.end(), [&key](const auto& each) {
      return each->key.hash == key.hash && key.same(each->key.key, key.key);
    });
    if (flight == flights.end()) break;
    join(lock, std::shared_ptr<graph_flight>(*flight), wishes.deadline);
  }
  note_miss(key.hash);

  const auto flight = std::make_shared<graph_flight>();
  flight->key = key;
  flight->leader = std::this_thread::get_id();
  flight->clearings = clearings;
  flights.push_back(flight);
  const landing at_the_end{*this, lock, flight};
  try {
    return lead(lock, *flight, how, wishes);
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    flight->failure = current_error(status::callback);
    throw;
  }
}

graph_core::landing::~landing() {
  if (!lock.owns_lock()) lock.lock();
  flight->done = true;
  core.flights.erase(std::find(core.flights.begin(), core.flights.end(), flight));
  core.pool->changed.notify_all();
  core.pool->drain(lock);
}

void graph_core::join(std::unique_lock<std::mutex>& lock,
                      const std::shared_ptr<graph_flight>& flight, time_point deadline) {
  if (flight->leader == std::this_thread::get_id()) {
    fail(status::invalid_argument,
         "graph cache '{}': a capture asks for the key that it is called for", options.name);
  }
  if (destruction_gate::this_thread_holds() && !flight->wanted_by_holder) {
    flight->wanted_by_holder = true;
    pool->changed.notify_all();
  }
  while (!flight->done) {
    if (options.clock->now() >= deadline) {
      fail(status::timed_out,
           "graph cache '{}': another thread was still capturing the same key "
           "when the deadline passed",
           options.name);
    }
    wait(lock, deadline);
  }
  if (flight->failure) {
    ++counted.misses;
    throw flight->failure->with_context("the capture that this call waited for failed");
  }
}

graph_pin graph_core::lead(std::unique_lock<std::mutex>& lock, graph_flight& flight,
                           graph_maker& how, const graph_capture_options& wishes) {
  reserve_for_one();
  if (wishes.bytes) reject_if_too_large(*wishes.bytes);
  graph_tally room{1, wishes.bytes.value_or(expected_bytes)};
  if (const auto bound = lowest_byte_bound()) room.bytes = std::min(room.bytes, *bound);
  make_room(lock, room.bytes, wishes.room_deadline);
  add(&graph_account::reserved, room);
  capture_result made;
  try {
    wait_for_destructions(lock, flight, wishes.deadline);
    lock.unlock();
    made = capture(how, wishes);
    lock.lock();
  } catch (...) {
    if (!lock.owns_lock()) {
      lock.lock();
      ++counted.failed_captures;
    }
    subtract(&graph_account::reserved, room);
    throw;
  }
  subtract(&graph_account::reserved, room);
  return keep(lock, flight, std::move(made));
}

graph_core::capture_result graph_core::capture(graph_maker& how,
                                               const graph_capture_options& wishes) {
  const graph_hold hold(wishes.deadline, *options.clock);
  capture_result result;
  result.generation = current_generation();
  // Asking the platform may take milliseconds: not while the footprints come without it.
  const bool measured = !wishes.bytes && measure_captures.load(std::memory_order_relaxed);
  std::optional<std::uint64_t> used_before;
  if (measured) used_before = driver->used_bytes();
  const time_point begin = options.clock->now();
  graph_product made = how.make();
  result.elapsed = options.clock->now() - begin;
  result.node = std::move(made.node);
  result.given_bytes = made.size.bytes ? made.size.bytes : wishes.bytes;
  if (!result.given_bytes) {
    result.estimated_bytes = driver->footprint(result.node->handle(), made.size.nodes);
    measure_captures.store(!result.estimated_bytes, std::memory_order_relaxed);
  }
  const auto used_after = used_before ? driver->used_bytes() : std::nullopt;
  // With another capture under way the difference would be the sum of both.
  if (used_after && *used_after > *used_before && graph_hold::count() == 1) {
    result.measured_bytes = *used_after - *used_before;
  }
  try {
    driver->adopt(result.node->handle());
    // Should a reset have come in between, the graph died with it and is nobody's.
    if (result.generation != current_generation()) driver->disown(result.node->handle());
  } catch (...) {
    result.refusal = current_error(status::callback);
  }
  return result;
}

graph_pin graph_core::keep(std::unique_lock<std::mutex>& lock, const graph_flight& flight,
                           capture_result made) {
  ++counted.captures;
  counted.capturing += made.elapsed;
  graph_node& node = *made.node;
  node.hash = flight.key.hash;
  node.generation = made.generation;
  if (made.generation != current_generation()) {
    ++counted.dropped;
    fail(status::stale,
         "graph cache '{}': the device was reset during a capture; "
         "capture again",
         options.name);
  }
  node.bytes = footprint_of(made, node);
  expected_bytes = std::max(node.bytes, expected_bytes - expected_bytes / 8);
  try {
    if (made.refusal) throw error(*made.refusal);
    reject_if_too_large(node.bytes);
  } catch (...) {
    add(&graph_account::held, {1, node.bytes});
    queue(*made.node.release());
    throw;
  }
  const bool fits = evict_for(node.bytes);
  const graph_pin pinned = admit(std::move(made.node));
  // What finds no room beside what is in use stays as long as it is in use itself.
  if (!fits) remove(node, graph_eviction::bytes);
  if (fits && flight.clearings != clearings) remove(node, graph_eviction::cleared);
  settle_removed();
  pool->drain(lock);
  return pinned;
}

std::uint64_t graph_core::footprint_of(const capture_result& made, graph_node& node) noexcept {
  if (made.given_bytes) return *made.given_bytes;
  if (made.estimated_bytes) {
    node.estimated = true;
    return static_cast<std::uint64_t>(static_cast<double>(*made.estimated_bytes) *
                                      counted.footprint_correction);
  }
  if (made.measured_bytes) return *made.measured_bytes;
  ++counted.unknown_footprints;
  return 0;
}

void graph_core::make_room(std::unique_lock<std::mutex>& lock, std::uint64_t bytes,
                           time_point deadline) {
  if (evict_for(bytes)) return;
  // While somebody waits for room, whoever unpins must say so; that is what the counter is for.
  const std::vector<std::shared_ptr<graph_core>> watched = pool->cores;
  for (const auto& core : watched) core->awaiting_unpin_.fetch_add(1, std::memory_order_seq_cst);
  remote_fence();
  while (!evict_for(bytes) && options.clock->now() < deadline) wait(lock, deadline);
  for (const auto& core : watched) core->awaiting_unpin_.fetch_sub(1, std::memory_order_seq_cst);
  if (evict_for(bytes)) return;
  fail(status::busy,
       "graph cache '{}': there is no room for a graph of {}: {} entries with {} "
       "are kept, and all that could go are in use",
       options.name, format_bytes(bytes), account.lasting().entries,
       format_bytes(account.lasting().bytes));
}

void graph_core::wait_for_destructions(std::unique_lock<std::mutex>& lock,
                                       const graph_flight& flight, time_point deadline) {
  while (is_above_bounds()) {
    pool->drain(lock);
    if (!is_above_bounds()) return;
    // What waits for this thread must not be waited for: rather be above the bounds for a while.
    if (destruction_gate::this_thread_holds() || flight.wanted_by_holder) return;
    if (options.clock->now() >= deadline) {
      fail(status::timed_out,
           "graph cache '{}': captures elsewhere still held off the destruction "
           "of what has to make room when the deadline passed",
           options.name);
    }
    wait(lock, deadline);
  }
}

std::optional<graph_core::shortage> graph_core::find_shortage(std::uint64_t bytes) const noexcept {
  const auto lacks = [](const std::optional<std::uint64_t>& bound, std::uint64_t lasting,
                        std::uint64_t wanted) { return bound && lasting + wanted > *bound; };
  const graph_tally own = account.lasting();
  const graph_tally all = pool->account.lasting();
  if (lacks(options.limits.entries, own.entries, 1))
    return shortage{graph_eviction::entries, false};
  if (lacks(options.limits.bytes, own.bytes, bytes)) return shortage{graph_eviction::bytes, false};
  if (lacks(pool->bounds.entries, all.entries, 1)) return shortage{graph_eviction::entries, true};
  if (lacks(pool->bounds.bytes, all.bytes, bytes)) return shortage{graph_eviction::bytes, true};
  return std::nullopt;
}

bool graph_core::evict_for(std::uint64_t bytes) noexcept {
  const graph_core* last = nullptr;
  while (const auto lack = find_shortage(bytes)) {
    graph_core* const from = lack->of_pool ? pool->core_of_victim() : this;
    if (from == nullptr || !from->evict_one(lack->cause, from == last)) return false;
    last = from;
  }
  return true;
}

bool graph_core::is_above_bounds() const noexcept {
  const auto above = [](const graph_account& of, const std::optional<std::uint64_t>& entries,
                        const std::optional<std::uint64_t>& bytes) {
    const graph_tally now = of.existing();
    return (entries && now.entries + of.reserved.entries > *entries) ||
           (bytes && now.bytes + of.reserved.bytes > *bytes);
  };
  // Only what is queued can be waited for.
  return pool->account.queued.entries != 0 &&
         (above(account, options.limits.entries, options.limits.bytes) ||
          above(pool->account, pool->bounds.entries, pool->bounds.bytes));
}

std::optional<std::uint64_t> graph_core::lowest_byte_bound() const noexcept {
  if (!options.limits.bytes) return pool->bounds.bytes;
  return std::min(*options.limits.bytes, pool->bounds.bytes.value_or(*options.limits.bytes));
}

void graph_core::reject_if_too_large(std::uint64_t bytes) {
  const auto bound = lowest_byte_bound();
  if (!bound || bytes <= *bound) return;
  ++counted.rejected;
  fail(status::out_of_device_memory,
       "graph cache '{}': a graph of {} can never fit, the bound is {}; raise it "
       "or run this shape without a graph",
       options.name, format_bytes(bytes), format_bytes(*bound));
}

void graph_core::wait_until_cleared(std::unique_lock<std::mutex>& lock, time_point deadline) {
  const auto is_cleared = [this] {
    return account.existing().entries == account.live.entries &&
           std::none_of(flights.begin(), flights.end(),
                        [this](const auto& flight) { return flight->clearings != clearings; });
  };
  pool->drain(lock);
  while (!is_cleared()) {
    const bool holds = destruction_gate::this_thread_holds();
    if (holds || options.clock->now() >= deadline) {
      throw error(holds ? status::busy : status::timed_out,
                  text("graph cache '{}' cannot be cleared{}: {} graphs are in use, {} wait "
                       "for captures to end, {} are being captured",
                       options.name, holds ? " inside a capture" : " in time", account.held.entries,
                       account.queued.entries, flights.size()));
    }
    wait(lock, deadline);
  }
}

}  // namespace lull::detail
