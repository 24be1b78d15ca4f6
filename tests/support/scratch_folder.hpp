#ifndef LULL_TESTS_SUPPORT_SCRATCH_FOLDER_HPP
#define LULL_TESTS_SUPPORT_SCRATCH_FOLDER_HPP

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

namespace lull::test {

/// For small files that are replaced ten thousand times: in memory, where no disk is waited for.
inline std::filesystem::path folder_in_memory() {
  const char* const shared_memory = "/dev/shm";
  if (::access(shared_memory, W_OK | X_OK) == 0) return shared_memory;
  return std::filesystem::temp_directory_path();
}

/// A folder that goes away with it.
class scratch_folder {
 public:
  explicit scratch_folder(
      const std::filesystem::path& inside = std::filesystem::temp_directory_path()) {
    std::string name = (inside / "lull-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), name);
    }
    path_ = name;
  }
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_SCRATCH_FOLDER_HPP
