#ifndef EXAMPLES_GGUF_FILE_HPP
#define EXAMPLES_GGUF_FILE_HPP

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <system_error>

namespace gguf {

/// What tells a file from one that has taken its place, and from itself written to.
struct file_identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t modified_ns = 0;  ///< since the epoch

  friend bool operator==(const file_identity&, const file_identity&) = default;
};

/// A regular file that is open for reading.
class file {
 public:
  /// @throws std::system_error that names the file
  explicit file(const std::filesystem::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), path_(path) {
    if (descriptor_ < 0) fail(errno);
    struct stat facts {};
    int code = ::fstat(descriptor_, &facts) == 0 ? 0 : errno;
    if (code == 0 && !S_ISREG(facts.st_mode)) code = EINVAL;
    if (code != 0) {
      ::close(descriptor_);
      fail(code);
    }
    constexpr std::int64_t second_ns = 1'000'000'000;
    identity_ = {.device = facts.st_dev,
                 .inode = facts.st_ino,
                 .size_bytes = static_cast<std::uint64_t>(facts.st_size),
                 .modified_ns = facts.st_mtim.tv_sec * second_ns + facts.st_mtim.tv_nsec};
  }
  ~file() { ::close(descriptor_); }
  file(const file&) = delete;
  file& operator=(const file&) = delete;

  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return identity_.size_bytes; }
  /// As it was when the file was opened.
  [[nodiscard]] const file_identity& identity() const noexcept { return identity_; }

  /// Reads all of `bytes` at `offset`.
  /// @throws std::system_error; ENODATA when the file ends before
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
    for (std::uint64_t done = 0; done < bytes;) {
      const ssize_t got = ::pread(descriptor_, static_cast<std::byte*>(to) + done, bytes - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail(got == 0 ? ENODATA : errno);
      done += static_cast<std::uint64_t>(got);
    }
  }

 private:
  [[noreturn]] void fail(int code) const {
    throw std::system_error(code, std::generic_category(), path_.string());
  }

  int descriptor_;
  std::filesystem::path path_;
  file_identity identity_;
};

}  // namespace gguf

#endif  // EXAMPLES_GGUF_FILE_HPP
