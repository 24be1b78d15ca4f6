#include <lull/graph_cache.hpp>

#include <chrono>
#include <utility>

#include "capi/graph_handles.hpp"
#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

using lull::capi::checked_milliseconds;
using lull::capi::deadline_after;
using lull::capi::figure_of;
using lull::capi::footprint_of;
using lull::capi::guard;
using lull::capi::nothing;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::typed_graph_cache;

namespace lull::detail {

/// A pin that C holds is a C++ handle taken apart and put together again.
struct graph_handle_access {
  static lull_graph_pin let_go(typed_graph_cache::handle&& from) noexcept {
    if (!from) return {};
    void* const graph = *from;
    const graph_pin pin = std::exchange(from.pin_, {});
    return {graph, {from.core_, pin.node, pin.place}};
  }

  static typed_graph_cache::handle adopt(const lull_graph_pin& pin) noexcept {
    return {*static_cast<graph_core_base*>(pin.opaque[0]),
            {static_cast<graph_node*>(pin.opaque[1]),
             static_cast<graph_reader::pin_place*>(pin.opaque[2])}};
  }
};

}  // namespace lull::detail

using lull::detail::graph_handle_access;
using lull::detail::text;

namespace {

constexpr lull_graph_capture_options default_capture_options{sizeof(lull_graph_capture_options),
                                                             LULL_UNKNOWN, nothing, 0};

lull::graph_capture_options convert(const lull_graph_capture_options* options) {
  const auto given = read_versioned(options, default_capture_options, "options");
  lull::graph_capture_options converted;
  converted.bytes = footprint_of(given.bytes);
  converted.deadline = deadline_after(given.timeout_ms);
  if (given.room_timeout_ms != 0) converted.room_deadline = deadline_after(given.room_timeout_ms);
  return converted;
}

/// Unlike other callbacks' failures this one is the caller's own answer to itself, so it stays what
/// it is.
[[noreturn]] void fail_capture(const lull_status& code) {
  const std::int32_t number = lull::detail::raw(code);
  const bool known = number > LULL_OK && number <= LULL_ERROR_INTERNAL;
  throw lull::error(known ? static_cast<lull::status>(number) : lull::status::callback,
                    text("the capture callback returned {}",
                         known ? lull_status_name(code) : std::to_string(number)));
}

lull::captured_graph<void*> capture_by(lull_capture_fn capture, void* user) {
  lull_captured_graph made{};
  made.struct_size = sizeof made;
  made.bytes = LULL_UNKNOWN;
  made.nodes = LULL_UNKNOWN;
  const lull_status code = capture(user, &made);
  if (lull::detail::raw(code) != LULL_OK) fail_capture(code);
  if (made.graph == nullptr) {
    throw lull::error(lull::status::callback,
                      "the capture callback returned LULL_OK without a graph");
  }
  return {made.graph, footprint_of(made.bytes), figure_of(made.nodes)};
}

}  // namespace

lull_status lull_graph_cache_create(const lull_graph_cache_options* options,
                                    lull_graph_cache** cache) {
  return guard([&] {
    auto& result = required(cache, "cache");
    lull_graph_cache_options defaults{};
    lull_graph_cache_options_init(&defaults);
    const auto given = read_versioned(&required(options, "options"), defaults, "options");
    const auto driver = lull::capi::make_graph_driver(given);
    result = new lull_graph_cache{
        driver, typed_graph_cache(driver, lull::capi::make_graph_cache_options(given))};
  });
}

void lull_graph_cache_destroy(lull_graph_cache* cache) {
  delete cache;
}

lull_status lull_graph_cache_find(lull_graph_cache* cache, lull_graph_key key,
                                  lull_graph_pin* pin) {
  return guard([&] {
    auto& result = required(pin, "pin");
    result = graph_handle_access::let_go(required(cache, "cache").value.find(key));
  });
}

void lull_graph_pin_release(lull_graph_pin* pin) {
  if (pin == nullptr || pin->graph == nullptr) return;
  graph_handle_access::adopt(std::exchange(*pin, {})).release();
}

void lull_graph_capture_options_init(lull_graph_capture_options* options) {
  if (options != nullptr) *options = default_capture_options;
}

lull_status lull_graph_cache_get_or_capture(lull_graph_cache* cache, lull_graph_key key,
                                            lull_capture_fn capture, void* user,
                                            const lull_graph_capture_options* options,
                                            lull_graph_pin* pin) {
  return guard([&] {
    auto& result = required(pin, "pin");
    required(capture, "capture");
    result = graph_handle_access::let_go(
        required(cache, "cache")
            .value.get_or_capture(
                key, [&] { return capture_by(capture, user); }, convert(options)));
  });
}

