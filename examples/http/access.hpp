#ifndef EXAMPLES_HTTP_ACCESS_HPP
#define EXAMPLES_HTTP_ACCESS_HPP

#include <string>

#include "http/request.hpp"

namespace http {

/// Who may ask for what. A web page can make a browser send requests to this machine, also under a
/// name of its own that it has made point here; neither passes.
struct access_rules {
  /// Demanded of what changes anything, as `Authorization: Bearer TOKEN`. Empty: nothing is
  /// demanded.
  std::string token = {};
  /// Without a token, only names of this machine are answered to.
  bool loopback = true;
  std::string host = {};  ///< what the server was told to listen on: one of those names
};

/// Who asks: the Host and the Origin header.
/// @throws refusal 403
void check_origin(const access_rules& rules, const request& asked);

/// For what changes anything: the token.
/// @throws refusal 401
void check_token(const access_rules& rules, const request& asked);

/// For what a form of a web page could send too: a body must say that it is JSON.
/// @throws refusal 415
void check_is_json(const request& asked);

}  // namespace http

#endif  // EXAMPLES_HTTP_ACCESS_HPP
