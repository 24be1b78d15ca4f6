#include "memory/source_file.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "memory/arena.hpp"
#include "vocabulary/round_up.hpp"
#include "vocabulary/text.hpp"

// Linux 5.14; older C libraries do not name it (linux/mman.h).
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace lull::detail {
namespace {

std::uint64_t page_bytes() noexcept {
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

source_file::source_file(unique_fd file, std::filesystem::path path)
    : file_(std::move(file)), path_(std::move(path)), identity_(look(file_.get())) {
  if (identity_.size == 0) return;
  void* const address = ::mmap(nullptr, identity_.size, PROT_READ, MAP_SHARED, file_.get(), 0);
  if (address == MAP_FAILED) return;  // it is read then
  mapped_ = static_cast<std::byte*>(address);
  const std::uint64_t count = (identity_.size + window_bytes - 1) / window_bytes;
  for (std::uint64_t i = 0; i < count; ++i) windows_.push_back(std::make_unique<window>());
}

source_file::~source_file() {
  drop_windows();
  if (mapped_ != nullptr) ::munmap(mapped_, identity_.size);
}

std::string source_file::describe() const {
  return path_.empty() ? text("file descriptor {}", file_.get()) : text("'{}'", path_.string());
}

void source_file::fail(const char* call, int code, std::uint64_t offset) const {
  const std::string words =
      code == 0 ? std::string("the file ends there") : std::generic_category().message(code);
  throw error(status::io, text("{} at offset {}: {} ({})", describe(), offset, words, call),
              vendor_failure{"", call, code, words});
}

source_file::identity source_file::look(int descriptor) const {
  struct stat about {};
  if (::fstat(descriptor, &about) != 0) fail("fstat", errno, 0);
  return {about.st_dev, about.st_ino, static_cast<std::uint64_t>(about.st_size),
          about.st_mtim.tv_sec, about.st_mtim.tv_nsec};
}

void source_file::verify() const {
  const auto expect_same = [this](const identity& now, const char* which) {
    if (now == identity_) return;
    const bool other = now.device != identity_.device || now.inode != identity_.inode;
    const std::string what = other ? "it was replaced by another file"
                             : now.size != identity_.size
                                 ? text("its size was {} bytes and is {}", identity_.size, now.size)
                                 : std::string("it was written to");
    throw error(status::io,
                text("{} is not what it was when it was opened: {}{}", describe(), what, which));
  };
  expect_same(look(file_.get()), "");
  if (path_.empty()) return;
  const unique_fd named(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!named) fail("open", errno, 0);
  expect_same(look(named.get()), " under its name");
}

void source_file::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
  for (std::uint64_t done = 0; done < bytes;) {
    const ssize_t got = ::pread(file_.get(), static_cast<std::byte*>(to) + done, bytes - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("pread", got < 0 ? errno : 0, offset + done);
    done += static_cast<std::uint64_t>(got);
  }
}

std::uint64_t source_file::length_of(std::size_t number) const noexcept {
  return round_up(std::min(window_bytes, identity_.size - number * window_bytes), page_bytes());
}

/// What is not there yet is better read than waited for page by page.
bool source_file::is_cached(std::byte* address, std::uint64_t bytes) const {
  std::vector<unsigned char> there(bytes / page_bytes());
  if (::mincore(address, bytes, there.data()) != 0) return false;
  return std::all_of(there.begin(), there.end(),
                     [](unsigned char each) { return (each & 1) != 0; });
}

const std::byte* source_file::pinned(std::uint64_t offset, const device& by,
                                     const std::shared_ptr<arena_state>& budget) {
  if (mapped_ == nullptr || !by.supports(capability::read_only_registration)) return nullptr;
  const std::size_t number = offset / window_bytes;
  window& here = *windows_[number];
  const std::lock_guard lock(here.readying);
  if (here.pin.serves(by)) return mapped_ + offset;
  let_go(here);
  std::byte* const begin = mapped_ + number * window_bytes;
  const std::uint64_t bytes = length_of(number);
  if (!is_cached(begin, bytes) || !budget->count_pinned(bytes)) return nullptr;
  here.counted_by = budget;
  here.counted_bytes = bytes;
  try {
    // Mapped first: registering alone would fault page by page.
    if (::madvise(begin, bytes, MADV_POPULATE_READ) != 0 && errno != EINVAL) {
      fail("madvise", errno, number * window_bytes);
    }
    here.pin = pinning(by, begin, bytes, host_access::read_only);
  } catch (const error& failure) {
    budget->note_refusal(failure.what());
    let_go(here);
    return nullptr;
  }
  return mapped_ + offset;
}

void source_file::let_go(window& which) noexcept {
  which.pin = {};
  if (which.counted_by) which.counted_by->uncount_pinned(which.counted_bytes);
  which.counted_by.reset();
}

void source_file::drop_windows() noexcept {
  for (const auto& each : windows_) {
    const std::lock_guard lock(each->readying);
    let_go(*each);
  }
}

}  // namespace lull::detail

namespace lull {
namespace {

std::shared_ptr<detail::source_file> open_source(int descriptor, std::filesystem::path path,
                                                 const char* call) {
  detail::unique_fd file(descriptor);
  if (!file) {
    const int code = errno;
    detail::fail_call(code == ENOENT ? status::not_found : status::io, call, code,
                      detail::text("'{}'", path.string()));
  }
  return std::make_shared<detail::source_file>(std::move(file), std::move(path));
}

}  // namespace

file_source::file_source(std::filesystem::path path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  file_ = open_source(descriptor, std::move(path), "open");
}

file_source::file_source(int descriptor)
    : file_(open_source(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0), {}, "fcntl")) {}

const std::filesystem::path& file_source::path() const noexcept {
  return file_->path();
}
std::uint64_t file_source::size_bytes() const noexcept {
  return file_->size_bytes();
}
void file_source::verify() const {
  file_->verify();
}

}  // namespace lull
