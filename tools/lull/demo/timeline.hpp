#ifndef TOOLS_LULL_DEMO_TIMELINE_HPP
#define TOOLS_LULL_DEMO_TIMELINE_HPP

/// @file
/// Memory over time, and what went on meanwhile: what the demo measures and the chart shows.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lull::demo {

/// Time since the timeline's start.
using seconds = std::chrono::duration<double>;

struct memory_sample {
  seconds at{};
  std::uint64_t bytes = 0;
};

enum class phase_kind : std::uint8_t { start, awake, going_to_sleep, asleep, waking };

/// For people: "going to sleep".
std::string_view to_string(phase_kind kind) noexcept;

/// A stretch of time in which the server was in one state.
struct phase {
  phase_kind kind = phase_kind::start;
  seconds begin{};
  seconds end{};
  std::string note;  ///< one short remark, "12 MiB"; may be empty
};

struct timeline {
  std::string title;
  std::vector<memory_sample> samples;  ///< in the order of time
  std::vector<phase> phases;           ///< in the order of time, not overlapping
};

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_TIMELINE_HPP
