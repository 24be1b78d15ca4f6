#ifndef LULL_VOCABULARY_FOLDER_HPP
#define LULL_VOCABULARY_FOLDER_HPP

#include <dirent.h>

#include <cerrno>
#include <string_view>

namespace lull::detail {

/// The names in a directory, one after the other. Not std::filesystem's, which ends the process
/// where there is no memory (libstdc++ 12, _Dir::advance).
class folder {
 public:
  explicit folder(const char* path) noexcept : open_(::opendir(path)), error_(open_ ? 0 : errno) {}
  ~folder() {
    if (open_ != nullptr) ::closedir(open_);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;

  /// The next name, without "." and ".."; empty at the end, or when reading failed. Valid until the
  /// next call.
  [[nodiscard]] std::string_view next() noexcept {
    while (open_ != nullptr) {
      errno = 0;
      const dirent* const entry = ::readdir(open_);  // each thread has a stream of its own
      if (entry == nullptr) {
        error_ = errno;
        break;
      }
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") return name;
    }
    return {};
  }
  /// Why it could not be opened or read to its end; 0: it could.
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  DIR* open_;
  int error_;
};

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_FOLDER_HPP
