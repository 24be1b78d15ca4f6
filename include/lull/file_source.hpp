#ifndef LULL_FILE_SOURCE_HPP
#define LULL_FILE_SOURCE_HPP

/// @file
/// Files that regions are filled from.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

namespace lull {

namespace detail {
class source_file;
struct source_access;
}  // namespace detail

/// An open file whose contents do not change, such as a model's weights. Copies share it.
class LULL_API file_source {
 public:
  /// Opens a file for reading and notes which one it is.
  /// @throws error not_found; io
  explicit file_source(std::filesystem::path path);
  /// The same, of a file that is open for reading. The descriptor is duplicated. What has replaced
  /// the file under its name is not noticed.
  /// @throws error io
  explicit file_source(int descriptor);

  [[nodiscard]] const std::filesystem::path& path() const noexcept;  ///< empty when not known
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;

  /// Whether it is the file that it was when it was opened: device, inode, size and time of the
  /// last change, also of what stands under its name now.
  /// @throws error (io) that says what has changed
  void verify() const;

 private:
  friend struct detail::source_access;
  std::shared_ptr<detail::source_file> file_;
};

/// Bytes of a file that belong at a place of a region.
struct file_piece {
  std::uint64_t region_offset = 0;
  std::uint64_t file_offset = 0;
  std::uint64_t bytes = 0;
};

/// Where the contents of a region are in a file.
struct region_source {
  file_source file;
  /// Empty: all of the region, from the beginning of the file. What no piece covers is not written.
  std::vector<file_piece> pieces = {};
};

}  // namespace lull

#endif  // LULL_FILE_SOURCE_HPP
