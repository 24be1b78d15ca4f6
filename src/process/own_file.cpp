#include "process/own_file.hpp"

#include <lull/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "process/proc_stat.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/text.hpp"
#include "vocabulary/unique_fd.hpp"

namespace lull::detail {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_file(const char* call, const fs::path& path, int code) {
  fail_call(status::io, call, code, text("pid file '{}'", path.string()));
}

void write_all(const unique_fd& file, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t count = ::write(file.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_file("write", path, errno);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace

void make_own_directory(const fs::path& directory) {
  std::error_code failed;
  if (directory.has_parent_path()) fs::create_directories(directory.parent_path(), failed);
  constexpr mode_t owner_only = 0700;
  if (::mkdir(directory.c_str(), owner_only) != 0 && errno != EEXIST) {
    fail_file("mkdir", directory, errno);
  }
}

fs::path write_own_file(const fs::path& directory, const std::string& name,
                        const std::string& text) {
  make_own_directory(directory);
  fs::path path = directory / name;
  const fs::path unfinished = directory / ("." + name + ".tmp");

  ::unlink(unfinished.c_str());  // what a crash left of a process of the same name in another boot
  constexpr mode_t owner_only = 0600;
  const unique_fd file(
      ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, owner_only));
  if (!file) fail_file("open", unfinished, errno);
  try {
    write_all(file, text, unfinished);
    if (::rename(unfinished.c_str(), path.c_str()) != 0) fail_file("rename", path, errno);
  } catch (...) {
    ::unlink(unfinished.c_str());
    throw;
  }
  return path;
}

std::optional<std::string> read_own_file(const fs::path& path, const log_sink& log) {
  const std::string name = path.string();
  const unique_fd file(::open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat what {};
  if (!file || ::fstat(file.get(), &what) != 0) {
    if (errno != ENOENT) log_warning(log, name, std::generic_category().message(errno));
    return {};
  }
  const bool by_others = what.st_uid != ::geteuid() || (what.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if (!S_ISREG(what.st_mode) || by_others) {
    log_warning(log, name, "is no file of this user's alone, and is left alone");
    return {};
  }
  return read_rest(file);
}

std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return text;
}

}  // namespace lull::detail
