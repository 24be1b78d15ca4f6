#ifndef EXAMPLES_SERVER_METRICS_HPP
#define EXAMPLES_SERVER_METRICS_HPP

#include <lull/lull.hpp>

#include <cstdint>
#include <string>

#include "server/completion.hpp"
#include "server/engine.hpp"
#include "server/rebirth.hpp"

namespace example {

/// Everything that can be said without waking anybody, in Prometheus's text format 0.0.4. Asks the
/// device for its memory, which may take half a second.
std::string metrics_text(const lull::sleeper& sleeper, const engine& what,
                         const completion_counters& completions, const earlier_counts& earlier);

/// The resident set of this process.
std::uint64_t resident_bytes();

}  // namespace example

#endif  // EXAMPLES_SERVER_METRICS_HPP
