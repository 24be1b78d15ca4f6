#ifndef TOOLS_SERVE_CLIENT_HPP
#define TOOLS_SERVE_CLIENT_HPP

#include <lull/clock.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net.hpp"

namespace lull::serve {

/// What the router itself asks of a server: whether it is ready, to sleep, to wake.
struct small_request {
  tcp::endpoint where;
  std::string host;  ///< the header
  std::string method = "GET";
  std::string target = "/";
  std::string body = {};
  duration time_limit = std::chrono::seconds{5};
};

/// An answer, or why there is none.
struct small_answer {
  unsigned status = 0;     ///< 0: there is none
  std::string body = {};   ///< at most 64 KiB of it
  std::string words = {};  ///< why there is none
};

/// "?tags=a&tags=b", or nothing.
[[nodiscard]] std::string query_of(const std::vector<std::string>& tags);

/// Ends a request; harmless when it is over.
using cancel_function = std::function<void()>;

/// Asks, and calls `done` once, later, on the thread of `io`; not when it was cancelled.
cancel_function ask(net::io_context& io, small_request what,
                    std::function<void(small_answer)> done);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CLIENT_HPP
