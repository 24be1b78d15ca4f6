#ifndef EXAMPLES_GGUF_READER_HPP
#define EXAMPLES_GGUF_READER_HPP

/// @file
/// Reads the header of a GGUF file, version 2 or 3, little endian: metadata and the table of
/// tensors. Source of the format: ggml's docs/gguf.md; both versions have the same layout.

#include <cstdint>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "gguf/types.hpp"

namespace gguf {

/// What is wrong with a file.
enum class defect {
  bad_magic,
  bad_version,
  truncated,   ///< ends within the header
  bad_count,   ///< more entries than the file can hold
  bad_string,  ///< longer than the rest of the file, or than the format allows
  bad_value,   ///< metadata of an unknown type, or out of its range
  duplicate_key,
  duplicate_tensor,
  bad_shape,  ///< dimensions, or an element count that overflows
  bad_type,   ///< unknown tensor type, or rows that are no whole blocks
  misaligned_tensor,
  tensor_outside_file,
  overlapping_tensors,
};

/// Where in the file, and what would be right.
class format_error : public std::runtime_error {
 public:
  format_error(defect what, std::uint64_t offset, const std::string& reason);

  [[nodiscard]] defect what_is_wrong() const noexcept { return defect_; }
  /// The byte in the file at which the fault was seen.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

 private:
  defect defect_;
  std::uint64_t offset_;
};

struct tensor {
  std::string name;
  tensor_type type{};
  std::vector<std::uint64_t>
      dimensions;            ///< up to 4, the first the length of a row; none: a scalar
  std::uint64_t offset = 0;  ///< of its first byte in the file
  std::uint64_t size_bytes = 0;
};

/// A value of the metadata that is no array.
using value = std::variant<std::uint64_t, std::int64_t, double, bool, std::string>;

struct model_header {
  std::uint32_t version = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t alignment = 32;   ///< of tensors in the file
  std::uint64_t data_offset = 0;  ///< where the tensors begin
  std::map<std::string, value, std::less<>> metadata;
  /// Arrays of up to 1024 whole numbers, none of them negative: what differs from layer to layer.
  /// Other arrays are checked and left out.
  std::map<std::string, std::vector<std::uint64_t>, std::less<>> lists;
  std::vector<tensor> tensors;  ///< in the order of the file's table

  [[nodiscard]] std::uint64_t tensor_bytes() const noexcept;
};

class file;

/// Reads and checks the header; the tensors' data is not read.
/// @throws format_error; std::system_error when the file cannot be read
model_header read_header(const file& from);
model_header read_header(const std::filesystem::path& path);

}  // namespace gguf

#endif  // EXAMPLES_GGUF_READER_HPP
