#ifndef LULL_REPORT_STEP_TIMER_HPP
#define LULL_REPORT_STEP_TIMER_HPP

#include <lull/report.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lull::detail {

/// Times a step from here to the end of its scope, also when that is left by an exception: a report
/// says how long the step took that failed. Steps stand in a report in the order they began.
class step_timer {
 public:
  /// @param steps,time must outlive the object; from `steps` nothing may be removed meanwhile
  step_timer(std::vector<step_report>& steps, const clock& time, std::string_view name);
  ~step_timer();
  step_timer(const step_timer&) = delete;
  step_timer& operator=(const step_timer&) = delete;

  /// What the step moved or released.
  void set_bytes(std::uint64_t bytes) noexcept { steps_[place_].bytes = bytes; }

 private:
  std::vector<step_report>& steps_;
  const std::size_t place_;
  const clock& clock_;
  const time_point begun_;
};

}  // namespace lull::detail

#endif  // LULL_REPORT_STEP_TIMER_HPP
