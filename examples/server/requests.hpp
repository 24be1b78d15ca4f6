#ifndef EXAMPLES_SERVER_REQUESTS_HPP
#define EXAMPLES_SERVER_REQUESTS_HPP

#include <optional>
#include <string>

#include <httplib.h>

namespace example {

/// The body of POST /completion.
struct completion_request {
  std::string prompt;
  int tokens = 0;
  bool stream = false;
};

/// Whether a body follows the headers of a request. cpp-httplib takes a POST without a length for
/// one whose body ends with the connection, as `curl -X POST` sends it, and waits for that.
bool has_body(const httplib::Request& request);

/// The whole body, or an empty text when there is none.
/// @return nothing when it cannot be had; the response's status then says why
/// @throws bad_request for a form
std::optional<std::string> read_body(const httplib::Request& request, httplib::Response& response,
                                     const httplib::ContentReader& reader);

/// @throws bad_request that names the member and what would be right
completion_request parse_completion(const std::string& body);

/// The body of POST /sleep: the level's name, or nothing for the server's own.
/// @throws bad_request
std::optional<std::string> parse_sleep(const std::string& body);

}  // namespace example

#endif  // EXAMPLES_SERVER_REQUESTS_HPP
