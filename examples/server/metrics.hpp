#ifndef EXAMPLES_SERVER_METRICS_HPP
#define EXAMPLES_SERVER_METRICS_HPP

#include <lull/lull.hpp>

#include <cstdint>
#include <string>

namespace example {

/// What the server counts itself.
struct request_counts {
  std::uint64_t completions = 0;
  std::uint64_t rejected = 0;
  std::uint64_t failed = 0;
  std::uint64_t tokens = 0;
};

/// Everything that can be said without waking anybody, in Prometheus's text format 0.0.4.
std::string metrics_text(const lull::sleeper& sleeper, const lull::memory& memory,
                         const lull::device& device, const lull::any_graph_cache& graphs,
                         const request_counts& requests);

/// The resident set of this process.
std::uint64_t resident_bytes();

}  // namespace example

#endif  // EXAMPLES_SERVER_METRICS_HPP
