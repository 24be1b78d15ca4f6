#ifndef LULL_SETTLE_DRIVER_HPP
#define LULL_SETTLE_DRIVER_HPP

#include <lull/error.hpp>
#include <lull/settle.hpp>

#include <string>
#include <variant>
#include <vector>

#include "settle/judge.hpp"

namespace lull::detail {

/// Why there is no sample.
struct sample_failure {
  settle_status status = settle_status::probe_failed;
  std::string reason;
};

/// What the wait needs of the outside: time, samples, and waiting.
class settle_world {
 public:
  virtual ~settle_world() = default;
  [[nodiscard]] virtual time_point now() const noexcept = 0;
  /// Returns by `deadline`. A probe that says `not_found` makes the status devices_changed.
  [[nodiscard]] virtual std::variant<std::vector<memory_reading>, sample_failure> sample(
      time_point deadline) = 0;
  /// @return false when cancelled
  [[nodiscard]] virtual bool wait_until(time_point moment) = 0;
};

/// Feeds the judge until it, the world, or a cancellation ends the wait.
[[nodiscard]] settle_result run_settle(const settle_options& options,
                                       settle_judge::released_lookup released, settle_world& world);

/// @throws error (invalid_argument) that names the option
void check(const settle_options& options);

/// Whether there is anything to wait for, at the price of two comparisons.
[[nodiscard]] settle_skip reason_to_skip(const settle_options& options, time_point now) noexcept;

/// When `device` was last released, if that is recent enough to wait for.
[[nodiscard]] std::optional<time_point> recent_release(const settle_options& options,
                                                       std::string_view device, time_point now);

}  // namespace lull::detail

#endif  // LULL_SETTLE_DRIVER_HPP
