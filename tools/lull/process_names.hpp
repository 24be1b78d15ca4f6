#ifndef TOOLS_LULL_PROCESS_NAMES_HPP
#define TOOLS_LULL_PROCESS_NAMES_HPP

#include <cstdint>
#include <string>

namespace lull::tool {

/// The name of a process that a driver lists, from /proc. "-" when it is not to be seen, and always
/// in a container: drivers list the ids of the host, which may belong to other processes here.
std::string listed_process_name(std::int64_t id);

}  // namespace lull::tool

#endif  // TOOLS_LULL_PROCESS_NAMES_HPP
