#include "process/line_protocol.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <new>
#include <optional>
#include <utility>

namespace lull::detail {
namespace {

constexpr int protocol_version = 1;
constexpr std::string_view spaces = " \t\r\n";
/// How much of a refused line is shown.
constexpr std::size_t shown_bytes = 200;

struct refused {
  refusal reason;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// How many bytes the UTF-8 sequence at the front of `text` has; 0 when it is none (RFC 3629: no
/// overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool outside = (lead == 0xED && second > 0x9F) || (lead == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

void append_utf8(std::string& text, unsigned code) {
  const auto put = [&](unsigned byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6U);
    put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12U);
    put(0x80U | (code >> 6U & 0x3FU));
    put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | code >> 18U);
    put(0x80U | (code >> 12U & 0x3FU));
    put(0x80U | (code >> 6U & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
}

/// The value of one member. Numbers keep their text, so that each reader judges the range itself.
struct value {
  enum class kind : std::uint8_t { string, number, literal } type;
  std::string text;
};

/// Reads exactly a flat JSON object (RFC 8259 without nesting). A stack of nested values is what
/// hostile input would grow; the protocol needs none.
class flat_object {
 public:
  explicit flat_object(std::string_view text) : rest_(text) {}

  /// @param member called with each name and value
  template <class Member>
  void read(Member member) {
    expect('{', "the object is not opened");
    if (!take('}')) {
      do {
        skip_space();
        std::string name = read_string("a member's name must be a string");
        expect(':', "a colon is missing after a member's name");
        member(std::move(name), read_value());
      } while (take(','));
      expect('}', "the object is not closed");
    }
    skip_space();
    if (!rest_.empty()) throw refused{"text after the object"};
  }

 private:
  void skip_space() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(spaces), rest_.size()));
  }

  bool take(char wanted) {
    skip_space();
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char wanted, refusal reason) {
    if (!take(wanted)) throw refused{reason};
  }

  char next(refusal reason) {
    if (rest_.empty()) throw refused{reason};
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  value read_value() {
    skip_space();
    if (rest_.starts_with('"')) return {value::kind::string, read_string("")};
    if (rest_.starts_with('{') || rest_.starts_with('[')) throw refused{"nested values"};
    for (const std::string_view literal : {"true", "false", "null"}) {
      if (rest_.starts_with(literal)) {
        rest_.remove_prefix(literal.size());
        return {value::kind::literal, std::string(literal)};
      }
    }
    return {value::kind::number, read_number()};
  }

  std::string read_number() {
    std::size_t at = 0;
    const auto digits = [&] {
      const std::size_t first = at;
      while (at < rest_.size() && is_digit(rest_[at])) ++at;
      if (at == first) throw refused{"a value is no JSON value"};
    };
    const auto is = [&](std::string_view set) {
      return at < rest_.size() && set.find(rest_[at]) != std::string_view::npos;
    };
    if (is("-")) ++at;
    if (is("0")) {
      ++at;
    } else {
      digits();
    }
    if (is(".")) {
      ++at;
      digits();
    }
    if (is("eE")) {
      ++at;
      if (is("+-")) ++at;
      digits();
    }
    std::string text(rest_.substr(0, at));
    rest_.remove_prefix(at);
    return text;
  }

  std::string read_string(refusal no_string) {
    if (!rest_.starts_with('"')) throw refused{no_string};
    rest_.remove_prefix(1);
    std::string text;
    while (true) {
      const char c = next("a string is not closed");
      if (c == '"') return text;
      if (c == '\\') {
        read_escape(text);
      } else if (static_cast<unsigned char>(c) < 0x20) {
        throw refused{"a control character in a string"};
      } else {
        read_character(text, c);
      }
    }
  }

  void read_character(std::string& text, char first) {
    // One byte was taken already; look at the sequence from there.
    const std::string_view from(rest_.data() - 1, rest_.size() + 1);
    const std::size_t length = utf8_length(from);
    if (length == 0) throw refused{"not UTF-8"};
    text.push_back(first);
    text.append(rest_.substr(0, length - 1));
    rest_.remove_prefix(length - 1);
  }

  void read_escape(std::string& text) {
    constexpr std::string_view escapes = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    const char c = next("a string is not closed");
    if (c == 'u') {
      append_utf8(text, read_code_point());
    } else if (const auto at = escapes.find(c); at != std::string_view::npos) {
      text.push_back(meanings[at]);
    } else {
      throw refused{"an unknown escape in a string"};
    }
  }

  unsigned read_code_point() {
    const unsigned first = read_hex();
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first > 0xDBFF || !rest_.starts_with("\\u")) throw refused{"half a surrogate pair"};
    rest_.remove_prefix(2);
    const unsigned second = read_hex();
    if (second < 0xDC00 || second > 0xDFFF) throw refused{"half a surrogate pair"};
    return 0x10000 + ((first - 0xD800) << 10U) + (second - 0xDC00);
  }

