// What a graph cache is made of: driver, limits, budget.

#include <lull/device_graphs.hpp>

#include <chrono>
#include <functional>

#include "capi/graph_handles.hpp"
#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

using lull::capi::bound_of;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;

namespace lull::capi {
namespace {

using lull::detail::raw;

std::int64_t whole_milliseconds(duration span) noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
}

/// For figures that the driver asks for where nothing may be thrown.
template <class Ask>
std::optional<std::uint64_t> known_figure(const Ask& ask) noexcept {
  try {
    return figure_of(ask());
  } catch (...) {
    return std::nullopt;  // a C++ program's callback, which must not throw
  }
}

/// For callbacks: gives `user` back with the last of them.
std::shared_ptr<void> keep_user(const lull_graph_driver& from) {
  if (from.release == nullptr) return nullptr;
  return {from.user, from.release};
}

graph_driver_functions make_functions(const lull_graph_driver& from) {
  graph_driver_functions made;
  void* const user = from.user;
  made.destroy = [destroy = &required(from.destroy, "options->driver->destroy"), user,
                  kept = keep_user(from)](void* graph) {
    const lull_status code = destroy(user, graph);
    if (raw(code) == LULL_ERROR_BUSY) throw error(status::busy, "destroy returned LULL_ERROR_BUSY");
    expect_callback_ok(code, "destroy");
  };
  if (from.before_destroy != nullptr) {
    made.before_destroy = [before = from.before_destroy, user] {
      expect_callback_ok(before(user), "before_destroy");
    };
  }
  if (from.trim != nullptr) {
    made.trim = [trim = from.trim, user] { expect_callback_ok(trim(user), "trim"); };
  }
  if (from.footprint != nullptr) {
    made.footprint = [footprint = from.footprint, user](void* graph,
                                                        std::optional<std::uint64_t> nodes) {
      return known_figure([&] { return footprint(user, graph, nodes.value_or(LULL_UNKNOWN)); });
    };
  }
  if (from.used_bytes != nullptr) {
    made.used_bytes = [used_bytes = from.used_bytes, user] {
      return known_figure([&] { return used_bytes(user); });
    };
  }
  return made;
}

}  // namespace

std::shared_ptr<graph_driver> make_graph_driver(const lull_graph_cache_options& given) {
  if ((given.driver == nullptr) == (given.device == nullptr)) {
    throw error(status::invalid_argument,
                given.driver == nullptr
                    ? "options: a graph cache needs a driver or a device; both are null"
                    : "options: a graph cache takes a driver or a device, not both");
  }
  if (given.device != nullptr) {
    device_graph_options options;
    options.bytes_per_node = figure_of(given.bytes_per_node);
    options.clear_timeout =
        checked_milliseconds(given.clear_timeout_ms, 1, "options->clear_timeout_ms");
    return make_graph_driver(given.device->value, options);
  }
  const auto driver = read_versioned(given.driver, lull_graph_driver{}, "options->driver");
  return std::make_shared<function_graph_driver>(make_functions(driver));
}

graph_limits make_graph_limits(const lull_graph_limits& given) {
  graph_limits limits;
  limits.entries = bound_of(given.entries);
  limits.bytes = bound_of(given.bytes);
  if (given.idle_time_ms != 0) {
    limits.idle_time = checked_milliseconds(given.idle_time_ms, 0, "limits->idle_time_ms");
  }
  return limits;
}

graph_cache_options make_graph_cache_options(const lull_graph_cache_options& given) {
  graph_cache_options options;
  options.limits = make_graph_limits(given.limits);
  if (given.budget != nullptr) options.budget = given.budget->value;
  options.frequency_filter = given.frequency_filter != 0;
  options.trim_after_bytes = given.trim_after_bytes;
  options.name = text_or_empty(given.name);
  options.log = log_of(given);
  return options;
}

}  // namespace lull::capi

void lull_graph_cache_options_init(lull_graph_cache_options* options) {
  if (options == nullptr) return;
  *options = {};
  options->struct_size = sizeof *options;
  options->bytes_per_node = LULL_UNKNOWN;
  options->clear_timeout_ms =
      lull::capi::whole_milliseconds(lull::device_graph_options{}.clear_timeout);
  options->trim_after_bytes = lull::graph_cache_options{}.trim_after_bytes;
  options->name = "graphs";
  options->log_threshold = LULL_LOG_INFO;
}

lull_status lull_graph_budget_create(uint64_t entries, uint64_t bytes, lull_graph_budget** budget) {
  return guard([&] {
    auto& result = required(budget, "budget");
    result = new lull_graph_budget{lull::graph_budget(bound_of(entries), bound_of(bytes))};
  });
}

void lull_graph_budget_destroy(lull_graph_budget* budget) {
  delete budget;
}

lull_status lull_graph_budget_set_limits(lull_graph_budget* budget, uint64_t entries,
                                         uint64_t bytes) {
  return guard(
      [&] { required(budget, "budget").value.set_limits(bound_of(entries), bound_of(bytes)); });
}

lull_status lull_graph_budget_usage(const lull_graph_budget* budget, uint64_t* entries,
                                    uint64_t* bytes) {
  return guard([&] {
    const lull::graph_budget& of = required(budget, "budget").value;
    const std::uint64_t held_entries = of.entries();
    const std::uint64_t held_bytes = of.bytes();
    if (entries != nullptr) *entries = held_entries;
    if (bytes != nullptr) *bytes = held_bytes;
  });
}

lull_status lull_graph_cache_set_limits(lull_graph_cache* cache, const lull_graph_limits* limits) {
  return guard([&] {
    required(cache, "cache")
        .value.set_limits(lull::capi::make_graph_limits(required(limits, "limits")));
  });
}

lull_status lull_graph_cache_get_limits(const lull_graph_cache* cache, lull_graph_limits* limits) {
  return guard([&] {
    auto& result = required(limits, "limits");
    const lull::graph_limits set = required(cache, "cache").value.limits();
    result = {set.entries.value_or(0), set.bytes.value_or(0),
              lull::capi::whole_milliseconds(set.idle_time.value_or(lull::duration::zero()))};
  });
}

lull_status lull_graph_cache_set_frequency_filter(lull_graph_cache* cache, int32_t on) {
  return guard([&] { required(cache, "cache").value.set_frequency_filter(on != 0); });
}
