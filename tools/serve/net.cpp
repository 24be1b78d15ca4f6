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

readable peek(tcp_socket& from) noexcept {
  char first = 0;
  const ssize_t count = ::recv(from.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count > 0) return readable::something;
  if (count == 0) return readable::end;
  const bool empty = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return empty ? readable::nothing : readable::broken;
}

}  // namespace lull::serve
