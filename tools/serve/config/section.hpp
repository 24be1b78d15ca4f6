#ifndef TOOLS_SERVE_CONFIG_SECTION_HPP
#define TOOLS_SERVE_CONFIG_SECTION_HPP

#include <yaml-cpp/yaml.h>

#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "findings.hpp"
#include "values.hpp"

namespace lull::serve {

/// A map of the file, from which values are taken by their keys. It knows where it stands, so that
/// what is wrong is said with its place; what nobody has taken when it is finished is a mistake.
class section {
 public:
  /// A key and its value; the value of a merged map (`<<: *defaults`) is like one of its own.
  struct entry {
    std::string key;
    YAML::Node key_node;
    YAML::Node value;
    bool taken = false;
  };

  /// @param node null or absent: a map without keys. Anything else that is no map is a mistake
  /// @param path "models.llama"; empty for the whole file
  section(findings& found, const YAML::Node& node, std::string path);

  [[nodiscard]] findings& found() const { return *found_; }
  [[nodiscard]] const YAML::Mark& mark() const { return mark_; }
  /// "models.llama.ttl"
  [[nodiscard]] std::string path(std::string_view key) const;

  /// Whether the key is there with a value. Makes it known.
  bool has(std::string_view key);
  /// Where the value of a key is, or the section, if it is not there.
  YAML::Mark mark_of(std::string_view key);

  // Absent where the key is not there, has no value, or has a wrong one, which is a mistake.
  std::optional<YAML::Node> node(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  std::optional<bool> flag(std::string_view key);
  std::optional<std::int64_t> whole(std::string_view key, std::int64_t least, std::int64_t most);
  std::optional<duration> span(std::string_view key);
  /// Not zero.
  std::optional<duration> positive_span(std::string_view key);
  std::optional<std::uint64_t> size(std::string_view key);
  std::optional<section> map(std::string_view key);
  /// A list; one scalar stands for a list of it where `or_one` says so.
  std::vector<YAML::Node> list(std::string_view key, bool or_one = false);
  std::vector<std::string> texts(std::string_view key, bool or_one = false);

  /// What a function of values.hpp makes of a value.
  template <class Parse>
  auto value(std::string_view key, Parse parse) -> std::optional<decltype(parse(std::string{}))> {
    const std::optional<YAML::Node> given = node(key);
    if (!given) return std::nullopt;
    return parsed(*given, path(key), parse);
  }

  /// The same of a value that is at hand.
  template <class Parse>
  auto parsed(const YAML::Node& given, const std::string& where, Parse parse)
      -> std::optional<decltype(parse(std::string{}))> {
    const std::optional<std::string> written = found_->text(given, where);
    if (!written) return std::nullopt;
    try {
      return parse(*written);
    } catch (const std::invalid_argument& wrong) {
      found_->mistake(given.Mark(), where, wrong.what());
      return std::nullopt;
    }
  }

  /// All entries, for maps whose keys are names; they count as taken.
  std::vector<entry> all();
  void mistake(std::string_view key, std::string words);
  /// Keys that are known elsewhere and do nothing here: a notice each.
  void without_effect(std::initializer_list<std::string_view> keys, const std::string& words);
  /// Keys that begin so are nobody's business.
  void leave(std::string_view beginning);
  /// The keys that nobody has asked for are mistakes.
  void finish();

 private:
  /// @param merged what was added before, the section's own map first
  void add(const YAML::Node& node, std::vector<YAML::Node>& merged);
  entry* find(std::string_view key);

  findings* found_;
  std::string path_;
  YAML::Mark mark_;
  std::vector<entry> entries_;
  std::vector<std::string> known_;  ///< all keys that were asked for
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_SECTION_HPP
