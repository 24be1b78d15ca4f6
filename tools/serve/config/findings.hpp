#ifndef TOOLS_SERVE_CONFIG_FINDINGS_HPP
#define TOOLS_SERVE_CONFIG_FINDINGS_HPP

#include <yaml-cpp/yaml.h>

#include <optional>
#include <string>
#include <vector>

#include "reader.hpp"

namespace lull::serve {

/// Collects what is wrong with a file while it is read.
class findings {
 public:
  findings(std::string file, environment variables);

  void mistake(const YAML::Mark& at, std::string key, std::string words);
  void notice(const YAML::Mark& at, std::string key, std::string words);

  /// A scalar with `${env.NAME}` filled in. What is none, or names a variable that is not set, is
  /// a mistake. Null counts as a scalar without letters.
  std::optional<std::string> text(const YAML::Node& node, const std::string& key);

  [[nodiscard]] std::vector<remark> mistakes() const { return in_order(mistakes_); }
  [[nodiscard]] std::vector<remark> notices() const { return in_order(notices_); }

 private:
  [[nodiscard]] remark make(const YAML::Mark& at, std::string key, std::string words) const;
  static std::vector<remark> in_order(std::vector<remark> all);

  std::string file_;
  environment variables_;
  std::vector<remark> mistakes_;
  std::vector<remark> notices_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_FINDINGS_HPP
