#include "log_book.hpp"

#include <utility>

namespace lull::serve {

void log_book::add(const std::string& source, std::string_view text) {
  std::string& kept = kept_[source];
  kept.append(text);
  if (kept.size() > 2 * kept_bytes) {
    const std::size_t line = kept.find('\n', kept.size() - kept_bytes);
    kept.erase(0, line == std::string::npos ? kept.size() - kept_bytes : line + 1);
  }
  const auto readers = readers_;  // one may leave while it is told
  for (const auto& [number, tell] : readers) tell(source, text);
}

std::string log_book::tail(const std::string& source) const {
  const auto found = kept_.find(source);
  if (found == kept_.end()) return {};
  const std::string& kept = found->second;
  return kept.size() <= kept_bytes ? kept : kept.substr(kept.size() - kept_bytes);
}

std::string log_book::last_lines(const std::string& source, std::size_t count) const {
  constexpr std::size_t most = 2000;
  std::string text = tail(source);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::size_t from = text.size();
  while (count-- > 0 && from > 0) {
    const std::size_t line = text.rfind('\n', from - 1);
    from = line == std::string::npos ? 0 : line;
  }
  if (from < text.size() && text[from] == '\n') ++from;
  text.erase(0, from);
  if (text.size() > most) text.erase(0, text.size() - most);
  return text;
}

std::uint64_t log_book::listen(reader who) {
  const std::uint64_t number = next_++;
  readers_.emplace(number, std::move(who));
  return number;
}

}  // namespace lull::serve
