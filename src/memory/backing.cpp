#include "memory/backing.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "memory/arena.hpp"
#include "memory/host_claim.hpp"
#include "memory/pages.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_missing(const std::string& where, std::uint64_t needed,
                                std::uint64_t available) {
  fail(status::out_of_host_memory, "backing in {}: needs {}, {} available: {} missing", where,
       format_bytes(needed), format_bytes(available), format_bytes(needed - available));
}

/// Memory of the system that is not pinned: copies go through staging.
class memory_backing final : public backing {
 public:
  explicit memory_backing(std::uint64_t bytes) : claim_("host memory", bytes), pages_(bytes) {}

  [[nodiscard]] bool is_ready(std::uint64_t, const device&) const override { return true; }
  [[nodiscard]] view make_ready(std::uint64_t offset, const device&) override {
    return {pages_.address() + offset, false};
  }

  void write(std::uint64_t offset, const void* from, std::uint64_t bytes) override {
    std::memcpy(pages_.address() + offset, from, bytes);
  }
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const override {
    std::memcpy(to, pages_.address() + offset, bytes);
  }
  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept override {
    pages_.give_back(offset, bytes);
  }
  void complete() noexcept override { claim_ = {}; }
  [[nodiscard]] std::byte* address() const noexcept { return pages_.address(); }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return pages_.size_bytes(); }

 private:
  host_claim claim_;
  pages pages_;
};

/// Slices of an arena, and memory of the system where the arena's budget ended.
class arena_backing final : public backing {
 public:
  arena_backing(std::shared_ptr<arena_state> arena, std::uint64_t bytes, const device& of)
      : arena_(std::move(arena)), stretch_bytes_(arena_->slice_bytes()) {
    auto slices = arena_->take(bytes, of);
    try {
      parts_.resize(slices.size());
      const std::uint64_t covered = std::min(bytes, slices.size() * stretch_bytes_);
      if (covered < bytes) rest_ = std::make_unique<memory_backing>(bytes - covered);
      for (std::uint64_t i = 0; i < parts_.size(); ++i) {
        parts_[i].slice = std::move(slices[i]);
        parts_[i].needed_bytes = std::min(stretch_bytes_, bytes - i * stretch_bytes_);
      }
    } catch (...) {
      for (auto& each : slices) arena_->give(std::move(each));
      throw;
    }
  }
  ~arena_backing() override {
    for (part& each : parts_) {
      if (each.slice) arena_->give(std::move(each.slice));
    }
  }

  [[nodiscard]] std::uint64_t stretch_bytes() const noexcept override { return stretch_bytes_; }

  [[nodiscard]] bool is_ready(std::uint64_t offset, const device& with) const override {
    const std::uint64_t index = offset / stretch_bytes_;
    return index >= parts_.size() || arena_state::is_ready(*parts_[index].slice, with);
  }

  [[nodiscard]] view make_ready(std::uint64_t offset, const device& with) override {
    const std::uint64_t index = offset / stretch_bytes_;
    if (index >= parts_.size()) {
      arena_->note_no_room(rest_->size_bytes());
      return rest_->make_ready(offset - covered(), with);
    }
    arena_slice& slice = *parts_[index].slice;
    const bool pinned = arena_->make_ready(slice, with);
    return {slice.address() + offset % stretch_bytes_, pinned};
  }

