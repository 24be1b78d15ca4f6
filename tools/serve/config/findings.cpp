#include "findings.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace lull::serve {
namespace {

std::optional<std::string> of_this_process(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string kind(const YAML::Node& node) {
  if (node.IsMap()) return "a map";
  return node.IsSequence() ? "a list" : "nothing";
}

}  // namespace

std::string remark::text() const {
  std::string where = file;
  if (line > 0) where += fmt::format(":{}:{}", line, column);
  return key.empty() ? fmt::format("{}: {}", where, words)
                     : fmt::format("{}: {}: {}", where, key, words);
}

findings::findings(std::string file, environment variables)
    : file_(std::move(file)), variables_(variables ? std::move(variables) : of_this_process) {}

remark findings::make(const YAML::Mark& at, std::string key, std::string words) const {
  return {.file = file_,
          .line = at.line + 1,  // that of nowhere is -1
          .column = at.column + 1,
          .key = std::move(key),
          .words = std::move(words)};
}

void findings::mistake(const YAML::Mark& at, std::string key, std::string words) {
  mistakes_.push_back(make(at, std::move(key), std::move(words)));
}

void findings::notice(const YAML::Mark& at, std::string key, std::string words) {
  notices_.push_back(make(at, std::move(key), std::move(words)));
}

std::optional<std::string> findings::text(const YAML::Node& node, const std::string& key) {
  if (node.IsNull()) return "";
  if (!node.IsScalar()) {
    mistake(node.Mark(), key, fmt::format("is {}, and must be one value", kind(node)));
    return std::nullopt;
  }
  constexpr std::string_view opening = "${env.";
  const std::string& written = node.Scalar();
  std::string filled;
  std::size_t at = 0;
  while (true) {
    const std::size_t start = written.find(opening, at);
    const std::size_t end = start == std::string::npos ? start : written.find('}', start);
    if (end == std::string::npos) return filled + written.substr(at);
    const std::size_t name_at = start + opening.size();
    const std::string name = written.substr(name_at, end - name_at);
    const std::optional<std::string> value = variables_(name);
    if (!value) {
      mistake(node.Mark(), key, fmt::format("there is no variable '{}' in the environment", name));
      return std::nullopt;
    }
    filled += written.substr(at, start - at) + *value;
    at = end + 1;
  }
}

std::vector<remark> findings::in_order(std::vector<remark> all) {
  std::stable_sort(all.begin(), all.end(), [](const remark& a, const remark& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  // A place that is read for every model, through an anchor, is wrong once.
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace lull::serve
