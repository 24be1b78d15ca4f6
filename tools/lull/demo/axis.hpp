#ifndef TOOLS_LULL_DEMO_AXIS_HPP
#define TOOLS_LULL_DEMO_AXIS_HPP

/// @file
/// Where the marks of an axis go.

#include <cstdint>
#include <string>
#include <vector>

namespace lull::demo {

struct axis_tick {
  double value = 0;  ///< in the axis's own measure: bytes, seconds
  std::string text;
};

/// An axis from 0 to `end`, which is at its last tick.
struct axis {
  double end = 1;
  std::vector<axis_tick> ticks;
};

/// An axis over byte counts from 0 to at least `largest`, in steps that are round in binary units.
axis bytes_axis(std::uint64_t largest);

/// An axis over seconds from 0 to `longest` exactly, with ticks at round numbers.
axis seconds_axis(double longest);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_AXIS_HPP
