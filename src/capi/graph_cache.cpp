#include <lull/graph_cache.h>
#include <lull/graph_cache.hpp>

#include "capi/device.hpp"
#include "capi/owned_user.hpp"
#include "capi/sleeper.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

namespace lull::capi {

struct c_key_hash {
  /// The factor is a prime of xxHash64 (PRIME64_2), and not the cache's: so no pair of halves
  /// undoes the cache's own mixing.
  std::size_t operator()(const lull_graph_key& key) const noexcept {
    return key.low ^ (key.high * 0xC2B2AE3D27D4EB4FU);
  }
};
struct c_key_equal {
  bool operator()(const lull_graph_key& a, const lull_graph_key& b) const noexcept {
    return a.low == b.low && a.high == b.high;
  }
};
using c_graph_cache = lull::graph_cache<lull_graph_key, void*, c_key_hash, c_key_equal>;

}  // namespace lull::capi

namespace {

using lull::graph_eviction;
using lull::status;
using lull::capi::c_graph_cache;
using lull::capi::checked_duration;
using lull::capi::deadline_in;
using lull::capi::guard;
using lull::capi::owned_user;
using lull::capi::read_versioned;
using lull::capi::required;

std::optional<std::uint64_t> optional_of(std::uint64_t given) noexcept {
  static_assert(LULL_UNKNOWN == LULL_NO_LIMIT, "what stands for an absent value");
  return given == LULL_UNKNOWN ? std::nullopt : std::optional(given);
}

/// The driver of a C program.
class c_driver final : public lull::graph_driver {
 public:
  c_driver(const lull_graph_driver& from, owned_user&& user) : from_(from), user_(std::move(user)) {
    required(from.destroy, "options->driver->destroy");
  }

  void destroy(void* graph, std::uint64_t /*generation*/) override {
    const lull_status code = from_.destroy(from_.user, graph);
    if (code == LULL_ERROR_BUSY) {
      throw lull::error(status::busy, "destroy returned LULL_ERROR_BUSY");
    }
    lull::capi::expect_callback_ok(code, "destroy");
  }
  void before_destroy() override { call(from_.before_destroy, "before_destroy"); }
  void trim() override { call(from_.trim, "trim"); }
  std::optional<std::uint64_t> footprint(void* graph,
                                         std::optional<std::uint64_t> nodes) noexcept override {
    return ask(from_.footprint, graph, nodes.value_or(LULL_UNKNOWN));
  }
  std::optional<std::uint64_t> used_bytes() noexcept override { return ask(from_.used_bytes); }

 private:
  void call(lull_status (*what)(void*), const char* name) const {
    if (what != nullptr) lull::capi::expect_callback_ok(what(from_.user), name);
  }
  template <class... Arguments>
  std::optional<std::uint64_t> ask(std::uint64_t (*what)(void*, Arguments...),
                                   Arguments... arguments) const noexcept {
    try {
      return what == nullptr ? std::nullopt : optional_of(what(from_.user, arguments...));
    } catch (...) {
      return std::nullopt;  // a C++ program's callback, which must not throw
    }
  }

