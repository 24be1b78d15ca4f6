#ifndef TOOLS_SERVE_ACCESS_HPP
#define TOOLS_SERVE_ACCESS_HPP

#include <boost/beast/http/fields.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "model.hpp"

namespace lull::serve {

/// Who may ask for what. A web page can make a browser send requests to this machine, also under a
/// name of its own that it has made point here; neither passes.
struct access_rules {
  std::optional<std::string> token = {};
  std::vector<std::string> allowed_hosts = {};
  bool loopback = true;  ///< only this machine can connect: then only its names are answered to
};

using header_fields = boost::beast::http::fields;

/// The Host and the Origin header. @return why not
[[nodiscard]] std::optional<refusal> check_origin(const access_rules& rules,
                                                  const header_fields& asked);
/// For what changes state: the token, and that no page of another site asks. @return why not
[[nodiscard]] std::optional<refusal> check_change(const access_rules& rules,
                                                  const header_fields& asked);
/// Whether the token was given, or none is needed.
[[nodiscard]] bool has_token(const access_rules& rules, const header_fields& asked);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_ACCESS_HPP
