#ifndef EXAMPLES_SERVER_REBIRTH_HPP
#define EXAMPLES_SERVER_REBIRTH_HPP

#include <lull/lull.hpp>

#include <string>

#include "server/completion.hpp"

namespace example {

/// What counters of the images before this one had come to, where this image counts from 0.
struct earlier_counts {
  lull::graph_cache_stats graphs;
};

/// What goes on counting when the image of the server is replaced, and how it came to that.
struct lasting_state {
  lull::sleep_counters sleeps;
  earlier_counts earlier;
  std::string plan;  ///< of the sleep
  lull::transition_report::direction way = lull::transition_report::direction::sleep;
  lull::time_point since{};  ///< it was handed over; the clock goes on too
};

/// The format of what to_blob() writes.
constexpr std::uint32_t blob_version = 1;

std::string to_blob(const lasting_state& state, const completion_counters& completions);

/// @param completions get what they had come to
/// @throws lull::error (io) when it cannot be read
lasting_state from_blob(const lull::reborn& before, completion_counters& completions);

/// Adds them to what this image has counted.
void add_earlier(const earlier_counts& earlier, lull::graph_cache_stats& to);

}  // namespace example

#endif  // EXAMPLES_SERVER_REBIRTH_HPP
