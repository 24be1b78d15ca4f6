#include "manifest_check.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <set>

namespace lull::test {
namespace {

/// A scalar that is written without quotes may be a number or a truth; with them it is text.
bool is_plain(const YAML::Node& node) {
  return node.Tag() != "!";
}

bool matches(const YAML::Node& node, const char* pattern) {
  return std::regex_match(node.Scalar(), std::regex(pattern));
}

bool is_whole(const YAML::Node& node) {
  return is_plain(node) && matches(node, "-?[0-9]+");
}

bool is_flag(const YAML::Node& node) {
  return is_plain(node) && matches(node, "true|false");
}

bool is_number_or_truth(const YAML::Node& node) {
  return is_plain(node) && matches(node, R"(-?[0-9]+(\.[0-9]*)?|true|false|yes|no|on|off|null|~|)");
}

bool is_text(const YAML::Node& node) {
  return !is_number_or_truth(node);
}

bool is_name(const YAML::Node& node) {
  constexpr std::size_t longest = 63;
  return is_text(node) && node.Scalar().size() <= longest &&
         matches(node, "[a-z0-9]([-a-z0-9]*[a-z0-9])?");
}

bool is_right(const YAML::Node& node, const std::string& wanted) {
  static const std::map<std::string, std::function<bool(const YAML::Node&)>>* const types =
      new std::map<std::string, std::function<bool(const YAML::Node&)>>{
          {"text", is_text},
          {"name", is_name},
          {"whole", is_whole},
          {"flag", is_flag},
          {"port", [](const YAML::Node& each) { return is_whole(each) || is_name(each); }},
          {"bytes",
           [](const YAML::Node&
                  each) { return matches(each, R"([0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?)"); }},
          {"span", [](const YAML::Node& each) { return matches(each, "([0-9]+(ms|s|m|h))+"); }}};
  if (const auto type = types->find(wanted); type != types->end()) return type->second(node);
  if (wanted.front() == '=') return node.Scalar() == wanted.substr(1);
  const std::string choices = "|" + wanted + "|";
  return choices.find("|" + node.Scalar() + "|") != std::string::npos;
}

class checker {
 public:
  void check(const YAML::Node& node, const YAML::Node& wanted, const std::string& path) {
    if (wanted.IsMap()) return check_map(node, wanted, path);
    if (wanted.IsSequence()) {
      if (!node.IsSequence()) return say(path, "is no list");
      for (std::size_t i = 0; i < node.size(); ++i) {
        check(node[i], wanted[0], path + "[" + std::to_string(i) + "]");
      }
      return;
    }
    if (!node.IsScalar()) return say(path, "is no single value");
    if (!is_right(node, wanted.Scalar())) {
      say(path, "'" + node.Scalar() + "' is not " + wanted.Scalar());
    }
  }
  std::vector<std::string> take() { return std::move(mistakes_); }

 private:
  void check_map(const YAML::Node& node, const YAML::Node& wanted, const std::string& path) {
    if (!node.IsMap()) return say(path, "is no map");
    std::map<std::string, YAML::Node> known;
    for (const auto& each : wanted) {
      std::string name = each.first.Scalar();
      const bool required = name.back() == '!';
      if (required) name.pop_back();
      if (required && !node[name]) say(path, "has no " + name);
      known[name] = each.second;
    }
    std::set<std::string> seen;
    for (const auto& each : node) {
      const std::string name = each.first.Scalar();
      if (!seen.insert(name).second) say(path, "has " + name + " twice");
      auto found = known.find(name);
      if (found == known.end()) found = known.find("*");
      if (found == known.end()) {
        say(path, "has " + name + ", which is not known");
        continue;
      }
      check(each.second, found->second, path + "." + name);
    }
  }
  void say(const std::string& path, const std::string& words) {
    mistakes_.push_back(path + " " + words);
  }

  std::vector<std::string> mistakes_;
};

}  // namespace

std::vector<std::string> manifest_mistakes(const YAML::Node& manifest, const YAML::Node& fields) {
  const std::string kind = manifest["kind"] ? manifest["kind"].Scalar() : "";
  if (!fields[kind]) return {"'" + kind + "' is no known kind"};
  checker made;
  made.check(manifest, fields[kind], kind);
  return made.take();
}

}  // namespace lull::test
