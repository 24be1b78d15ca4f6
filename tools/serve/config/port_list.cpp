#include <limits>

#include <fmt/format.h>

#include "read_parts.hpp"

namespace lull::serve {

void port_list::take(std::uint16_t port, const text_place& who) {
  if (port == 0) return;
  const auto [other, is_first] = taken_.emplace(port, who.key);
  if (is_first) return;
  found_->mistake(who.at, who.key,
                  fmt::format("port {} is that of {} already; with ${{PORT}} each gets one of its "
                              "own",
                              port, other->second));
}

std::optional<std::uint16_t> port_list::give(const text_place& who) {
  for (; next_ <= std::numeric_limits<std::uint16_t>::max(); ++next_) {
    const auto port = static_cast<std::uint16_t>(next_);
    if (!taken_.emplace(port, who.key).second) continue;
    ++next_;
    return port;
  }
  found_->mistake(who.at, who.key, "no port is left below 65536; choose a lower `startPort`");
  return std::nullopt;
}

}  // namespace lull::serve
