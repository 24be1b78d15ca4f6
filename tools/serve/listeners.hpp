#ifndef TOOLS_SERVE_LISTENERS_HPP
#define TOOLS_SERVE_LISTENERS_HPP

#include <cstdint>
#include <string>
#include <string_view>

namespace lull::serve {

/// Whether somebody listens on a port of all addresses of this machine, so that others reach it.
/// @return the address, as "0.0.0.0:5800"; empty: nobody does, or it cannot be known
[[nodiscard]] std::string open_to_others(std::uint16_t port);
/// @param table as /proc/net/tcp and /proc/net/tcp6 (proc(5))
[[nodiscard]] bool listens_everywhere(std::string_view table, std::uint16_t port);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LISTENERS_HPP
