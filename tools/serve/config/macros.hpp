#ifndef TOOLS_SERVE_CONFIG_MACROS_HPP
#define TOOLS_SERVE_CONFIG_MACROS_HPP

#include <yaml-cpp/yaml.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "section.hpp"

namespace lull::serve {

/// Where a text stands, for what is said about it.
struct text_place {
  YAML::Mark at;
  std::string key;
};

/// Texts by name, which stand for `${NAME}` in others; they may hold each other, in any order.
class macros {
 public:
  /// Reads a section `macros`; what is known already by a name is replaced. Cycles are looked for.
  void read(section given);
  /// One that the router itself defines. Its text is taken as it is.
  void define(const std::string& name, std::string text);

  /// With all macros filled in. One that is unknown and not in `left` is a mistake.
  std::optional<std::string> expand(findings& found, const std::string& text,
                                    const text_place& place,
                                    const std::set<std::string>& left = {});

 private:
  struct macro {
    std::string text = {};
    text_place place = {};
    std::optional<std::string> filled = {};  ///< with those inside it filled in
    bool is_literal = false;
    bool is_broken = false;  ///< which was said
  };

  void read_one(section& given, const section::entry& each);
  /// Fills in one macro, once. Null: it is broken, or there is none.
  const std::string* resolve(findings& found, const std::string& name);
  /// Unknown ones stay. Absent: something in it is broken.
  std::optional<std::string> fill(findings& found, const std::string& text,
                                  const text_place& place);
  void say_cycle(findings& found, const std::string& name);

  std::map<std::string, macro> all_;
  std::vector<std::string> path_;  ///< those that are being filled in
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_MACROS_HPP
