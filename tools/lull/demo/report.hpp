#ifndef TOOLS_LULL_DEMO_REPORT_HPP
#define TOOLS_LULL_DEMO_REPORT_HPP

/// @file
/// What the demo measured, for people, for programs, and as a picture.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chart.hpp"
#include "level_run.hpp"
#include "swap_run.hpp"
#include "turns_run.hpp"

namespace lull::demo {

struct demo_result {
  std::string device;
  std::uint64_t weights_bytes = 0;
  unsigned clients = 0;
  std::vector<level_result> levels;
  std::optional<swap_result> swap;    ///< on a GPU
  std::optional<turns_result> turns;  ///< where it is known what the device holds

  /// Everything that is not as it must be, a sentence each.
  [[nodiscard]] std::vector<std::string> wrong() const;
};

/// A line per sleep.
std::string to_table(const demo_result& result);

/// All of it, the measured series included.
std::string to_json(const demo_result& result);

chart to_chart(const demo_result& result);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_REPORT_HPP
