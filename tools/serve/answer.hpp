#ifndef TOOLS_SERVE_ANSWER_HPP
#define TOOLS_SERVE_ANSWER_HPP

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "model.hpp"

namespace lull::serve {

/// What the router itself answers.
struct answer {
  unsigned status = 200;
  std::string body = {};
  std::string type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
};
[[nodiscard]] answer answer_of(const refusal& why);
[[nodiscard]] answer json_answer(const nlohmann::json& value, unsigned status = 200);
/// `{"success": true}`
[[nodiscard]] answer success_answer();
[[nodiscard]] answer text_answer(std::string text);
[[nodiscard]] answer redirect_answer(const std::string& to);
[[nodiscard]] answer not_found_answer(std::string_view path);

/// A request for the router itself.
struct local_request {
  std::string method;
  std::string path;    ///< without the query
  std::string target;  ///< with it
  std::string body;
};

/// A response that goes on until one of both sides ends it.
class stream {
 public:
  virtual ~stream() = default;
  /// @return false when the client has gone, or does not read
  virtual bool send(std::string_view text) = 0;
  /// Called when it has ended.
  virtual void on_end(std::function<void()> told) = 0;
};

using reply = std::function<void(answer)>;

}  // namespace lull::serve

#endif  // TOOLS_SERVE_ANSWER_HPP
