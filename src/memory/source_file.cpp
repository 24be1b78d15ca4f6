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
#include "memory/host_claim.hpp"
#include "vocabulary/page.hpp"
#include "vocabulary/round_up.hpp"
#include "vocabulary/text.hpp"

// Linux 5.14; older C libraries do not name it (linux/mman.h).
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace lull::detail {
source_file::source_file(unique_fd file, std::filesystem::path path)
    : file_(std::move(file)), path_(std::move(path)), identity_(look(file_.get())) {
  if (identity_.size == 0) return;
  const std::string same = text("/proc/self/fd/{}", file_.get());
  direct_ = unique_fd(::open(same.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
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

void source_file::choose_way() {
  past_cache_ = identity_.size > claimable_bytes();
}

void source_file::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
  auto* const target = static_cast<std::byte*>(to);
  std::uint64_t done = 0;
  if (past_cache_ && is_cold(offset, bytes)) done = read_past_cache(offset, target, bytes);
  while (done < bytes) {
    const ssize_t got =
        ::pread(file_.get(), target + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("pread", got < 0 ? errno : 0, offset + done);
    done += static_cast<std::uint64_t>(got);
  }
}

/// Reads as much as can be read in whole blocks. @return how much; 0 where that is refused
std::uint64_t source_file::read_past_cache(std::uint64_t offset, std::byte* to,
                                           std::uint64_t bytes) const {
  const auto is_aligned = [](std::uint64_t value) { return value % direct_alignment == 0; };
  if (!is_aligned(offset) || !is_aligned(reinterpret_cast<std::uintptr_t>(to))) return 0;
  std::uint64_t done = 0;
  while (is_aligned(done) && bytes - done >= direct_alignment && !direct_refused_) {
    const std::uint64_t whole = (bytes - done) / direct_alignment * direct_alignment;
    const ssize_t got = ::pread(direct_.get(), to + done, whole, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    // Refused for good: EINVAL for larger blocks than ours, or a file system that cannot after all.
    if (got < 0 && (errno == EINVAL || errno == EOPNOTSUPP)) direct_refused_ = true;
    if (got <= 0) break;  // whoever reads the rest says what is wrong
    done += static_cast<std::uint64_t>(got);
  }
  return done;
}

std::uint64_t source_file::length_of(std::size_t number) const noexcept {
  return round_up(std::min(window_bytes, identity_.size - number * window_bytes), page_bytes());
}

/// Of those that a part of the mapped file touches.
std::uint64_t source_file::cached_pages(std::uint64_t offset, std::uint64_t bytes) const {
  const std::uint64_t begin = offset / page_bytes() * page_bytes();
  std::vector<unsigned char> there((offset + bytes - begin + page_bytes() - 1) / page_bytes());
  if (::mincore(mapped_ + begin, offset + bytes - begin, there.data()) != 0) return 0;
  return static_cast<std::uint64_t>(std::count_if(
      there.begin(), there.end(), [](unsigned char each) { return (each & 1) != 0; }));
}

/// Whether most of a part would have to be read from the disk.
bool source_file::is_cold(std::uint64_t offset, std::uint64_t bytes) const {
  if (!direct_ || direct_refused_ || mapped_ == nullptr || bytes == 0) return false;
  return cached_pages(offset, bytes) < bytes / page_bytes() / 2;
}

std::shared_ptr<const std::byte> source_file::pinned(std::uint64_t offset, const device& by,
                                                     const std::shared_ptr<arena_state>& budget,
                                                     bool may_replace) {
  if (mapped_ == nullptr || !by.supports(capability::read_only_registration)) return nullptr;
  const std::size_t number = offset / window_bytes;
  window& here = *windows_[number];
  const auto use = [&] {
    ++here.users;
    return std::shared_ptr<const std::byte>(mapped_ + offset,
                                            [&here](const std::byte*) { --here.users; });
  };
  const std::lock_guard lock(here.readying);
  if (here.pin.serves(by)) return use();
  let_go(here);
  std::byte* const begin = mapped_ + number * window_bytes;
  const std::uint64_t bytes = length_of(number);
  // What is not there yet is better read than waited for page by page.
  if (cached_pages(number * window_bytes, bytes) != bytes / page_bytes()) {
    budget->note_not_tried("the file is not in the page cache as a whole");
    return nullptr;
  }
  if (!obtain_budget(number, bytes, budget, may_replace)) return nullptr;
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
  return use();
}

/// Makes room in the budget, if need be in place of another window: of the one that was used last,
/// as it is needed again last.
bool source_file::obtain_budget(std::size_t number, std::uint64_t bytes,
                                const std::shared_ptr<arena_state>& budget, bool may_replace) {
  if (budget->count_pinned(bytes)) return true;
  if (!may_replace) return false;
  for (std::size_t before = number; before-- != 0;) {
    window& other = *windows_[before];
    const std::unique_lock lock(other.readying, std::try_to_lock);
    if (!lock || other.users != 0 || other.counted_by != budget) continue;
    let_go(other);
    if (budget->count_pinned(bytes)) return true;
  }
  return false;
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
