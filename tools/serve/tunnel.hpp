#ifndef TOOLS_SERVE_TUNNEL_HPP
#define TOOLS_SERVE_TUNNEL_HPP

#include <boost/beast/core/flat_buffer.hpp>
#include <functional>

#include "net.hpp"

namespace lull::serve {

/// Passes on what each of two sides sends, until both have ended or one has failed; then calls
/// `done`, which keeps the sockets alive until then.
/// @param from_a,from_b what has been read of each already
void join(tcp_socket& a, tcp_socket& b, boost::beast::flat_buffer& from_a,
          boost::beast::flat_buffer& from_b, std::function<void()> done);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_TUNNEL_HPP
