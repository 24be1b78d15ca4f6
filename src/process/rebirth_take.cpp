// The beginning of an image: what the one before left, and what a replacement changed.

#include <lull/rebirth.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "process/image.hpp"
#include "process/rebirth_record.hpp"
#include "vocabulary/immortal.hpp"
#include "vocabulary/text.hpp"
#include "vocabulary/unique_fd.hpp"

namespace lull {
namespace detail {

image& image::current() {
  static immortal<image> one;
  return one.get();
}

}  // namespace detail

namespace {

using detail::image;
using detail::rebirth_record;
using detail::unique_fd;

constexpr int signals_in_record = 64;

[[noreturn]] void fail_read(const char* call) {
  detail::fail_call(status::io, call, errno, "what the image before this one left");
}

std::uint64_t blocked_signals() {
  sigset_t mask;
  ::sigemptyset(&mask);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  std::uint64_t bits = 0;
  for (int number = 1; number <= signals_in_record; ++number) {
    if (::sigismember(&mask, number) == 1) bits |= std::uint64_t{1} << (number - 1);
  }
  return bits;
}

void block_only(std::uint64_t bits) {
  sigset_t mask;
  ::sigemptyset(&mask);
  for (int number = 1; number <= signals_in_record; ++number) {
    if ((bits >> (number - 1) & 1) != 0) ::sigaddset(&mask, number);
  }
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

std::string process_name() {
  std::array<char, 17> name{};  // 16 with the end
  ::prctl(PR_GET_NAME, name.data());
  return name.data();
}

detail::beginning look_at_beginning() {
  detail::beginning seen{blocked_signals(), process_name(), 0, ::getppid()};
  ::prctl(PR_GET_PDEATHSIG, &seen.death_signal);
  return seen;
}

/// Makes it as it was when the first image began.
void put_back(const detail::beginning& first) {
  ::prctl(PR_SET_NAME, first.name.c_str());
  if (first.death_signal != 0) {
    ::prctl(PR_SET_PDEATHSIG, first.death_signal);
    // The parent may have ended while nobody would have been told.
    if (::getppid() != first.parent) ::kill(::getpid(), first.death_signal);
  }
  block_only(first.signals);
}

/// The memory file that the variable names; nothing where there is none, or what has the number is
/// something else: a program that was started by one that did not take the variable away.
unique_fd open_handover() {
  const char* const text = std::getenv(detail::rebirth_variable);
  if (text == nullptr) return {};
  const std::string_view digits(text);
  int number = -1;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = failed == std::errc{} && end == digits.data() + digits.size();
  ::unsetenv(detail::rebirth_variable);
  constexpr int sealed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  if (!whole || number < 0) return {};
  const int seals = ::fcntl(number, F_GET_SEALS);
  return seals >= 0 && (seals & sealed) == sealed ? unique_fd(number) : unique_fd();
}

std::string read_all(const unique_fd& file) {
  struct stat seen {};
  if (::fstat(file.get(), &seen) != 0) fail_read("fstat");
  std::string bytes(static_cast<std::size_t>(seen.st_size), '\0');
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t got =
        ::pread(file.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail_read("pread");
    at += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace

std::optional<reborn> take_rebirth() {
  image& here = image::current();
  const std::lock_guard lock(here.mutex);
  if (std::exchange(here.begun, true)) return std::nullopt;
  here.first = look_at_beginning();
  const unique_fd file = open_handover();
  if (!file) return std::nullopt;
  rebirth_record record = detail::parse_rebirth_record(read_all(file));
  if (record.pid != ::getpid()) return std::nullopt;  // it was left for the parent of this one

  here.rebirths = record.left.rebirths;
  here.first = record.begun;
  for (const auto& [name, number] : record.left.descriptors) {
    const int flags = ::fcntl(number, F_GETFD);
    if (flags >= 0 && number > STDERR_FILENO) ::fcntl(number, F_SETFD, flags | FD_CLOEXEC);
  }
  put_back(record.begun);
  return std::move(record.left);
}

}  // namespace lull
