#ifndef TOOLS_SERVE_MODEL_NAME_HPP
#define TOOLS_SERVE_MODEL_NAME_HPP

/// @file
/// Which model a request is for, from as little of its body as possible.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull::serve {

/// Looks for the member "model" of a JSON object, as the body comes in. Takes what is no JSON
/// without complaint: the server is told it all, and will say so.
class json_model_finder {
 public:
  /// More of the body. @return whether it has been found, or cannot be there any more
  bool feed(std::string_view text);
  /// Absent: not found, or no string.
  [[nodiscard]] const std::optional<std::string>& model() const noexcept { return model_; }

 private:
  enum class place : std::uint8_t { start, before_key, key, after_key, before_value, value, done };

  void step(char c);
  void in_string(char c);
  void end_string();
  void end_escape();

  place place_ = place::start;
  int depth_ = 0;  ///< of what is inside the object
  bool in_string_ = false;
  int escape_ = 0;          ///< characters of an escape still to come; -1: the first
  std::uint32_t unit_ = 0;  ///< the UTF-16 unit that is being read
  std::uint32_t high_ = 0;  ///< the first unit of a pair
  bool keeps_ = false;      ///< the string at hand is the key, or the model
  std::string text_;
  bool is_model_ = false;
  std::optional<std::string> model_;
};

/// Looks for the part named "model" of a form (multipart/form-data).
class form_model_finder {
 public:
  /// @param content_type of the request, with the boundary
  explicit form_model_finder(std::string_view content_type);
  /// All of the body so far. @return as json_model_finder::feed()
  bool look(std::string_view body);
  [[nodiscard]] const std::optional<std::string>& model() const noexcept { return model_; }

 private:
  std::string boundary_;
  std::size_t from_ = 0;  ///< where the next boundary is looked for
  std::optional<std::string> model_;
};

/// The value of a member of a query, decoded; absent: there is none.
[[nodiscard]] std::optional<std::string> query_value(std::string_view target,
                                                     std::string_view name);
/// All values of one that may be there several times.
[[nodiscard]] std::vector<std::string> query_values(std::string_view target, std::string_view name);
/// The path of a target as a server may understand it, %XX decoded and without "//", "." and "..":
/// whose it is, and who may ask for it, must not depend on how it is written.
[[nodiscard]] std::string plain_path(std::string_view target);
/// With %XX decoded, and '+' where `plus` says so; absent when that is not right.
[[nodiscard]] std::optional<std::string> decode_url(std::string_view text, bool plus);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_MODEL_NAME_HPP
