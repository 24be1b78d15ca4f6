#include "net.hpp"

#include <lull/error.hpp>

#include <sys/socket.h>

#include <boost/asio/ip/address.hpp>
#include <cerrno>

#include <fmt/format.h>

namespace lull::serve {

tcp::endpoint resolve(const endpoint& where) {
  error_code failed;
  const net::ip::address address = net::ip::make_address(where.host, failed);
  if (!failed) return {address, where.port};
  if (where.host == "localhost") return {net::ip::address_v4::loopback(), where.port};
  net::io_context io;
  net::ip::basic_resolver<tcp, executor> resolver(io.get_executor());
  const auto found = resolver.resolve(where.host, std::to_string(where.port), failed);
  if (failed || found.empty()) {
    throw error(status::not_found,
                fmt::format("there is no host '{}': {}", where.host, failed.message()));
  }
  return found.begin()->endpoint();
}

tcp_acceptor listen_on(net::io_context& io, const endpoint& where) {
  tcp_acceptor acceptor(io.get_executor());
  const tcp::endpoint address = resolve(where);
  error_code failed;
  acceptor.open(address.protocol(), failed);
  if (!failed) acceptor.set_option(net::socket_base::reuse_address(true), failed);
  if (!failed) acceptor.bind(address, failed);
  if (!failed) acceptor.listen(net::socket_base::max_listen_connections, failed);
  if (failed) {
    throw error(status::io, fmt::format("cannot listen on {}: {}", where.text(), failed.message()));
  }
  return acceptor;
}

bool is_free(net::io_context& io, std::uint16_t port) {
  try {
    static_cast<void>(listen_on(io, {.host = "127.0.0.1", .port = port}));
    return true;
  } catch (const error&) {
    return false;
  }
}

readable peek(tcp_socket& from) noexcept {
  char first = 0;
  const ssize_t count = ::recv(from.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count > 0) return readable::something;
  if (count == 0) return readable::end;
  const bool empty = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return empty ? readable::nothing : readable::broken;
}

}  // namespace lull::serve