  void write(std::uint64_t offset, const void* from, std::uint64_t bytes) override {
    for_each_stretch(offset, bytes, [&](std::byte* here, std::uint64_t done, std::uint64_t size) {
      std::memcpy(here, static_cast<const std::byte*>(from) + done, size);
    });
  }
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const override {
    for_each_stretch(offset, bytes,
                     [&](const std::byte* here, std::uint64_t done, std::uint64_t size) {
                       std::memcpy(static_cast<std::byte*>(to) + done, here, size);
                     });
  }

  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept override {
    // What lies between the parts of two regions is nobody's and was never counted as given back.
    const std::uint64_t rounded =
        (bytes + backing_alignment - 1) / backing_alignment * backing_alignment;
    for (std::uint64_t at = offset; at < offset + rounded;) {
      const std::uint64_t index = at / stretch_bytes_;
      const std::uint64_t end = std::min(offset + rounded, (index + 1) * stretch_bytes_);
      if (index >= parts_.size()) {
        rest_->give_back(at - covered(), offset + rounded - at);
        return;
      }
      part& here = parts_[index];
      here.needed_bytes -= std::min(here.needed_bytes, end - at);
      if (here.needed_bytes == 0 && here.slice) arena_->give(std::move(here.slice));
      at = end;
    }
  }
  void complete() noexcept override {
    if (rest_) rest_->complete();
  }

 private:
  struct part {
    std::unique_ptr<arena_slice> slice;
    std::uint64_t needed_bytes = 0;
  };

  [[nodiscard]] std::uint64_t covered() const noexcept { return parts_.size() * stretch_bytes_; }

  template <class Work>
  void for_each_stretch(std::uint64_t offset, std::uint64_t bytes, Work work) const {
    for (std::uint64_t done = 0; done < bytes;) {
      const std::uint64_t at = offset + done;
      const std::uint64_t index = at / stretch_bytes_;
      std::uint64_t size = bytes - done;
      std::byte* here = nullptr;
      if (index < parts_.size()) {
        size = std::min(size, (index + 1) * stretch_bytes_ - at);
        here = parts_[index].slice->address() + at % stretch_bytes_;
      } else {
        here = rest_->address() + (at - covered());
      }
      work(here, done, size);
      done += size;
    }
  }

  std::shared_ptr<arena_state> arena_;
  std::uint64_t stretch_bytes_;
  std::vector<part> parts_;
  std::unique_ptr<memory_backing> rest_;
};

/// An open file without a name, closed with the object.
class unnamed_file {
 public:
  unnamed_file(int descriptor, std::string what)
      : descriptor_(descriptor), what_(std::move(what)) {}
  ~unnamed_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  unnamed_file(unnamed_file&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), what_(std::move(other.what_)) {}
  unnamed_file& operator=(unnamed_file&&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] const std::string& what() const noexcept { return what_; }

  [[noreturn]] void fail(const char* call, int code = errno) const {
    const bool full = code == ENOSPC || code == EDQUOT || code == ENOMEM || code == EFBIG;
    fail_call(full ? status::out_of_host_memory : status::io, call, code,
              text("backing in {}", what_));
  }

 private:
  int descriptor_;
  std::string what_;
};

class file_backing final : public backing {
 public:
  file_backing(unnamed_file file, host_claim claim)
      : file_(std::move(file)), claim_(std::move(claim)) {}

  [[nodiscard]] bool is_ready(std::uint64_t, const device&) const override { return true; }
  [[nodiscard]] view make_ready(std::uint64_t, const device&) override { return {}; }

  void write(std::uint64_t offset, const void* from, std::uint64_t bytes) override {
    move_all(offset, bytes, "pwrite", [&](std::uint64_t done, off_t at) {
      return ::pwrite(file_.descriptor(), static_cast<const std::byte*>(from) + done, bytes - done,
                      at);
    });
  }

  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const override {
    move_all(offset, bytes, "pread", [&](std::uint64_t done, off_t at) {
      return ::pread(file_.descriptor(), static_cast<std::byte*>(to) + done, bytes - done, at);
    });
  }

  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept override {
    // Best effort: where holes cannot be punched the space returns when the file is closed.
    ::fallocate(file_.descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(offset), static_cast<off_t>(bytes));
  }
  void complete() noexcept override { claim_ = {}; }

 private:
  /// The kernel moves at most 2 GiB a call and may move less.
  template <class Move>
  void move_all(std::uint64_t offset, std::uint64_t bytes, const char* call, Move move) const {
    for (std::uint64_t done = 0; done < bytes;) {
      const ssize_t moved = move(done, static_cast<off_t>(offset + done));
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0) file_.fail(call);
      if (moved == 0) file_.fail(call, EIO);
      done += static_cast<std::uint64_t>(moved);
    }
  }

  unnamed_file file_;
  host_claim claim_;
};

