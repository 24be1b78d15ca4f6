#include "section.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "nearest.hpp"

namespace lull::serve {
section::section(findings& found, const YAML::Node& node, std::string path)
    : found_(&found), path_(std::move(path)), mark_(node.Mark()) {
  if (!node.IsDefined() || node.IsNull()) return;
  if (!node.IsMap()) {
    found_->mistake(mark_, path_, "must be a map, with a key on each line");
    return;
  }
  std::vector<YAML::Node> merged;
  add(node, merged);
}

void section::add(const YAML::Node& node, std::vector<YAML::Node>& merged) {
  const bool is_own = merged.empty();
  merged.push_back(node);
  std::vector<YAML::Node> merges;
  for (const auto& pair : node) {
    if (!pair.first.IsScalar()) {
      found_->mistake(pair.first.Mark(), path_, "a key must be a word");
      continue;
    }
    const std::string& key = pair.first.Scalar();
    if (key == "<<") {
      merges.push_back(pair.second);
      continue;
    }
    const auto known = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const entry& each) { return each.key == key; });
    if (known == entries_.end()) {
      entries_.push_back({.key = key, .key_node = pair.first, .value = pair.second});
    } else if (is_own) {
      found_->mistake(pair.first.Mark(), this->path(key),
                      fmt::format("is there twice, first in line {}; keep one",
                                  known->key_node.Mark().line + 1));
    }
  }
  for (const YAML::Node& merge : merges) {
    const bool is_list = merge.IsSequence();
    const std::vector<YAML::Node> sources =
        is_list ? merge.as<std::vector<YAML::Node>>() : std::vector<YAML::Node>{merge};
    for (const YAML::Node& source : sources) {
      if (!source.IsMap()) {
        found_->mistake(merge.Mark(), this->path("<<"), "must be a map, such as *defaults");
        continue;
      }
      // One that was merged adds nothing; and an anchor may hold itself.
      const bool is_known = std::any_of(merged.begin(), merged.end(),
                                        [&](const YAML::Node& each) { return each.is(source); });
      if (!is_known) add(source, merged);
    }
  }
}

std::string section::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

section::entry* section::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const entry& each) { return each.key == key; });
  if (found == entries_.end()) return nullptr;
  found->taken = true;
  return &*found;
}

bool section::has(std::string_view key) {
  const entry* const found = find(key);
  return found != nullptr && !found->value.IsNull();
}

YAML::Mark section::mark_of(std::string_view key) {
  const entry* const found = find(key);
  return found == nullptr ? mark_ : found->value.Mark();
}

std::optional<YAML::Node> section::node(std::string_view key) {
  const entry* const found = find(key);
  if (found == nullptr || found->value.IsNull()) return std::nullopt;
  return found->value;
}

std::optional<std::string> section::text(std::string_view key) {
  return value(key, [](const std::string& text) { return text; });
}

std::optional<bool> section::flag(std::string_view key) {
  return value(key, parse_flag);
}

std::optional<std::int64_t> section::whole(std::string_view key, std::int64_t least,
                                           std::int64_t most) {
  return value(key, [&](const std::string& text) { return parse_whole(text, least, most); });
}

std::optional<duration> section::span(std::string_view key) {
  return value(key, parse_span);
}

std::optional<duration> section::positive_span(std::string_view key) {
  return value(key, [](const std::string& text) {
    const duration span = parse_span(text);
    if (span == duration::zero()) throw std::invalid_argument("must be more than 0");
    return span;
  });
}

std::optional<std::uint64_t> section::size(std::string_view key) {
  return value(key, parse_size);
}

std::optional<section> section::map(std::string_view key) {
  const std::optional<YAML::Node> given = node(key);
  if (!given) return std::nullopt;
  return section(*found_, *given, path(key));
}

std::vector<YAML::Node> section::list(std::string_view key, bool or_one) {
  const std::optional<YAML::Node> given = node(key);
  if (!given) return {};
  if (given->IsSequence()) return given->as<std::vector<YAML::Node>>();
  if (or_one && given->IsScalar()) return {*given};
  found_->mistake(given->Mark(), path(key), "must be a list, as in [a, b]");
  return {};
}

std::vector<std::string> section::texts(std::string_view key, bool or_one) {
  std::vector<std::string> all;
  for (const YAML::Node& each : list(key, or_one)) {
    if (auto text = found_->text(each, path(key))) all.push_back(std::move(*text));
  }
  return all;
}

std::vector<section::entry> section::all() {
  for (entry& each : entries_) each.taken = true;
  return entries_;
}

void section::mistake(std::string_view key, std::string words) {
  found_->mistake(mark_of(key), path(key), std::move(words));
}

void section::without_effect(std::initializer_list<std::string_view> keys,
                             const std::string& words) {
  for (const std::string_view key : keys) {
    const entry* const there = find(key);
    if (there != nullptr) found_->notice(there->key_node.Mark(), path(key), words);
  }
}

void section::leave(std::string_view beginning) {
  for (entry& each : entries_) each.taken = each.taken || each.key.starts_with(beginning);
}

void section::finish() {
  for (const entry& each : entries_) {
    if (each.taken) continue;
    found_->mistake(each.key_node.Mark(), path(each.key),
                    fmt::format("there is no such key{}", did_you_mean(each.key, known_)));
  }
}

}  // namespace lull::serve
