#ifndef TOOLS_LULL_PID_DIRECTORY_HPP
#define TOOLS_LULL_PID_DIRECTORY_HPP

#include <filesystem>

namespace lull::tool {

/// Where `run` leaves pid files and `orphans` looks for them: $XDG_RUNTIME_DIR/lull, or where there
/// is no such variable /tmp/lull-UID.
std::filesystem::path default_pid_directory();

}  // namespace lull::tool

#endif  // TOOLS_LULL_PID_DIRECTORY_HPP
