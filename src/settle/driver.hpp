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
                                       settle_judge::released_lookup released, settle_world& world,
                                       const settle_tolerance& tolerance = of_free_memory);

/// One wait: its options, checked, and what they come to.
class settle_run {
 public:
  /// @param options must outlive the object
  /// @throws error (invalid_argument) that names the option
  explicit settle_run(const settle_options& options);

  [[nodiscard]] const clock& time() const noexcept;
  /// Whether there is anything to wait for, at the price of two comparisons.
  [[nodiscard]] settle_skip reason_to_skip(time_point now) const noexcept;
  /// The last release of a device, if that is recent enough to wait for.
  [[nodiscard]] std::optional<release_mark> recent_release(std::string_view device,
                                                           time_point now) const;
  /// Waits for what the options say was released.
  [[nodiscard]] settle_result wait(settle_world& world) const;

 private:
  [[nodiscard]] bool is_recent(time_point released_at, time_point now) const noexcept;

  const settle_options& options_;
};

}  // namespace lull::detail

#endif  // LULL_SETTLE_DRIVER_HPP
