#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "values.hpp"

namespace lull::serve {
namespace {

bool is_blank(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

class splitter {
 public:
  explicit splitter(std::string_view text) : text_(text) {}

  std::vector<std::string> run() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (is_blank(c)) {
        end_word();
      } else if (c == '\'' || c == '"') {
        take_quoted(c);
      } else if (c == '\\') {
        if (at_ + 1 < text_.size()) ++at_;
        take(text_[at_]);
      } else {
        take(c);
      }
    }
    end_word();
    return std::move(words_);
  }

 private:
  void take(char c) {
    word_ += c;
    in_word_ = true;
  }

  void end_word() {
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }

  /// Between single quotes all is kept as it is; between double ones a backslash keeps what would
  /// mean something.
  void take_quoted(char quote) {
    in_word_ = true;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      const bool escapes = quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size() &&
                           (text_[at_ + 1] == '"' || text_[at_ + 1] == '\\');
      if (escapes) ++at_;
      word_ += text_[at_];
    }
    if (at_ == text_.size()) throw std::invalid_argument("a quote that is not closed");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool in_word_ = false;
  std::string word_;
  std::vector<std::string> words_;
};

}  // namespace

std::string without_comments(std::string_view text) {
  std::string kept;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] == '#') continue;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.ends_with('\\')) {
      line.remove_suffix(1);
      kept.append(line).append(" ");
    } else {
      kept.append(line).append("\n");
    }
  }
  return kept;
}

std::vector<std::string> split_words(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    throw std::invalid_argument("a byte 0, which no argument can have");
  }
  const std::string kept = without_comments(text);
  return splitter(kept).run();
}

}  // namespace lull::serve
