#ifndef LULL_GRAPHS_FLIGHT_HPP
#define LULL_GRAPHS_FLIGHT_HPP

#include <lull/error.hpp>
#include <lull/graph_cache_core.hpp>

#include <cstdint>
#include <optional>
#include <thread>

namespace lull::detail {

/// A capture under way. Guarded by the pool's mutex; those who wait for it keep it alive.
struct graph_flight {
  graph_key key;  ///< valid until it is done
  std::thread::id leader;
  std::uint64_t clearings = 0;  ///< of the core, when it began
  /// A thread with a hold waits for this: then its hold must not be waited for.
  bool wanted_by_holder = false;
  bool done = false;
  std::optional<error> failure;
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_FLIGHT_HPP
