#include "memory/backing.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "vocabulary/system_memory.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_errno(const char* call, const std::string& what, int code) {
  const bool full = code == ENOSPC || code == EDQUOT || code == ENOMEM || code == EFBIG;
  const std::string words = std::generic_category().message(code);
  throw error(full ? status::out_of_host_memory : status::io,
              text("{}: {} ({})", what, words, call), vendor_failure{"", call, code, words});
}

[[noreturn]] void throw_missing(const std::string& where, std::uint64_t needed,
                                std::uint64_t available) {
  fail(status::out_of_host_memory, "backing in {}: needs {}, {} available: {} missing", where,
       format_bytes(needed), format_bytes(available), format_bytes(needed - available));
}

/// The kernel promises more memory than there is and kills later; so look before asking.
void expect_system_memory(const std::string& where, std::uint64_t bytes) {
  const auto system = read_system_memory();
  if (system && bytes > system->available_bytes)
    throw_missing(where, bytes, system->available_bytes);
}

class memory_backing final : public backing {
 public:
  explicit memory_backing(std::uint64_t bytes) : bytes_(bytes) {
    expect_system_memory("host memory", bytes);
    void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
      throw_errno("mmap", text("backing of {} in host memory", format_bytes(bytes)), errno);
    }
    ::madvise(pages, bytes, MADV_HUGEPAGE);  // best effort
    pages_ = static_cast<std::byte*>(pages);
  }

  ~memory_backing() override { ::munmap(pages_, bytes_); }

  [[nodiscard]] std::byte* address(std::uint64_t offset) const noexcept override {
    return pages_ + offset;
  }

  void write(std::uint64_t offset, const void* from, std::uint64_t bytes) override {
    std::memcpy(pages_ + offset, from, bytes);
  }

  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const override {
    std::memcpy(to, pages_ + offset, bytes);
  }

  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept override {
    ::madvise(pages_ + offset, bytes, MADV_DONTNEED);
  }

 private:
  std::byte* pages_;
  std::uint64_t bytes_;
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
    throw_errno(call, text("backing in {}", what_), code);
  }

 private:
  int descriptor_;
  std::string what_;
};

class file_backing final : public backing {
 public:
  explicit file_backing(unnamed_file file) : file_(std::move(file)) {}

  [[nodiscard]] std::byte* address(std::uint64_t) const noexcept override { return nullptr; }

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
};

unnamed_file open_memfd(std::uint64_t bytes) {
  expect_system_memory("a memory file", bytes);
  unnamed_file file(::memfd_create("lull", MFD_CLOEXEC), "a memory file");
  if (file.descriptor() < 0) file.fail("memfd_create");
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

void obtain_disk_space(const unnamed_file& file, std::uint64_t bytes) {
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

std::shared_ptr<backing> backing::obtain(const backing_store& store, std::uint64_t bytes) {
  switch (store.type()) {
    case backing_store::kind::host_memory: return std::make_shared<memory_backing>(bytes);
    case backing_store::kind::memfd: return std::make_shared<file_backing>(open_memfd(bytes));
    case backing_store::kind::file: {
      unnamed_file file = open_unnamed(store.path());
      obtain_disk_space(file, bytes);
      return std::make_shared<file_backing>(std::move(file));
    }
  }
  throw error(status::invalid_argument, "unknown kind of backing store");
}

}  // namespace lull::detail
