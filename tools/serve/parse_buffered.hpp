#ifndef TOOLS_SERVE_PARSE_BUFFERED_HPP
#define TOOLS_SERVE_PARSE_BUFFERED_HPP

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>

#include "net.hpp"

namespace lull::serve {

/// Takes from a buffer what of a body is there already, as far as the parser's own buffer has room.
/// A parser is never told to be eager: it would wait for the next chunk's header before it gives
/// out a chunk, and a stream would come one piece late.
template <bool is_request, class Body>
[[nodiscard]] error_code parse_buffered(boost::beast::http::parser<is_request, Body>& parser,
                                        boost::beast::flat_buffer& buffer) {
  namespace http = boost::beast::http;
  while (!parser.is_done() && buffer.size() > 0) {
    error_code failed;
    const std::size_t used = parser.put(buffer.data(), failed);
    buffer.consume(used);
    if (failed == http::error::need_more) break;
    if (failed) return failed;
  }
  return {};
}

}  // namespace lull::serve

#endif  // TOOLS_SERVE_PARSE_BUFFERED_HPP
