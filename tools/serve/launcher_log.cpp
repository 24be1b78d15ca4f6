#include "launcher_log.hpp"

#include <lull/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

namespace lull::serve {

byte_range parse_range(std::string_view header) {
  constexpr std::string_view unit = "bytes=";
  const auto refuse = [&] {
    throw std::invalid_argument(
        fmt::format("'{}' is no range; they look like bytes=100-199 and bytes=100-", header));
  };
  const auto number = [&](std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (wrong != std::errc{} || end != text.data() + text.size()) refuse();
    return value;
  };
  if (!header.starts_with(unit)) refuse();
  const std::string_view both = header.substr(unit.size());
  const std::size_t dash = both.find('-');
  if (dash == std::string_view::npos) refuse();
  byte_range made;
  made.first = number(both.substr(0, dash));
  if (dash + 1 < both.size()) made.last = number(both.substr(dash + 1));
  if (made.last && *made.last < made.first) refuse();
  return made;
}

launcher_log::launcher_log(const std::filesystem::path& folder, std::uint64_t kept) : kept_(kept) {
  file_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file_ < 0) {  // not every file system has such files
    std::string path = (folder / "log-XXXXXX").string();
    file_ = ::mkostemp(path.data(), O_CLOEXEC);
    if (file_ >= 0) ::unlink(path.c_str());
  }
  if (file_ < 0) {
    throw error(status::io,
                fmt::format("no file for a log in {}: {}", folder.string(), std::strerror(errno)));
  }
}

launcher_log::~launcher_log() {
  ::close(file_);
}

void launcher_log::add(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t count = ::pwrite(file_, text.data(), text.size(), static_cast<off_t>(total_));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    total_ += static_cast<std::uint64_t>(count);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  // In steps, each of which gives back a good part.
  if (total_ - first_ < kept_ + kept_ / 4) return;
  first_ = total_ - kept_;
  ::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(first_));
}

std::string launcher_log::read(const byte_range& what) const {
  if (what.first < first_ || what.first >= total_) return {};
  const std::uint64_t end = what.last ? std::min(*what.last, total_ - 1) + 1 : total_;
  std::string text(
      static_cast<std::size_t>(std::min<std::uint64_t>(end - what.first, answer_bytes)), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t count = ::pread(file_, text.data() + have, text.size() - have,
                                  static_cast<off_t>(what.first + have));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    have += static_cast<std::size_t>(count);
  }
  text.resize(have);
  return text;
}

}  // namespace lull::serve
