#ifndef TESTS_SERVE_CONFIG_READ_HPP
#define TESTS_SERVE_CONFIG_READ_HPP

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "config/reader.hpp"

namespace lull::serve {

/// Reads a text with these variables in the environment.
inline reading read(std::string_view text,
                    const std::map<std::string, std::string>& variables = {}) {
  return read_config(text, "serve.yaml", [&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

/// All that is wrong, a line each.
inline std::string mistakes(const reading& read) {
  std::string lines;
  for (const remark& each : read.mistakes) lines += each.text() + "\n";
  return lines;
}

/// What a text without mistakes says.
inline config good(std::string_view text,
                   const std::map<std::string, std::string>& variables = {}) {
  const reading result = read(text, variables);
  EXPECT_EQ(mistakes(result), "");
  return result.value;
}

/// The mistakes of a text.
inline std::string wrong(std::string_view text,
                         const std::map<std::string, std::string>& variables = {}) {
  return mistakes(read(text, variables));
}

/// A model that is right but for these lines, which stand in line 4 and on.
inline std::string with_model(const std::string& lines) {
  return "models:\n  a:\n    cmd: server --port ${PORT}\n" + lines;
}

inline model_config model(const std::string& lines) {
  const config read = good(with_model(lines));
  return read.models.empty() ? model_config{} : read.models.front();
}

}  // namespace lull::serve

#endif  // TESTS_SERVE_CONFIG_READ_HPP
