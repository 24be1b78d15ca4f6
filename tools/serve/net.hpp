#ifndef TOOLS_SERVE_NET_HPP
#define TOOLS_SERVE_NET_HPP

/// @file
/// Sockets and timers of the one thread that all of the router runs on.

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <string>

#include "config/config.hpp"

namespace lull::serve {

namespace net = boost::asio;
using error_code = boost::system::error_code;
using executor = net::io_context::executor_type;
using tcp = net::ip::tcp;
using tcp_socket = net::basic_stream_socket<tcp, executor>;
using tcp_acceptor = net::basic_socket_acceptor<tcp, executor>;
using steady_timer =
    net::basic_waitable_timer<std::chrono::steady_clock,
                              net::wait_traits<std::chrono::steady_clock>, executor>;

/// Looks a name up, which may block for as long as the resolver takes; an address does not.
/// @throws error (not_found)
[[nodiscard]] tcp::endpoint resolve(const endpoint& where);

/// What can be read of a connection now, without reading it and without waiting.
enum class readable : std::uint8_t {
  nothing,
  something,
  end,     ///< the other side has closed its half, or all
  broken,  ///< it is gone
};
[[nodiscard]] readable peek(tcp_socket& from) noexcept;

}  // namespace lull::serve

#endif  // TOOLS_SERVE_NET_HPP
