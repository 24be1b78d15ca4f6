#ifndef TOOLS_LULL_SAY_HPP
#define TOOLS_LULL_SAY_HPP

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace lull::tool {

/// Writes a line to standard error, or drops it when that is a pipe which nobody has read for a
/// tenth of a second: what this tool does matters more than what it says.
template <class... Arguments>
void say(fmt::format_string<Arguments...> pattern, Arguments&&... arguments) {
  constexpr int patience_ms = 100;
  constexpr std::size_t safe_bytes = 4096;  // what a pipe that is writable takes without blocking
  const std::string line = fmt::format(pattern, std::forward<Arguments>(arguments)...) + '\n';
  pollfd asked{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&asked, 1, patience_ms) != 1 || (asked.revents & POLLOUT) == 0) return;
  static_cast<void>(::write(STDERR_FILENO, line.data(), std::min(line.size(), safe_bytes)) < 0);
}

}  // namespace lull::tool

#endif  // TOOLS_LULL_SAY_HPP
