#include "axis.hpp"

#include <lull/bytes.hpp>

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace lull::demo {
namespace {

constexpr std::uint64_t most_byte_steps = 5;
constexpr double most_second_steps = 16;

/// The smallest round number of seconds that divides `longest` into few enough steps.
double second_step(double longest) {
  double decade = 1e-3;
  while (true) {
    for (const double factor : std::array{1.0, 2.0, 5.0}) {
      if (longest / (decade * factor) <= most_second_steps) return decade * factor;
    }
    decade *= 10;
  }
}

}  // namespace

axis bytes_axis(std::uint64_t largest) {
  std::uint64_t step = 1;
  while (step * most_byte_steps < largest) step *= 2;
  axis result;
  result.ticks.push_back({0, "0"});
  for (std::uint64_t value = step;
       result.ticks.back().value < static_cast<double>(largest) || result.ticks.size() < 2;
       value += step) {
    result.ticks.push_back({static_cast<double>(value), format_bytes(value)});
  }
  result.end = result.ticks.back().value;
  return result;
}

axis seconds_axis(double longest) {
  axis result;
  result.end = std::max(longest, 1e-3);
  const double step = second_step(result.end);
  for (int i = 0; i * step <= result.end; ++i) {
    result.ticks.push_back({i * step, fmt::format("{:g}", i * step)});
  }
  return result;
}

}  // namespace lull::demo
