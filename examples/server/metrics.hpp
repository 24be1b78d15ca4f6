#ifndef EXAMPLES_SERVER_METRICS_HPP
#define EXAMPLES_SERVER_METRICS_HPP

#include <cstdint>
#include <string>

#include "server/models.hpp"

namespace example {

/// Everything that can be said without waking anybody, in Prometheus's text format 0.0.4; what is a
/// model's has its name as a label. Asks the device for its memory, which may take half a second.
std::string metrics_text(const models& of);

/// The resident set of this process.
std::uint64_t resident_bytes();

}  // namespace example

#endif  // EXAMPLES_SERVER_METRICS_HPP
