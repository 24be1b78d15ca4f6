#ifndef EXAMPLES_SERVER_RESPONSES_HPP
#define EXAMPLES_SERVER_RESPONSES_HPP

#include <exception>
#include <stdexcept>
#include <string_view>

#include <httplib.h>
#include <nlohmann/json.hpp>

namespace example {

/// Thrown for what the client got wrong.
struct bad_request : std::runtime_error {
  using runtime_error::runtime_error;
};

/// Answers 200 with a JSON body.
void set_json(httplib::Response& response, const nlohmann::json& body);

/// Answers with an error, as llama.cpp's server words it.
void set_error(httplib::Response& response, int code, std::string_view type,
               std::string_view message);

/// The answer to an exception: 400 for what the client got wrong, 409 busy, 504 for a deadline, 503
/// for what may work later, 500 for the rest.
void set_error(httplib::Response& response, const std::exception& failure);

/// Words for an error that cpp-httplib found by itself, of which it tells the status only.
void explain(httplib::Response& response);

}  // namespace example

#endif  // EXAMPLES_SERVER_RESPONSES_HPP
