#include "budget/estimates.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "vocabulary/text.hpp"
#include "vocabulary/unique_fd.hpp"

namespace lull::detail {
namespace {

constexpr std::string_view header = "lull-estimates 1\n";
constexpr std::string_view footer = "end\n";

std::string escaped(std::string_view name) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (const char letter : name) {
    const auto code = static_cast<unsigned char>(letter);
    if (code > 0x20 && code < 0x7f && letter != '%') {
      result += letter;
    } else {
      result += '%';
      result += digits[code >> 4U];
      result += digits[code & 15U];
    }
  }
  return result;
}

std::optional<std::string> unescaped(std::string_view word) {
  std::string result;
  while (!word.empty()) {
    if (word.front() != '%') {
      result += word.front();
      word.remove_prefix(1);
      continue;
    }
    unsigned code = 0;
    if (word.size() < 3) return {};
    const char* const end = word.data() + 3;
    if (std::from_chars(word.data() + 1, end, code, 16).ptr != end) return {};
    result += static_cast<char>(code);
    word.remove_prefix(3);
  }
  return result;
}

[[noreturn]] void fail_file(const char* call, const std::string& path, int code) {
  fail_call(status::io, call, code, text("estimates file '{}'", path));
}

/// Up to `until`, which is taken off as well.
std::optional<std::string_view> take(std::string_view& text, char until) {
  const std::size_t end = text.find(until);
  if (end == std::string_view::npos) return {};
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end + 1);
  return word;
}

}  // namespace

std::string to_text(const load_estimates& all) {
  std::string result{header};
  for (const auto& [model, needs] : all) {
    for (const auto& [device, bytes] : needs) {
      result += text("{} {} {}\n", escaped(model), escaped(device), bytes);
    }
  }
  return result += footer;
}

std::optional<load_estimates> parse_estimates(std::string_view text) {
  if (!text.starts_with(header) || !text.ends_with(footer)) return {};
  text.remove_prefix(header.size());
  text.remove_suffix(footer.size());
  load_estimates all;
  while (!text.empty()) {
    auto line = take(text, '\n');
    if (!line) return {};
    const auto first = take(*line, ' ');
    const auto second = take(*line, ' ');
    if (!first || !second) return {};
    const auto model = unescaped(*first);
    const auto device = unescaped(*second);
    std::uint64_t bytes = 0;
    const char* const end = line->data() + line->size();
    const auto [stopped, failed] = std::from_chars(line->data(), end, bytes);
    if (!model || !device || stopped != end || failed != std::errc{}) return {};
    all[*model][*device] = bytes;
  }
  return all;
}

load_estimates read_estimates(const std::string& path) {
  constexpr std::size_t most_bytes = std::size_t{16} << 20;  // a line for each of 100000 models
  // Not to wait for somebody to write into a pipe.
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file && errno == ENOENT) return {};
  if (!file) fail_file("open", path, errno);
  std::string contents;
  std::array<char, 4096> part{};
  while (true) {
    const ssize_t count = ::read(file.get(), part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_file("read", path, errno);
    if (count == 0) break;
    if (contents.size() > most_bytes) fail(status::io, "estimates file '{}' never ends", path);
    contents.append(part.data(), static_cast<std::size_t>(count));
  }
  auto all = parse_estimates(contents);
  if (!all) fail(status::io, "estimates file '{}' is not whole", path);
  return std::move(*all);
}

void write_estimates(const std::string& path, const load_estimates& all) {
  const std::string unfinished = text("{}.{}.tmp", path, ::getpid());
  constexpr mode_t mode = 0644;
  const unique_fd file(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!file) fail_file("open", unfinished, errno);
  try {
    const std::string contents = to_text(all);
    std::string_view rest = contents;
    while (!rest.empty()) {
      const ssize_t count = ::write(file.get(), rest.data(), rest.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_file("write", unfinished, errno);
      rest.remove_prefix(static_cast<std::size_t>(count));
    }
    // Or a power failure could leave the new name with nothing behind it.
    if (::fsync(file.get()) != 0) fail_file("fsync", unfinished, errno);
    if (::rename(unfinished.c_str(), path.c_str()) != 0) fail_file("rename", path, errno);
  } catch (...) {
    ::unlink(unfinished.c_str());
    throw;
  }
}

}  // namespace lull::detail
