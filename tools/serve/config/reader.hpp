#ifndef TOOLS_SERVE_CONFIG_READER_HPP
#define TOOLS_SERVE_CONFIG_READER_HPP

/// @file
/// Reads the configuration of `lull serve`: YAML, with the main keys of llama-swap and our own.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config.hpp"

namespace lull::serve {

/// Something that the reader has to say about a place in the file.
struct remark {
  std::string file;
  int line = 0;            ///< from 1; 0: the file as a whole
  int column = 0;          ///< from 1
  std::string key = {};    ///< "models.llama.ttl"; may be empty
  std::string words = {};  ///< what is wrong, and what would be right

  /// "serve.yaml:12:5: models.llama.ttl: ..."
  [[nodiscard]] std::string text() const;
  bool operator==(const remark&) const = default;
};

/// What came of it.
struct reading {
  config value;                  ///< means something only without mistakes
  std::vector<remark> mistakes;  ///< all of them, in the order of the file
  std::vector<remark> notices;   ///< keys of llama-swap that have no effect here

  [[nodiscard]] bool ok() const noexcept { return mistakes.empty(); }
};

/// A variable of the environment, if it is set.
using environment = std::function<std::optional<std::string>(const std::string& name)>;

/// Reads no file but a `token_file`. Never throws for what is in the text.
/// @param file how the text is called in remarks
/// @param variables for `${env.NAME}`; empty: the environment of this process
/// @param launches with a `launcher`, also where the text has none
[[nodiscard]] reading read_config(std::string_view text, const std::string& file,
                                  const environment& variables = {}, bool launches = false);

/// Reads a file of at most 4 MiB. That it cannot be read is a mistake like others.
[[nodiscard]] reading read_config_file(const std::string& path, const environment& variables = {},
                                       bool launches = false);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_READER_HPP