/// Beyond the limit of this process the kernel would end it by a signal instead of refusing.
void expect_size_allowed(const unnamed_file& file, std::uint64_t bytes) {
  rlimit most{};
  if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && bytes > most.rlim_cur) file.fail("fallocate", EFBIG);
}

unnamed_file open_memfd(std::uint64_t bytes) {
  unnamed_file file(::memfd_create("lull", MFD_CLOEXEC), "a memory file");
  if (file.descriptor() < 0) file.fail("memfd_create");
  expect_size_allowed(file, bytes);
  if (::ftruncate(file.descriptor(), static_cast<off_t>(bytes)) != 0) file.fail("ftruncate");
  return file;
}

unnamed_file open_unnamed(const fs::path& path) {
  constexpr int common = O_RDWR | O_CLOEXEC;
  constexpr mode_t owner_only = 0600;
  std::error_code failed;
  const fs::path directory = fs::is_directory(path, failed) ? path : fs::path{};
  const std::string what = text("'{}'", path.string());

  if (!directory.empty()) {
    const int nameless = ::open(directory.c_str(), common | O_TMPFILE, owner_only);
    // EISDIR: a kernel, EOPNOTSUPP: a file system without O_TMPFILE (open(2)).
    if (nameless >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) {
      unnamed_file file(nameless, what);
      if (nameless < 0) file.fail("open");
      return file;
    }
    std::string name = directory / "lull-XXXXXX";
    unnamed_file file(::mkostemp(name.data(), O_CLOEXEC), what);
    if (file.descriptor() < 0) file.fail("mkostemp");
    ::unlink(name.c_str());
    return file;
  }
  unnamed_file file(::open(path.c_str(), common | O_CREAT | O_EXCL, owner_only), what);
  if (file.descriptor() < 0) file.fail("open");
  ::unlink(path.c_str());
  return file;
}

/// Files of these file systems are host memory, and count against the limits of control groups.
bool is_in_memory(const unnamed_file& file) {
  struct statfs about {};
  if (::fstatfs(file.descriptor(), &about) != 0) return false;
  return about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC;
}

void obtain_disk_space(const unnamed_file& file, std::uint64_t bytes) {
  expect_size_allowed(file, bytes);
  int failed = 0;
  do {
    failed = ::fallocate(file.descriptor(), 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (failed == EINTR);
  if (failed == 0) return;

  struct statvfs space {};
  const bool space_known = ::fstatvfs(file.descriptor(), &space) == 0;
  const std::uint64_t available = std::uint64_t{space.f_bavail} * space.f_frsize;
  if (space_known && bytes > available) throw_missing(file.what(), bytes, available);
  // A file system that cannot set space aside: the look at its free space must do.
  if (failed != EOPNOTSUPP) file.fail("fallocate", failed);
}

}  // namespace

std::shared_ptr<backing> backing::obtain(const backing_store& store, std::uint64_t bytes,
                                         const device& of,
                                         const std::shared_ptr<arena_state>& arena) {
  switch (store.type()) {
    case backing_store::kind::host_memory:
      if (arena) return std::make_shared<arena_backing>(arena, bytes, of);
      return std::make_shared<memory_backing>(bytes);
    case backing_store::kind::memfd: {
      host_claim claim("a memory file", bytes);
      return std::make_shared<file_backing>(open_memfd(bytes), std::move(claim));
    }
    case backing_store::kind::file: {
      unnamed_file file = open_unnamed(store.path());
      host_claim claim;
      if (is_in_memory(file)) claim = host_claim(file.what(), bytes);
      obtain_disk_space(file, bytes);
      return std::make_shared<file_backing>(std::move(file), std::move(claim));
    }
  }
  throw error(status::invalid_argument, "unknown kind of backing store");
}

}  // namespace lull::detail