  unsigned read_hex() {
    constexpr std::size_t digits = 4;
    unsigned code = 0;
    const std::string_view text = rest_.substr(0, digits);
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), code, 16);
    if (failed != std::errc{} || end != text.data() + digits) {
      throw refused{"an escape without four hexadecimal digits"};
    }
    rest_.remove_prefix(digits);
    return code;
  }

  std::string_view rest_;
};

std::optional<double> to_double(const value& from) {
  double number = 0;
  const char* const end = from.text.data() + from.text.size();
  const auto [stopped, failed] = std::from_chars(from.text.data(), end, number);
  if (from.type != value::kind::number || failed != std::errc{} || stopped != end) return {};
  return number;
}

void set_once(bool& seen) {
  if (std::exchange(seen, true)) throw refused{"a member occurs twice"};
}

process_state to_state(const value& from) {
  using enum process_state;
  if (from.type == value::kind::string) {
    for (const process_state state : {loading, ready, sleeping, awake, stopped}) {
      if (from.text == to_string(state)) return state;
    }
  }
  throw refused{"unknown state"};
}

/// The members of a line as they come.
struct line_members {
  bool has_version = false;
  bool has_state = false;
  bool has_progress = false;
  process_event event;

  void add(const std::string& name, const value& what) {
    if (name == "lull") {
      set_once(has_version);
      if (to_double(what) != protocol_version) throw refused{"another version of the protocol"};
    } else if (name == "state") {
      set_once(has_state);
      event.state = to_state(what);
    } else if (name == "progress") {
      set_once(has_progress);
      event.progress = to_double(what);
      if (!event.progress || *event.progress < 0 || *event.progress > 1) {
        throw refused{"progress is no number from 0 to 1"};
      }
    }
  }
};

}  // namespace

std::variant<process_event, refusal> parse_line(std::string_view line) {
  // What a child that prints something else floods the pipe with: refused without the cost of a
  // throw.
  constexpr refusal no_object = "not a JSON object";
  if (!line.substr(std::min(line.find_first_not_of(spaces), line.size())).starts_with('{')) {
    return no_object;
  }
  try {
    line_members members;
    flat_object(line).read(
        [&](const std::string& name, const value& what) { members.add(name, what); });
    if (!members.has_version) return refusal("no member 'lull' with the version");
    if (!members.has_state) return refusal("no member 'state'");
    return members.event;
  } catch (const refused& why) {
    return why.reason;
  }
}

line_decoder::line_decoder(std::function<void(const process_event&)> on_event,
                           std::function<void(const rejected_line&)> on_rejected)
    : on_event_(std::move(on_event)), on_rejected_(std::move(on_rejected)) {
  line_.reserve(max_line_bytes);
}

void line_decoder::feed(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    take(bytes.substr(0, newline));
    if (newline == std::string_view::npos) return;
    end_line();
    bytes.remove_prefix(newline + 1);
  }
}

void line_decoder::finish() noexcept {
  if (line_bytes_ != 0) reject("the stream ended within a line");
}

void line_decoder::take(std::string_view bytes) noexcept {
  line_bytes_ += bytes.size();
  line_.append(bytes.substr(0, max_line_bytes - line_.size()));
}

void line_decoder::end_line() noexcept {
  // The newline counts too.
  if (line_bytes_ >= max_line_bytes) {
    reject("longer than a line may be");
    return;
  }
  if (line_.find_first_not_of(" \t\r") != std::string::npos) {
    try {
      const auto result = parse_line(line_);
      if (const auto* reason = std::get_if<refusal>(&result)) {
        reject(*reason);
        return;
      }
      on_event_(std::get<process_event>(result));
    } catch (const std::bad_alloc&) {
      reject("there was no memory to read it");
      return;
    }
  }
  line_.clear();
  line_bytes_ = 0;
}

void line_decoder::reject(std::string_view reason) noexcept {
  on_rejected_({reason, std::string_view(line_).substr(0, shown_bytes), line_bytes_});
  line_.clear();
  line_bytes_ = 0;
}

}  // namespace lull::detail
