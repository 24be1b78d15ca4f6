#include "model_name.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace lull::serve {
namespace {

bool is_space(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int digit_of(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& to, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { to += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

/// The next quote or backslash, or the end.
std::size_t end_of_plain(std::string_view text, std::size_t at) noexcept {
  while (at < text.size() && text[at] != '"' && text[at] != '\\') ++at;
  return at;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

/// The value of a parameter, `name="model"`, of a header's value.
std::optional<std::string> parameter(std::string_view value, std::string_view name) {
  for (std::size_t at = value.find(';'); at != std::string_view::npos; at = value.find(';', at)) {
    ++at;
    while (at < value.size() && is_space(value[at])) ++at;
    const std::size_t sign = value.find('=', at);
    if (sign == std::string_view::npos) return {};
    const bool wanted = equal_ignoring_case(value.substr(at, sign - at), name);
    std::string_view rest = value.substr(sign + 1);
    std::string_view text;
    if (rest.starts_with('"')) {
      rest.remove_prefix(1);
      text = rest.substr(0, rest.find('"'));
      at = sign + 2 + text.size();
    } else {
      text = rest.substr(0, rest.find(';'));
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
      at = sign + 1;
    }
    if (wanted) return std::string(text);
  }
  return {};
}

}  // namespace

bool json_model_finder::feed(std::string_view text) {
  for (std::size_t at = 0; at < text.size() && place_ != place::done; ++at) {
    if (!in_string_) {
      step(text[at]);
      continue;
    }
    // Nearly all of a long body is in strings that nobody asks for: pictures, what was said so far.
    if (!keeps_ && escape_ == 0) at = end_of_plain(text, at);
    if (at < text.size()) in_string(text[at]);
  }
  return place_ == place::done;
}

void json_model_finder::in_string(char c) {
  constexpr int digits = 4;
  if (escape_ > 0) {  // of \uXXXX
    const int digit = digit_of(c);
    unit_ = unit_ << 4 | static_cast<std::uint32_t>(std::max(digit, 0));
    if (--escape_ == 0 && keeps_) end_escape();
    return;
  }
  if (escape_ < 0) {
    escape_ = 0;
    constexpr std::string_view letters = "bfnrt";
    constexpr std::string_view meant = "\b\f\n\r\t";
    if (c == 'u') {
      escape_ = digits;
      unit_ = 0;
    } else if (keeps_) {
      const std::size_t which = letters.find(c);
      text_ += which == std::string_view::npos ? c : meant[which];
    }
    return;
  }
  if (c == '\\') {
    escape_ = -1;
  } else if (c == '"') {
    in_string_ = false;
    end_string();
  } else if (keeps_) {
    text_ += c;
  }
}

void json_model_finder::end_escape() {
  constexpr std::uint32_t first_high = 0xD800;
  constexpr std::uint32_t first_low = 0xDC00;
  constexpr std::uint32_t after_low = 0xE000;
  if (unit_ >= first_high && unit_ < first_low) {
    high_ = unit_;
    return;
  }
  std::uint32_t code = unit_;
  if (unit_ >= first_low && unit_ < after_low && high_ != 0) {
    code = 0x10000 + ((high_ - first_high) << 10) + (unit_ - first_low);
  }
  high_ = 0;
  append_utf8(text_, code);
}

void json_model_finder::end_string() {
  if (place_ == place::key) {
    is_model_ = text_ == "model";
    place_ = place::after_key;
  } else if (place_ == place::value && depth_ == 0 && is_model_) {
    model_ = std::move(text_);
    place_ = place::done;
  }
  keeps_ = false;
  text_.clear();
}

void json_model_finder::step(char c) {
  switch (place_) {
    case place::start:
      if (c == '{') {
        place_ = place::before_key;
      } else if (!is_space(c)) {
        place_ = place::done;  // no object
      }
      return;
    case place::before_key:
      if (c == '"') {
        place_ = place::key;
        in_string_ = keeps_ = true;
      } else if (c == '}') {
        place_ = place::done;
      }
      return;
    case place::after_key:
      if (c == ':') place_ = place::before_value;
      return;
    case place::before_value:
      if (is_space(c)) return;
      place_ = place::value;
      if (is_model_ && c != '"') {
        place_ = place::done;  // no string
        return;
      }
      keeps_ = is_model_;
      [[fallthrough]];
    case place::value:
      if (c == '"') {
        in_string_ = true;
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if (c == '}' || c == ']') {
        if (depth_-- == 0) place_ = place::done;
      } else if (c == ',' && depth_ == 0) {
        place_ = place::before_key;
      }
      return;
    case place::key:
    case place::done: return;
  }
}

form_model_finder::form_model_finder(std::string_view content_type) {
  if (const auto boundary = parameter(content_type, "boundary"); boundary && !boundary->empty()) {
    boundary_ = "--" + *boundary;
  }
}

bool form_model_finder::look(std::string_view body) {
  if (boundary_.empty()) return true;
  while (true) {
    const std::size_t at = body.find(boundary_, from_);
    if (at == std::string_view::npos) {
      // It may have begun at the end of what there is.
      if (body.size() > boundary_.size()) from_ = std::max(from_, body.size() - boundary_.size());
      return false;
    }
    const std::size_t headers = at + boundary_.size();
    if (body.substr(headers, 2) == "--") return true;  // the last
    const std::size_t end = body.find("\r\n\r\n", headers);
    constexpr std::size_t most_headers = std::size_t{64} << 10;
    if (end == std::string_view::npos) {
      from_ = at;
      return body.size() - at > most_headers;
    }
    bool wanted = false;
    std::string_view lines = body.substr(headers, end - headers);
    while (!lines.empty()) {
      const std::size_t stop = lines.find("\r\n");
      const std::string_view line = lines.substr(0, stop);
      constexpr std::string_view header = "content-disposition:";
      if (line.size() > header.size() &&
          equal_ignoring_case(line.substr(0, header.size()), header)) {
        wanted = parameter(line, "name") == "model";
      }
      if (stop == std::string_view::npos) break;
      lines.remove_prefix(stop + 2);
    }
    const std::size_t value = end + 4;
    if (!wanted) {
      from_ = value;
      continue;
    }
    const std::size_t stop = body.find("\r\n" + boundary_, value);
    if (stop == std::string_view::npos) {
      from_ = at;
      constexpr std::size_t most_name = 4096;
      return body.size() - value > most_name;
    }
    model_ = std::string(body.substr(value, stop - value));
    return true;
  }
}

std::optional<std::string> decode_url(std::string_view text, bool plus) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '+' && plus) {
      plain += ' ';
    } else if (text[at] != '%') {
      plain += text[at];
    } else {
      const int high = at + 2 < text.size() ? digit_of(text[at + 1]) : -1;
      const int low = at + 2 < text.size() ? digit_of(text[at + 2]) : -1;
      if (high < 0 || low < 0) return {};
      plain += static_cast<char>(high * 16 + low);
      at += 2;
    }
  }
  return plain;
}

std::string plain_path(std::string_view target) {
  const std::string_view raw = target.substr(0, target.find('?'));
  const std::string plain = decode_url(raw, false).value_or(std::string(raw));
  std::vector<std::string_view> parts;
  bool ends_open = false;
  for (std::string_view rest = plain; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    ends_open = part.size() < rest.size();
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
  }
  std::string path;
  for (const std::string_view part : parts) path.append("/").append(part);
  if (ends_open || path.empty()) path += '/';
  return path;
}

std::vector<std::string> query_values(std::string_view target, std::string_view name) {
  std::vector<std::string> values;
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return values;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const std::size_t sign = std::min(pair.find('='), pair.size());
    if (decode_url(pair.substr(0, sign), true) != name) continue;
    const auto value =
        decode_url(sign < pair.size() ? pair.substr(sign + 1) : std::string_view(), true);
    if (value) values.push_back(*value);
  }
  return values;
}

std::optional<std::string> query_value(std::string_view target, std::string_view name) {
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {};
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const std::size_t sign = std::min(pair.find('='), pair.size());
    if (decode_url(pair.substr(0, sign), true) != name) continue;
    return decode_url(sign < pair.size() ? pair.substr(sign + 1) : std::string_view(), true);
  }
  return {};
}

}  // namespace lull::serve
