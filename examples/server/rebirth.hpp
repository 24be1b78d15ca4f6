#ifndef EXAMPLES_SERVER_REBIRTH_HPP
#define EXAMPLES_SERVER_REBIRTH_HPP

#include <lull/lull.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace example {

/// What goes on counting of a model when the image of the server is replaced.
struct lasting_state {
  lull::sleep_counters sleeps;
  lull::graph_cache_stats graphs;
  std::array<std::uint64_t, 5> completions{};  ///< completed, rejected, failed, abandoned, tokens
  std::string plan;                            ///< by which it sleeps
  lull::transition_report::direction way = lull::transition_report::direction::sleep;
  lull::time_point since{};  ///< it was handed over; the clock goes on too
};

/// The format of what to_blob() writes.
constexpr std::uint32_t blob_version = 1;

std::string to_blob(const std::map<std::string, lasting_state>& models);

/// @throws lull::error (io) when it cannot be read
std::map<std::string, lasting_state> from_blob(const lull::reborn& left);

/// Adds what images before have counted to what this one has.
void add(const lull::graph_cache_stats& earlier, lull::graph_cache_stats& to);

}  // namespace example

#endif  // EXAMPLES_SERVER_REBIRTH_HPP
