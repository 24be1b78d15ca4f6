#ifndef EXAMPLES_SERVER_REQUESTS_HPP
#define EXAMPLES_SERVER_REQUESTS_HPP

#include <optional>
#include <string>
#include <vector>

#include "http/request.hpp"

namespace example {

/// The body of POST /completion.
struct completion_request {
  std::string model = {};  ///< empty: the first
  std::string prompt = {};
  int tokens = 0;
  bool stream = false;
};

/// The model that a query names; empty: none.
std::string model_in(const http::fields& query);

/// @throws http::refusal 400 that names the member and what would be right
completion_request parse_completion(const std::string& body);

/// What POST /sleep and POST /wake_up ask for, in the query or as JSON: the body counts.
struct sleep_request {
  std::string model = {};  ///< empty: all
  /// A level's name; vLLM's numbers too: 1 offloads the weights, 2 discards everything.
  std::optional<std::string> level = {};
  /// "weights", "kv" (vLLM's "kv_cache"). Not empty: these only.
  std::vector<std::string> tags = {};
};

/// @throws http::refusal 400
sleep_request parse_sleep(const http::request& asked);

}  // namespace example

#endif  // EXAMPLES_SERVER_REQUESTS_HPP