  const lull_graph_driver from_;
  const owned_user user_;
};

std::shared_ptr<lull::graph_driver> make_driver(const lull_graph_cache_options& given,
                                                const lull_graph_driver& driver,
                                                owned_user&& user) {
  if ((given.driver == nullptr) == (given.device == nullptr)) {
    throw lull::error(status::invalid_argument,
                      given.driver == nullptr
                          ? "options: a graph cache needs a driver or a device; both are null"
                          : "options: a graph cache takes a driver or a device, not both");
  }
  if (given.driver != nullptr) {
    return std::make_shared<c_driver>(driver, std::move(user));
  }
  return make_graph_driver(given.device->value, {optional_of(given.bytes_per_node),
                                                 checked_duration(given.clear_timeout_ns, 1,
                                                                  "options->clear_timeout_ns")});
}

lull::graph_limits convert(const lull_graph_limits& given) {
  lull::graph_limits limits{optional_of(given.entries), optional_of(given.bytes)};
  if (given.idle_time_ns != LULL_FOREVER) {
    limits.idle_time = checked_duration(given.idle_time_ns, 1, "limits->idle_time_ns");
  }
  return limits;
}

lull_graph_limits convert(const lull::graph_limits& set) {
  return {set.entries.value_or(LULL_NO_LIMIT), set.bytes.value_or(LULL_NO_LIMIT),
          set.idle_time ? set.idle_time->count() : LULL_FOREVER};
}

lull::graph_capture_options convert(const lull_graph_capture_options* options) {
  lull_graph_capture_options defaults{};
  lull_graph_capture_options_init(&defaults);
  const auto given = read_versioned(options, defaults, "options");
  lull::graph_capture_options converted;
  converted.bytes = optional_of(given.bytes);
  converted.deadline = deadline_in(given.timeout_ns);
  if (given.room_timeout_ns != 0) {
    converted.room_deadline = deadline_in(given.room_timeout_ns, "room_timeout_ns");
  }
  return converted;
}

/// Unlike other callbacks' failures a capture's is the caller's own answer to itself, so it stays
/// what it is.
lull::captured_graph<void*> capture_by(lull_capture_fn capture, void* user) {
  lull_captured_graph made{sizeof made, nullptr, LULL_UNKNOWN, LULL_UNKNOWN};
  const lull_status code = capture(user, &made);
  if (const auto number = static_cast<std::int32_t>(code); number != LULL_OK) {
    const bool known = number > LULL_OK && number <= LULL_ERROR_INTERNAL;
    lull::detail::fail(known ? static_cast<status>(number) : status::callback,
                       "the capture callback returned {}",
                       known ? lull_status_name(code) : std::to_string(number));
  }
  if (made.graph == nullptr) {
    throw lull::error(status::callback, "the capture callback returned LULL_OK without a graph");
  }
  return {made.graph, optional_of(made.bytes), optional_of(made.nodes)};
}

lull_graph_stats convert(const lull::graph_cache_stats& from) {
  static_assert(lull::graph_eviction_causes == 6, "each has its figure");
  const auto evicted = [&](graph_eviction cause) { return from.evicted(cause); };
  lull_graph_stats to{0,
                      from.hits,
                      from.misses,
                      from.captures,
                      from.failed_captures,
                      from.rejected,
                      evicted(graph_eviction::entries),
                      evicted(graph_eviction::bytes),
                      evicted(graph_eviction::idle),
                      evicted(graph_eviction::cleared),
                      evicted(graph_eviction::erased),
                      evicted(graph_eviction::stale),
                      from.updated,
                      from.destroyed,
                      from.dropped,
                      from.failed_destructions,
                      from.unknown_footprints,
                      from.entries,
                      from.bytes,
                      from.handles,
                      from.leaving_entries,
                      from.leaving_bytes,
                      from.peak_entries,
                      from.peak_bytes,
                      from.returned_bytes,
                      from.measured_returned_bytes.value_or(LULL_UNKNOWN),
                      from.footprint_correction,
                      from.capturing.count(),
                      from.destroying.count(),
                      {}};
  lull::capi::set_text(to.name, from.name);
  return to;
}

}  // namespace

struct lull_graph_cache {
  std::shared_ptr<lull::graph_driver> driver;
  c_graph_cache value;
};
struct lull_graph_budget {
  lull::graph_budget value;
};
struct lull_graph_hold {
  lull::graph_hold value;
};

/// A pin that C holds is a C++ handle taken apart and put together again.
struct lull::detail::graph_handle_access {
  using handle = c_graph_cache::handle;
  static lull_graph_pin let_go(handle from) noexcept {
    if (!from) return {};
    void* const graph = *from;
    return {graph, std::exchange(from.entry_, nullptr)};
  }
  static handle adopt(const lull_graph_pin& pin) noexcept {
    return handle(static_cast<graph_entry*>(pin.entry));
  }
};
using pins = lull::detail::graph_handle_access;

namespace {

/// Runs `work` with the cache, and gives what it returns to an output that may be null.
template <class Output, class Work>
lull_status with(lull_graph_cache* cache, Output* output, const Work& work) {
  return guard([&] {
    const auto result = static_cast<Output>(work(required(cache, "cache").value));
    if (output != nullptr) *output = result;
  });
}

/// The same for an output that must be there.
template <class Cache, class Output, class Work>
lull_status make(Cache* cache, Output* output, const char* name, const Work& work) {
  return guard([&] {
    required(output, name);
    *output = work(required(cache, "cache").value);
  });
}

/// For an object that is asked for nothing else.
template <class Handle, class Make>
lull_status create(Handle** handle, const char* name, const Make& make_value) {
  return guard([&] {
    auto& result = required(handle, name);  // first: what is made must not be lost
    result = new Handle{make_value()};
  });
}

}  // namespace

