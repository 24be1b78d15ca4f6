#ifndef EXAMPLES_SERVER_ANSWERS_HPP
#define EXAMPLES_SERVER_ANSWERS_HPP

#include <lull/graph_cache.hpp>
#include <lull/sleeper.hpp>

#include <exception>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "http/reply.hpp"

namespace example {

/// Milliseconds with a fraction.
double milliseconds(lull::duration span) noexcept;

nlohmann::json to_json(const lull::transition_report& report);

/// null where there is no bound.
nlohmann::json to_json(const lull::graph_limits& limits);

/// JSON as text. What is not UTF-8 (names of files, quotes of a client's words) is replaced.
std::string to_text(const nlohmann::json& value);

/// 200 with a JSON body.
http::answer json_answer(const nlohmann::json& body);

/// An error, as llama.cpp's server words it.
http::answer error_answer(int code, std::string_view message);

/// The answer to an exception: what an http::refusal says, 400 for what the client got wrong, 409
/// busy, 504 for a deadline, 503 for what may work later, 500 for the rest.
http::answer error_answer(const std::exception& failure);

}  // namespace example

#endif  // EXAMPLES_SERVER_ANSWERS_HPP