lull_status lull_device_graph_node_count(const lull_device* device, void* graph, uint64_t* nodes) {
  return guard([&] {
    auto& result = required(nodes, "nodes");
    required(static_cast<char*>(graph), "graph");
    result = required(device, "device").value.graph_node_count(graph);
  });
}

lull_status lull_graph_cache_take_nearest(lull_graph_cache* cache, lull_graph_distance_fn distance,
                                          void* user, lull_graph_taken* taken) {
  return guard([&] {
    auto& result = required(taken, "taken");
    required(distance, "distance");
    auto& from = required(cache, "cache").value;
    // First, because nothing may fail once an entry is out.
    auto keeper = std::make_unique<std::optional<typed_graph_cache::taken>>();
    auto found = from.find_nearest([&](const lull_graph_key& key) -> std::optional<std::uint64_t> {
      static_assert(LULL_UNKNOWN == UINT64_MAX, "what distances call impossible");
      return figure_of(distance(user, key));
    });
    result = {};
    if (!found) return;
    result = {found->key(), found->graph(), keeper.get()};
    keeper.release()->emplace(std::move(*found));
  });
}

namespace {

/// Empties the struct.
std::unique_ptr<std::optional<typed_graph_cache::taken>> adopt(lull_graph_taken& taken) noexcept {
  auto* const kept = std::exchange(taken, {}).opaque;
  return std::unique_ptr<std::optional<typed_graph_cache::taken>>(
      static_cast<std::optional<typed_graph_cache::taken>*>(kept));
}

}  // namespace

void* lull_graph_taken_claim(lull_graph_taken* taken) {
  if (taken == nullptr || taken->graph == nullptr) return nullptr;
  return (*adopt(*taken))->claim();
}

void lull_graph_taken_release(lull_graph_taken* taken) {
  if (taken == nullptr || taken->graph == nullptr) return;
  adopt(*taken).reset();
}

lull_status lull_graph_cache_erase(lull_graph_cache* cache, lull_graph_key key, int32_t* erased) {
  return guard([&] {
    const bool was_there = required(cache, "cache").value.erase(key);
    if (erased != nullptr) *erased = was_there ? 1 : 0;
  });
}

lull_status lull_graph_cache_clear(lull_graph_cache* cache, int64_t timeout_ms) {
  return guard([&] { required(cache, "cache").value.clear(deadline_after(timeout_ms)); });
}

lull_status lull_graph_cache_trim(lull_graph_cache* cache, uint64_t* evicted) {
  return guard([&] {
    const std::uint64_t count = required(cache, "cache").value.trim();
    if (evicted != nullptr) *evicted = count;
  });
}

lull_status lull_graph_cache_sweep(lull_graph_cache* cache, uint64_t* evicted) {
  return guard([&] {
    const std::uint64_t count = required(cache, "cache").value.sweep(lull::steady_clock().now());
    if (evicted != nullptr) *evicted = count;
  });
}

lull_status lull_graph_cache_next_deadline(const lull_graph_cache* cache, int64_t* in_ms) {
  return guard([&] {
    auto& result = required(in_ms, "in_ms");
    result = lull::capi::milliseconds_until(required(cache, "cache").value.next_deadline());
  });
}

lull_status lull_graph_cache_device_was_reset(lull_graph_cache* cache, uint64_t* dropped) {
  return guard([&] {
    lull_graph_cache& of = required(cache, "cache");
    of.driver->raise_generation();
    const std::uint64_t count = of.value.reset_generation();
    if (dropped != nullptr) *dropped = count;
  });
}

lull_status lull_graph_hold_begin(int64_t timeout_ms, lull_graph_hold** hold) {
  return guard([&] {
    auto& result = required(hold, "hold");
    result = new lull_graph_hold{lull::graph_hold(deadline_after(timeout_ms))};
  });
}

void lull_graph_hold_end(lull_graph_hold* hold) {
  delete hold;
}

uint64_t lull_graph_hold_count(void) {
  return lull::graph_hold::count();
}

lull_status lull_sleeper_manage_graphs(lull_sleeper* sleeper, lull_graph_cache* cache,
                                       int64_t clear_timeout_ms) {
  return guard([&] {
    auto& by = required(sleeper, "sleeper").value;
    by.manage(required(cache, "cache").value,
              checked_milliseconds(clear_timeout_ms, 0, "clear_timeout_ms"));
  });
}
