#include "net.hpp"

#include <lull/error.hpp>

#include <boost/asio/ip/address.hpp>

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

}  // namespace lull::serve
