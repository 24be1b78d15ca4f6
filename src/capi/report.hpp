#ifndef LULL_CAPI_REPORT_HPP
#define LULL_CAPI_REPORT_HPP

#include <lull/c/report.h>
#include <lull/report.hpp>
#include <lull/reset.hpp>
#include <lull/sleeper.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vocabulary/current_error.hpp"

struct lull_report {
  std::string what;
  std::string plan;
  std::string failure;
  std::string fell_back_from;
  std::string dropped;
  bool succeeded = true;
  bool rolled_back = true;
  bool was_reset = false;
  std::optional<std::uint64_t> generation;
  lull::duration elapsed{};
  std::vector<lull::step_report> steps;
  std::vector<lull::device_report> devices;
  std::vector<std::string> problems;
};

namespace lull::capi {

// A report that somebody wants is made before the act, so that nothing can fail after it: filling
// it in takes no memory.

std::unique_ptr<lull_report> make_transfer_report(const char* what);
void fill_in(lull_report& to, transfer_report from) noexcept;

std::unique_ptr<lull_report> make_reset_report();
void fill_in(lull_report& to, reset_report from) noexcept;

/// What is reported is how far it came.
void mark_failed(lull_report& to, const error& failure) noexcept;

/// Does something that returns a report, and hands out `made`, filled in with that or, when it
/// fails, with how far it came.
/// @param to may be null
/// @param failed what the act leaves when it fails
/// @param has_begun whether there is anything in it then
template <class Report, class Act, class HasBegun>
void deliver(lull_report** to, std::unique_ptr<lull_report> made, Report& failed,
             HasBegun has_begun, Act act) {
  try {
    fill_in(*made, act());
  } catch (...) {
    if (to != nullptr && has_begun(failed)) {
      fill_in(*made, std::move(failed));
      mark_failed(*made, detail::current_error(status::internal));
      *to = made.release();
    }
    throw;
  }
  if (to != nullptr) *to = made.release();
}

std::unique_ptr<lull_report> make_transition_report();
void fill_in(lull_report& to, transition_report from) noexcept;

}  // namespace lull::capi

#endif  // LULL_CAPI_REPORT_HPP
