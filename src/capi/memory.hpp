#ifndef LULL_CAPI_MEMORY_HPP
#define LULL_CAPI_MEMORY_HPP

#include <lull/c/memory.h>
#include <lull/error.hpp>
#include <lull/memory.hpp>

#include <optional>

#include "capi/report.hpp"
#include "capi/values.hpp"

struct lull_memory {
  lull::memory value;
};

struct lull_region {
  lull::region value;
};

struct lull_refill_target {
  const lull::refill_target& value;
  mutable std::optional<lull::error> failure = std::nullopt;
};

namespace lull::capi {

template <>
inline constexpr contents_action last_of<contents_action> = contents_action::discard;
template <>
inline constexpr backing_store::kind last_of<backing_store::kind> = backing_store::kind::file;

/// @throws error (invalid_argument) for an action that there is not
eviction_plan make_eviction_plan(const lull_eviction_plan& given, const char* name);

transfer_options make_transfer_options(const lull_transfer_options* options);

backing_store make_backing(lull_backing_kind kind, const char* path, const char* name);

/// @param callback null: none
refill_callback make_refill(lull_refill_fn callback, void* user);

void write_region(const region_info& from, lull_region_info* info);

/// Carries out a transfer, which gets its options, and hands its report out, also when it fails.
template <class Transfer>
void carry_out(const char* what, const lull_transfer_options* options, lull_report** report,
               Transfer transfer) {
  auto given = make_transfer_options(options);
  transfer_report failed;
  given.failed_report = &failed;
  // Whatever is moved has a device.
  const auto has_begun = [](const transfer_report& of) { return !of.devices.empty(); };
  deliver(report, make_transfer_report(what), failed, has_begun, [&] { return transfer(given); });
}

}  // namespace lull::capi

#endif  // LULL_CAPI_MEMORY_HPP
