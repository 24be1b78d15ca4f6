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
#include <vector>

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

std::unique_ptr<lull_report> make_transition_report();
void fill_in(lull_report& to, transition_report from) noexcept;

}  // namespace lull::capi

#endif  // LULL_CAPI_REPORT_HPP