void lull_graph_cache_options_init(lull_graph_cache_options* options) {
  if (options == nullptr) return;
  *options = {};
  options->struct_size = sizeof *options;
  options->bytes_per_node = LULL_UNKNOWN;
  options->clear_timeout_ns = lull::device_graph_options{}.clear_timeout.count();
  options->limits = convert(lull::graph_limits{});
  options->trim_after_bytes = lull::graph_cache_options{}.trim_after_bytes;
  options->name = "graphs";
  lull::capi::set_default_log(*options);
}

void lull_graph_capture_options_init(lull_graph_capture_options* options) {
  if (options != nullptr) *options = {sizeof *options, LULL_UNKNOWN, LULL_FOREVER, 0};
}

lull_status lull_graph_cache_create(const lull_graph_cache_options* options,
                                    lull_graph_cache** cache) {
  return guard([&] {
    lull_graph_cache_options given{};
    lull_graph_cache_options_init(&given);
    given = read_versioned(&required(options, "options"), given, "options");
    const auto of_c = read_versioned(given.driver, lull_graph_driver{}, "options->driver");
    owned_user user(of_c.user, of_c.release);
    auto& result = required(cache, "cache");
    const auto driver = make_driver(given, of_c, std::move(user));
    lull::graph_cache_options made;
    made.limits = convert(given.limits);
    if (given.budget != nullptr) made.budget = given.budget->value;
    made.frequency_filter = given.frequency_filter != 0;
    made.trim_after_bytes = given.trim_after_bytes;
    made.name = lull::capi::text_or_empty(given.name);
    made.log = lull::capi::log_of(given);
    std::function<void(const lull_graph_key&)> evicted;
    if (given.evicted != nullptr) {
      evicted = [given](const lull_graph_key& key) { given.evicted(given.evicted_user, key); };
    }
    result =
        new lull_graph_cache{driver, c_graph_cache(driver, std::move(made), std::move(evicted))};
  });
}
void lull_graph_cache_destroy(lull_graph_cache* cache) {
  delete cache;
}

lull_status lull_graph_budget_create(uint64_t entries, uint64_t bytes, lull_graph_budget** budget) {
  return create(budget, "budget",
                [&] { return lull::graph_budget(optional_of(entries), optional_of(bytes)); });
}
void lull_graph_budget_destroy(lull_graph_budget* budget) {
  delete budget;
}
lull_status lull_graph_budget_set_limits(lull_graph_budget* budget, uint64_t entries,
                                         uint64_t bytes) {
  return guard([&] {
    required(budget, "budget").value.set_limits(optional_of(entries), optional_of(bytes));
  });
}
lull_status lull_graph_budget_usage(const lull_graph_budget* budget, uint64_t* entries,
                                    uint64_t* bytes) {
  return guard([&] {
    const lull::graph_budget& of = required(budget, "budget").value;
    if (entries != nullptr) *entries = of.entries();
    if (bytes != nullptr) *bytes = of.bytes();
  });
}

lull_status lull_graph_cache_find(lull_graph_cache* cache, lull_graph_key key,
                                  lull_graph_pin* pin) {
  return make(cache, pin, "pin", [&](c_graph_cache& in) { return pins::let_go(in.find(key)); });
}
lull_status lull_graph_cache_get_or_capture(lull_graph_cache* cache, lull_graph_key key,
                                            lull_capture_fn capture, void* user,
                                            const lull_graph_capture_options* options,
                                            lull_graph_pin* pin) {
  return make(cache, pin, "pin", [&](c_graph_cache& in) {
    required(capture, "capture");
    return pins::let_go(in.get_or_capture(
        key, [&] { return capture_by(capture, user); }, convert(options)));
  });
}
lull_status lull_graph_cache_get_or_insert(lull_graph_cache* cache, lull_graph_key key,
                                           const lull_graph_capture_options* options,
                                           lull_graph_pin* pin) {
  return make(cache, pin, "pin", [&](c_graph_cache& in) {
    return pins::let_go(in.get_or_insert(key, convert(options)));
  });
}
lull_status lull_graph_pin_recapture(lull_graph_pin* pin, lull_capture_fn capture, void* user,
                                     const lull_graph_capture_options* options) {
  return guard([&] {
    required(pin, "pin");
    required(capture, "capture");
    required(static_cast<char*>(pin->entry), "pin->entry");
    const auto wishes = convert(options);
    auto at = pins::adopt(*pin);
    const auto back = [pin](c_graph_cache::handle* from) { *pin = pins::let_go(std::move(*from)); };
    const std::unique_ptr<c_graph_cache::handle, decltype(back)> pinned(&at, back);
    c_graph_cache::recapture(
        at, [&] { return capture_by(capture, user); }, wishes);
  });
}
void lull_graph_pin_release(lull_graph_pin* pin) {
  if (pin != nullptr) pins::adopt(std::exchange(*pin, {})).release();
}

