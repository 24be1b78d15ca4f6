#include "capi/arena.hpp"

#include <utility>

#include "capi/device.hpp"
#include "capi/values.hpp"

using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;

namespace {

std::uint64_t or_no_limit(const std::optional<std::uint64_t>& bound) noexcept {
  return bound.value_or(LULL_NO_LIMIT);
}

std::optional<std::uint64_t> bound_from(std::uint64_t given) noexcept {
  return given == LULL_NO_LIMIT ? std::nullopt : std::optional(given);
}

lull_arena_options default_arena_options() {
  const lull::host_arena_options from;
  lull_arena_options options{};
  options.struct_size = sizeof options;
  options.budget_bytes = or_no_limit(from.budget_bytes);
  options.slice_bytes = from.slice_bytes;
  lull::capi::set_default_log(options);
  return options;
}

lull_arena_prepare_options default_prepare_options() {
  const lull::prepare_options from;
  lull_arena_prepare_options options{};
  options.struct_size = sizeof options;
  options.threads = from.threads;
  options.bytes_per_second = or_no_limit(from.bytes_per_second);
  return options;
}

}  // namespace

void lull_arena_options_init(lull_arena_options* options) {
  if (options != nullptr) *options = default_arena_options();
}

void lull_arena_prepare_options_init(lull_arena_prepare_options* options) {
  if (options != nullptr) *options = default_prepare_options();
}

lull_status lull_arena_create(const lull_arena_options* options, lull_arena** arena) {
  return guard([&] {
    const auto given = read_versioned(options, default_arena_options(), "options");
    auto& result = required(arena, "arena");
    lull::host_arena_options converted;
    converted.budget_bytes = bound_from(given.budget_bytes);
    converted.slice_bytes = given.slice_bytes;
    converted.log = lull::capi::log_of(given);
    result = new lull_arena{lull::host_arena(std::move(converted))};
  });
}

void lull_arena_destroy(lull_arena* arena) {
  delete arena;
}

lull_status lull_arena_prepare(lull_arena* arena, const lull_device* device, uint64_t bytes,
                               const lull_arena_prepare_options* options) {
  return guard([&] {
    const lull::host_arena& which = required(arena, "arena").value;
    const lull::device& with = required(device, "device").value;
    const auto given = read_versioned(options, default_prepare_options(), "options");
    which.prepare(
        with, bytes,
        {.threads = given.threads, .bytes_per_second = bound_from(given.bytes_per_second)});
  });
}

lull_status lull_arena_wait_prepared(lull_arena* arena) {
  return guard([&] { required(arena, "arena").value.wait_prepared(); });
}

lull_status lull_arena_trim(lull_arena* arena, uint64_t keep_bytes, uint64_t* given_back_bytes) {
  return guard([&] {
    const std::uint64_t given_back = required(arena, "arena").value.trim(keep_bytes);
    if (given_back_bytes != nullptr) *given_back_bytes = given_back;
  });
}

lull_status lull_arena_set_budget(lull_arena* arena, uint64_t bytes) {
  return guard([&] { required(arena, "arena").value.set_budget(bytes); });
}

lull_status lull_arena_describe(const lull_arena* arena, lull_arena_info* info) {
  return guard([&] {
    const lull::host_arena_info from = required(arena, "arena").value.info();
    lull_arena_info value{};
    value.budget_bytes = from.budget_bytes;
    value.held_bytes = from.held_bytes;
    value.used_bytes = from.used_bytes;
    value.pinned_bytes = from.pinned_bytes;
    value.preparing = from.preparing ? 1 : 0;
    set_text(value.not_pinned_because, from.not_pinned_because);
    write_versioned(info, value, "info");
  });
}
