#include "macros.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "nearest.hpp"

namespace lull::serve {
namespace {

constexpr std::size_t longest_text = std::size_t{64} << 10;  // they double where one holds two
constexpr std::size_t longest_name = 63;
constexpr std::size_t deepest = 100;
constexpr std::array<std::string_view, 3> reserved{"PORT", "MODEL_ID", "PID"};

bool fits_name(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= longest_name &&
         std::all_of(name.begin(), name.end(), fits_name);
}

struct reference {
  std::size_t begin;
  std::size_t end;
  std::string name;
};

/// The next `${NAME}` from a place on. What looks otherwise is left to whoever runs the command.
std::optional<reference> next_reference(const std::string& text, std::size_t from) {
  while (true) {
    const std::size_t begin = text.find("${", from);
    if (begin == std::string::npos) return std::nullopt;
    std::size_t end = begin + 2;
    while (end < text.size() && fits_name(text[end])) ++end;
    std::string name = text.substr(begin + 2, end - begin - 2);
    if (end < text.size() && text[end] == '}' && is_name(name)) {
      return reference{begin, end + 1, std::move(name)};
    }
    from = end;
  }
}

}  // namespace

void macros::read(section given) {
  for (const section::entry& each : given.all()) read_one(given, each);
  for (auto& [name, each] : all_) {
    if (!each.is_literal) each.filled.reset();  // it may hold one that is new
  }
  for (const auto& [name, each] : all_) resolve(given.found(), name);
}

void macros::read_one(section& given, const section::entry& each) {
  const std::string key = given.path(each.key);
  if (!is_name(each.key)) {
    given.found().mistake(
        each.key_node.Mark(), key,
        fmt::format("a macro's name has letters, digits, _ and -, at most {}", longest_name));
  } else if (std::find(reserved.begin(), reserved.end(), each.key) != reserved.end()) {
    given.found().mistake(each.key_node.Mark(), key,
                          "the router itself fills this one in; choose another name");
  } else if (auto text = given.found().text(each.value, key)) {
    all_[each.key] = {.text = std::move(*text), .place = {each.value.Mark(), key}};
  }
}

void macros::define(const std::string& name, std::string text) {
  all_[name] = {.filled = std::move(text), .is_literal = true};
}

const std::string* macros::resolve(findings& found, const std::string& name) {
  const auto there = all_.find(name);
  if (there == all_.end()) return nullptr;
  macro& each = there->second;
  if (each.is_broken) return nullptr;
  if (each.filled) return &*each.filled;
  if (std::find(path_.begin(), path_.end(), name) != path_.end()) {
    say_cycle(found, name);
    return nullptr;
  }
  path_.push_back(name);
  each.filled = fill(found, each.text, each.place);
  path_.pop_back();
  each.is_broken = !each.filled;
  return each.is_broken ? nullptr : &*each.filled;
}

void macros::say_cycle(findings& found, const std::string& name) {
  std::vector<std::string> cycle(std::find(path_.begin(), path_.end(), name), path_.end());
  // At the one that comes first in the file, wherever the cycle was entered.
  const auto is_before = [&](const std::string& a, const std::string& b) {
    return all_[a].place.at.pos < all_[b].place.at.pos;
  };
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end(), is_before), cycle.end());
  const text_place& first = all_[cycle.front()].place;
  cycle.push_back(cycle.front());
  found.mistake(
      first.at, first.key,
      fmt::format("a cycle of macros: {}; one must do without the next", fmt::join(cycle, " -> ")));
}

std::optional<std::string> macros::fill(findings& found, const std::string& text,
                                        const text_place& place) {
  if (path_.size() > deepest) {
    found.mistake(place.at, place.key, fmt::format("macros within macros, {} deep", deepest));
    return std::nullopt;
  }
  std::string filled;
  std::size_t at = 0;
  bool is_broken = false;
  while (const auto next = next_reference(text, at)) {
    filled.append(text, at, next->begin - at);
    at = next->end;
    const std::string* const inner = resolve(found, next->name);
    if (inner != nullptr) {
      filled += *inner;
    } else if (all_.count(next->name) != 0) {
      is_broken = true;
    } else {
      filled.append(text, next->begin, next->end - next->begin);
    }
    if (filled.size() > longest_text || text.size() > longest_text) {
      found.mistake(
          place.at, place.key,
          fmt::format("with its macros filled in, longer than {} KiB", longest_text >> 10));
      return std::nullopt;
    }
  }
  if (is_broken) return std::nullopt;
  return filled + text.substr(at);
}

std::optional<std::string> macros::expand(findings& found, const std::string& text,
                                          const text_place& place,
                                          const std::set<std::string>& left) {
  std::optional<std::string> filled = fill(found, text, place);
  if (!filled) return std::nullopt;
  std::vector<std::string> known(left.begin(), left.end());
  for (const auto& [name, each] : all_) known.push_back(name);
  bool is_right = true;
  std::size_t at = 0;
  while (const auto next = next_reference(*filled, at)) {
    at = next->end;
    if (left.count(next->name) != 0) continue;
    is_right = false;
    found.mistake(
        place.at, place.key,
        fmt::format("there is no macro '{}'{}", next->name, did_you_mean(next->name, known)));
  }
  return is_right ? filled : std::nullopt;
}

}  // namespace lull::serve