lull_status lull_graph_cache_for_each(lull_graph_cache* cache, lull_graph_see_fn see, void* user) {
  return guard([&] {
    required(see, "see");
    required(cache, "cache").value.for_each([&](const c_graph_cache::handle& each) {
      see(user, each.key(), *each);
    });
  });
}
lull_status lull_graph_cache_erase(lull_graph_cache* cache, lull_graph_key key, int32_t* erased) {
  return with(cache, erased, [&](c_graph_cache& in) { return in.erase(key); });
}
lull_status lull_graph_cache_clear(lull_graph_cache* cache, int64_t timeout_ns) {
  return guard([&] { required(cache, "cache").value.clear(deadline_in(timeout_ns)); });
}
lull_status lull_graph_cache_trim(lull_graph_cache* cache, uint64_t* evicted) {
  return with(cache, evicted, [](c_graph_cache& in) { return in.trim(); });
}
lull_status lull_graph_cache_sweep(lull_graph_cache* cache, uint64_t* evicted) {
  return with(cache, evicted,
              [](c_graph_cache& in) { return in.sweep(lull::steady_clock().now()); });
}
lull_status lull_graph_cache_next_deadline(const lull_graph_cache* cache, int64_t* in_ns) {
  return make(cache, in_ns, "in_ns", [](const c_graph_cache& in) {
    return lull::capi::nanoseconds_until(in.next_deadline());
  });
}
lull_status lull_graph_cache_device_was_reset(lull_graph_cache* cache, uint64_t* dropped) {
  return with(cache, dropped, [&](c_graph_cache& in) {
    cache->driver->raise_generation();
    return in.reset_generation();
  });
}

lull_status lull_graph_cache_set_limits(lull_graph_cache* cache, const lull_graph_limits* limits) {
  return guard(
      [&] { required(cache, "cache").value.set_limits(convert(required(limits, "limits"))); });
}
lull_status lull_graph_cache_limits(const lull_graph_cache* cache, lull_graph_limits* limits) {
  return make(cache, limits, "limits",
              [](const c_graph_cache& in) { return convert(in.limits()); });
}
lull_status lull_graph_cache_set_frequency_filter(lull_graph_cache* cache, int32_t on) {
  return guard([&] { required(cache, "cache").value.set_frequency_filter(on != 0); });
}
lull_status lull_graph_cache_stats(const lull_graph_cache* cache, lull_graph_stats* stats) {
  return guard([&] {
    required(stats, "stats");
    lull::capi::write_versioned(stats, convert(required(cache, "cache").value.stats()), "stats");
  });
}

lull_status lull_graph_hold_create(int64_t timeout_ns, lull_graph_hold** hold) {
  return create(hold, "hold", [&] { return lull::graph_hold(deadline_in(timeout_ns)); });
}
void lull_graph_hold_destroy(lull_graph_hold* hold) {
  delete hold;
}
uint64_t lull_graph_hold_count(void) {
  return lull::graph_hold::count();
}

lull_status lull_device_graph_node_count(const lull_device* device, void* graph, uint64_t* nodes) {
  return guard([&] {
    auto& result = required(nodes, "nodes");
    required(static_cast<char*>(graph), "graph");
    result = required(device, "device").value.graph_node_count(graph);
  });
}

lull_status lull_sleeper_manage_graphs(lull_sleeper* sleeper, lull_graph_cache* cache,
                                       int64_t clear_timeout_ns) {
  return guard([&] {
    auto& by = required(sleeper, "sleeper").value;
    by.manage(required(cache, "cache").value,
              checked_duration(clear_timeout_ns, 0, "clear_timeout_ns"));
  });
}
