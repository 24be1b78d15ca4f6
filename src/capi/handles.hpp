#ifndef LULL_CAPI_HANDLES_HPP
#define LULL_CAPI_HANDLES_HPP

#include <lull/lull.h>
#include <lull/lull.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

// What the opaque handles are. Each owns its C++ counterpart.

struct lull_cancel {
  std::stop_source source;
};

struct lull_registry {
  std::shared_ptr<lull::registry> value;
};

struct lull_release_clock {
  std::shared_ptr<lull::release_clock> value;
};

struct lull_settlement {
  lull::settle_result value;
};

struct lull_device {
  lull::device value;
};

struct lull_reset_hook {
  lull::reset_hook value;
};

struct lull_memory {
  lull::memory value;
};

struct lull_region {
  lull::region value;
};

struct lull_region_lease {
  lull::region_lease value;
};

struct lull_refill_target {
  const lull::refill_target& value;
};

struct lull_sleeper {
  std::shared_ptr<lull::release_clock> releases;  // first, so that it goes last
  lull::sleeper value;
};

struct lull_process {
  lull::process value;
};

struct lull_report {
  std::string what;
  std::string plan;
  std::string failure;
  bool succeeded = true;
  bool rolled_back = true;
  lull::duration elapsed{};
  std::vector<lull::step_report> steps;
  std::vector<lull::device_report> devices;
};

namespace lull::capi {

log_sink make_log_sink(lull_log_fn callback, void* user, lull_log_level threshold);

backing_store make_backing(const lull_backing_kind& kind, const char* path);

/// What C calls -1: nothing.
inline constexpr std::int64_t nothing = -1;

/// @throws error (invalid_argument), with `name`, for a number of milliseconds below `lowest` or beyond
///         what a duration can hold
duration checked_milliseconds(std::int64_t count, std::int64_t lowest, const char* name);

/// C programs have no clock object: what they have runs on the machine's.
/// @param timeout_ms -1: no_deadline
time_point deadline_after(std::int64_t timeout_ms);

/// A duration that came from C.
/// @throws error (invalid_argument), with `name`, for one below `lowest` nanoseconds
duration checked_duration(std::int64_t ns, std::int64_t lowest, const char* name);

/// As deadline_after, in nanoseconds.
/// @param timeout_ns LULL_FOREVER: no_deadline
time_point deadline_in(std::int64_t timeout_ns, const char* name = "timeout_ns");

/// How long until then on the machine's clock; LULL_FOREVER when absent.
std::int64_t nanoseconds_until(const std::optional<time_point>& moment);

/// How long until then on the machine's clock, rounded up; `nothing` when absent.
std::int64_t milliseconds_until(const std::optional<time_point>& moment);

std::stop_token token_of(const lull_cancel* cancel);

/// Null for a null handle.
std::shared_ptr<release_clock> shared_clock(const lull_release_clock* releases);

/// @throws error (invalid_argument) for an action that there is not
eviction_plan make_eviction_plan(const lull_eviction_plan& given);

lull_report make_report(transfer_report report, std::string what);
lull_report make_report(transition_report report);

/// Throws if a callback of the caller failed.
void expect_callback_ok(lull_status code, const char* callback);

}  // namespace lull::capi

#endif  // LULL_CAPI_HANDLES_HPP
