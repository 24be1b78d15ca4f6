#ifndef TOOLS_SERVE_LOG_BOOK_HPP
#define TOOLS_SERVE_LOG_BOOK_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace lull::serve {

/// What children, and the router itself, said last; and who wants to hear what they say next. On
/// the router's thread.
class log_book {
 public:
  using reader = std::function<void(const std::string& source, std::string_view text)>;

  /// @param source a model's name; empty: the router
  void add(const std::string& source, std::string_view text);
  /// The last of it, at most `kept_bytes`.
  [[nodiscard]] std::string tail(const std::string& source) const;
  /// The last lines of it in one piece, for an error.
  [[nodiscard]] std::string last_lines(const std::string& source, std::size_t count) const;

  /// @return for forget()
  std::uint64_t listen(reader who);
  void forget(std::uint64_t who) { readers_.erase(who); }

 private:
  static constexpr std::size_t kept_bytes = std::size_t{32} << 10;
  std::map<std::string, std::string> kept_;
  std::map<std::uint64_t, reader> readers_;
  std::uint64_t next_ = 1;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LOG_BOOK_HPP
