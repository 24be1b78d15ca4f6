#ifndef LULL_VOCABULARY_TEXT_HPP
#define LULL_VOCABULARY_TEXT_HPP

#include <lull/error.hpp>

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace lull::detail {

/// One value to be written into a pattern, with its type erased, so that formatting is compiled
/// once and not in every file that makes a sentence. Refers to what it was made from.
class text_argument {
 public:
  template <std::signed_integral T>
  text_argument(T value) noexcept : kind_(kind::signed_number), signed_(value) {}
  template <std::unsigned_integral T>
  text_argument(T value) noexcept : kind_(kind::unsigned_number), unsigned_(value) {}
  text_argument(bool value) noexcept : kind_(kind::words), words_(value ? "true" : "false") {}
  text_argument(char value) noexcept : kind_(kind::character), character_(value) {}
  text_argument(double value) noexcept : kind_(kind::floating), floating_(value) {}
  template <std::convertible_to<std::string_view> T>
  text_argument(const T& value) noexcept : kind_(kind::words), words_(value) {}

  void append_to(std::string& result) const;

 private:
  enum class kind { signed_number, unsigned_number, character, floating, words };
  kind kind_;
  union {
    std::int64_t signed_;
    std::uint64_t unsigned_;
    char character_;
    double floating_;
    std::string_view words_;
  };
};

/// The number of "{}" in a pattern.
constexpr std::size_t count_places(std::string_view pattern) noexcept {
  std::size_t places = 0;
  for (auto at = pattern.find("{}"); at != pattern.npos; at = pattern.find("{}", at + 2)) ++places;
  return places;
}

/// A pattern with as many "{}" as there are arguments; another number does not compile.
template <class... Arguments>
class text_pattern {
 public:
  template <std::convertible_to<std::string_view> T>
  consteval text_pattern(const T& pattern) : words_(pattern) {
    if (count_places(words_) != sizeof...(Arguments)) throw "as many {} as there are arguments";
  }
  [[nodiscard]] constexpr std::string_view words() const noexcept { return words_; }

 private:
  std::string_view words_;
};

std::string fill_pattern(std::string_view pattern, std::span<const text_argument> arguments);

/// Writes each argument in place of a "{}". Everything else in the pattern stands for itself.
template <class... Arguments>
std::string text(text_pattern<std::type_identity_t<Arguments>...> pattern,
                 const Arguments&... arguments) {
  // One more than needed, as an array cannot have no elements.
  const std::array<text_argument, sizeof...(Arguments) + 1> list{text_argument(arguments)..., 0};
  return fill_pattern(pattern.words(), std::span(list).first(sizeof...(Arguments)));
}

/// Throws lull::error with the filled pattern as its message.
template <class... Arguments>
[[noreturn]] void fail(status code, text_pattern<std::type_identity_t<Arguments>...> pattern,
                       const Arguments&... arguments) {
  throw error(code, text<Arguments...>(pattern, arguments...));
}

/// Throws lull::error for a call of the operating system that failed: what it was about, the
/// system's words and the call.
/// @param code errno
[[noreturn]] void fail_call(status kind, const char* call, int code, const std::string& what);

/// 0x1f40.
std::string hex(std::uint64_t value);
std::string hex(const void* address);
/// With that many digits after the point, in every locale.
std::string fixed(double value, int digits);

/// The items with a separator between each two.
template <class Range>
std::string join(const Range& items, std::string_view separator) {
  std::string result;
  bool first = true;
  for (const auto& item : items) {
    if (!first) result += separator;
    first = false;
    text_argument(item).append_to(result);
  }
  return result;
}

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_TEXT_HPP
