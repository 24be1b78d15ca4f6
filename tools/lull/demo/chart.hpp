#ifndef TOOLS_LULL_DEMO_CHART_HPP
#define TOOLS_LULL_DEMO_CHART_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "timeline.hpp"

namespace lull::demo {

/// A picture of memory over time: one panel per timeline, all on the same scales.
struct chart {
  std::string title;
  std::string subtitle;
  std::string series;            ///< what the line shows, for the legend and the axis
  std::uint64_t mark_bytes = 0;  ///< a dashed line at this height; 0 for none
  std::string mark;              ///< what the dashed line is, for the legend
  std::vector<timeline> panels;
};

/// The picture as a complete SVG document that needs no font or file beside it.
std::string to_svg(const chart& picture);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_CHART_HPP
