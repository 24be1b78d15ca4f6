#include "gguf/reader.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <unordered_set>

#include <fmt/format.h>

#include "gguf/file.hpp"

namespace gguf {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are read as they lie in the file");

// The limits of the format and of ggml (docs/gguf.md; GGML_MAX_DIMS and GGML_MAX_NAME in ggml.h).
constexpr std::uint32_t oldest_version = 2;
constexpr std::uint32_t newest_version = 3;
constexpr std::uint64_t longest_key = 65535;
constexpr std::uint64_t longest_tensor_name = 64;
constexpr std::uint32_t most_dimensions = 4;
// Deeper than any writer goes; bounds the recursion on a hostile file.
constexpr int deepest_array = 8;
// More than any model has layers.
constexpr std::uint64_t longest_list = 1024;

// The least that one entry takes, with an empty name: a count above what the file can hold is
// refused before anything is allocated for it.
constexpr std::uint64_t least_metadata_bytes = 8 + 4 + 1;
constexpr std::uint64_t least_tensor_bytes = 8 + 4 + 4 + 8;

enum class value_type : std::uint32_t {
  uint8,
  int8,
  uint16,
  int16,
  uint32,
  int32,
  float32,
  boolean,
  string,
  array,
  uint64,
  int64,
  float64,
};

/// The header as a stream of values, none of which reaches beyond the end of the file.
class cursor {
 public:
  explicit cursor(const file& from) : file_(from) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return file_.size_bytes() - offset_; }

  template <class Value>
  Value read(const char* what) {
    Value result{};
    read_bytes(&result, sizeof result, what);
    return result;
  }

  std::string read_string(std::uint64_t longest, const char* what) {
    const std::uint64_t at = offset_;
    const auto length = read<std::uint64_t>(what);
    if (length > longest || length > left()) {
      throw format_error(
          defect::bad_string, at,
          fmt::format("{} of {} bytes; {} bytes are left in the file, and at most {} "
                      "are allowed",
                      what, length, left(), longest));
    }
    std::string text(length, '\0');
    read_bytes(text.data(), length, what);
    return text;
  }

  void skip(std::uint64_t bytes, const char* what) {
    expect(bytes, what);
    offset_ += bytes;
  }

 private:
  void expect(std::uint64_t bytes, const char* what) const {
    if (bytes > left()) {
      throw format_error(
          defect::truncated, offset_,
          fmt::format("the file ends within {}: {} bytes wanted, {} left", what, bytes, left()));
    }
  }

  void read_bytes(void* to, std::uint64_t bytes, const char* what) {
    expect(bytes, what);
    auto* out = static_cast<std::byte*>(to);
    for (std::uint64_t done = 0; done < bytes;) {
      if (offset_ < window_at_ || offset_ >= window_at_ + window_.size()) refill_window();
      const std::uint64_t in_window = offset_ - window_at_;
      const std::uint64_t part = std::min(bytes - done, window_.size() - in_window);
      std::memcpy(out + done, window_.data() + in_window, part);
      done += part;
      offset_ += part;
    }
  }

  void refill_window() {
    constexpr std::uint64_t window_bytes = std::uint64_t{64} << 10;
    window_.resize(std::min(window_bytes, left()));
    window_at_ = offset_;
    file_.read(window_at_, window_.data(), window_.size());
  }

  const file& file_;
  std::uint64_t offset_ = 0;
  std::vector<std::byte> window_;
  std::uint64_t window_at_ = 0;
};

/// The size of a value of a fixed size; nothing for strings, arrays and unknown types.
std::optional<std::uint64_t> fixed_size(value_type type) {
  switch (type) {
    case value_type::uint8:
    case value_type::int8:
    case value_type::boolean: return 1;
    case value_type::uint16:
    case value_type::int16: return 2;
    case value_type::uint32:
    case value_type::int32:
    case value_type::float32: return 4;
    case value_type::uint64:
    case value_type::int64:
    case value_type::float64: return 8;
    case value_type::string:
    case value_type::array: return std::nullopt;
  }
  return std::nullopt;
}

/// A whole number that is not negative. Nothing for other types, and for numbers that are.
std::optional<std::uint64_t> read_count_of(cursor& in, value_type type) {
  const char* const what = "a number in an array";
  const auto positive = [](std::int64_t number) {
    return number < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(number));
  };
  switch (type) {
    case value_type::uint8: return in.read<std::uint8_t>(what);
    case value_type::int8: return positive(in.read<std::int8_t>(what));
    case value_type::uint16: return in.read<std::uint16_t>(what);
    case value_type::int16: return positive(in.read<std::int16_t>(what));
    case value_type::uint32: return in.read<std::uint32_t>(what);
    case value_type::int32: return positive(in.read<std::int32_t>(what));
    case value_type::uint64: return in.read<std::uint64_t>(what);
    case value_type::int64: return positive(in.read<std::int64_t>(what));
    default: return std::nullopt;
  }
}

bool is_whole_number(value_type type) {
  return fixed_size(type) && type != value_type::float32 && type != value_type::float64 &&
         type != value_type::boolean;
}

std::optional<std::vector<std::uint64_t>> read_list(cursor& in, value_type type,
                                                    std::uint64_t count) {
  std::vector<std::uint64_t> list;
  bool whole = true;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto number = read_count_of(in, type);
    whole &= number.has_value();
    list.push_back(number.value_or(0));
  }
  return whole ? std::optional(std::move(list)) : std::nullopt;
}

/// @return the numbers of a short list of numbers; nothing for other arrays, which are checked
std::optional<std::vector<std::uint64_t>> read_array(cursor& in, int depth) {
  const std::uint64_t at = in.offset();
  const auto type = static_cast<value_type>(in.read<std::uint32_t>("the element type of an array"));
  const auto count = in.read<std::uint64_t>("the length of an array");
  const std::optional<std::uint64_t> size = fixed_size(type);
  if (!size && type != value_type::string && type != value_type::array) {
    throw format_error(defect::bad_value, at,
                       fmt::format("array of unknown type {}", static_cast<std::uint32_t>(type)));
  }
  // A string takes 8 bytes at least, an array 12.
  const std::uint64_t least = size.value_or(type == value_type::string ? 8 : 12);
  if (count > in.left() / least) {
    throw format_error(
        defect::bad_count, at,
        fmt::format("array of {} elements; {} bytes are left in the file", count, in.left()));
  }
  if (is_whole_number(type) && count <= longest_list) return read_list(in, type, count);
  if (size) {
    in.skip(count * *size, "an array");
    return std::nullopt;
  }
  if (type == value_type::array && depth == deepest_array) {
    throw format_error(defect::bad_value, at,
                       fmt::format("arrays nested deeper than {}", deepest_array));
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    if (type == value_type::array) {
      read_array(in, depth + 1);
    } else {
      in.read_string(std::numeric_limits<std::uint64_t>::max(), "a string in an array");
    }
  }
  return std::nullopt;
}

value read_value(cursor& in, std::uint32_t type) {
  const char* const what = "a value";
  switch (static_cast<value_type>(type)) {
    case value_type::uint8: return std::uint64_t{in.read<std::uint8_t>(what)};
    case value_type::int8: return std::int64_t{in.read<std::int8_t>(what)};
    case value_type::uint16: return std::uint64_t{in.read<std::uint16_t>(what)};
    case value_type::int16: return std::int64_t{in.read<std::int16_t>(what)};
    case value_type::uint32: return std::uint64_t{in.read<std::uint32_t>(what)};
    case value_type::int32: return std::int64_t{in.read<std::int32_t>(what)};
    case value_type::uint64: return in.read<std::uint64_t>(what);
    case value_type::int64: return in.read<std::int64_t>(what);
    case value_type::float32: return double{in.read<float>(what)};
    case value_type::float64: return in.read<double>(what);
    case value_type::boolean: return in.read<std::uint8_t>(what) != 0;
    case value_type::string:
      return in.read_string(std::numeric_limits<std::uint64_t>::max(), "a string");
    case value_type::array: break;
  }
  throw format_error(defect::bad_value, in.offset() - sizeof type,
                     fmt::format("value of unknown type {}", type));
}

/// The version.
std::uint32_t read_start(cursor& in) {
  const auto magic = in.read<std::uint32_t>("the magic number");
  if (magic != 0x46554747) {  // "GGUF"
    throw format_error(defect::bad_magic, 0,
                       fmt::format("not a GGUF file: it starts with {:#010x}", magic));
  }
  const auto version = in.read<std::uint32_t>("the version");
  if (version >= oldest_version && version <= newest_version) return version;
  throw format_error(defect::bad_version, 4,
                     (version & 0xffff) == 0
                         ? std::string("the file is big endian; only little endian can be read")
                         : fmt::format("GGUF version {}; versions {} to {} can be read", version,
                                       oldest_version, newest_version));
}

std::uint64_t read_count(cursor& in, std::uint64_t least_bytes, const char* what) {
  const std::uint64_t at = in.offset();
  const auto count = in.read<std::uint64_t>(what);
  if (count > in.left() / least_bytes) {
    throw format_error(
        defect::bad_count, at,
        fmt::format("{} is {}; {} bytes are left in the file", what, count, in.left()));
  }
  return count;
}

void read_metadata(cursor& in, std::uint64_t count, model_header& header) {
  std::unordered_set<std::string> keys;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = in.offset();
    const std::string key = in.read_string(longest_key, "a metadata key");
    if (!keys.insert(key).second) {
      throw format_error(defect::duplicate_key, at,
                         fmt::format("metadata key '{}' is there twice", key));
    }
    const std::uint64_t value_at = in.offset();
    const auto type = in.read<std::uint32_t>("the type of a value");
    if (static_cast<value_type>(type) == value_type::array && key != "general.alignment") {
      if (auto list = read_array(in, 0)) header.lists.emplace(key, std::move(*list));
      continue;
    }
    value read = read_value(in, type);
    if (key == "general.alignment") {
      const auto* const alignment = std::get_if<std::uint64_t>(&read);
      constexpr std::uint64_t largest = 1 << 20;
      if (alignment == nullptr || !std::has_single_bit(*alignment) || *alignment > largest) {
        throw format_error(
            defect::bad_value, value_at,
            fmt::format("general.alignment must be a power of two up to {}", largest));
      }
      header.alignment = *alignment;
    }
    header.metadata.emplace(key, std::move(read));
  }
}

/// The bytes of a tensor of these dimensions.
std::uint64_t size_of(const tensor& what, std::uint64_t at) {
  std::uint64_t elements = 1;
  for (const std::uint64_t dimension : what.dimensions) {
    const auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (dimension == 0 || dimension > most / elements) {
      throw format_error(defect::bad_shape, at,
                         fmt::format("tensor '{}' has a dimension of {}", what.name, dimension));
    }
    elements *= dimension;
  }
  const std::uint64_t row = what.dimensions.empty() ? 1 : what.dimensions.front();
  if (row % what.type.block_elements != 0) {
    throw format_error(
        defect::bad_type, at,
        fmt::format("tensor '{}': rows of {} elements are no whole blocks of {} ({})", what.name,
                    row, what.type.block_elements, what.type.name));
  }
  const std::uint64_t blocks = elements / what.type.block_elements;
  if (blocks > std::numeric_limits<std::uint64_t>::max() / what.type.block_bytes) {
    throw format_error(defect::bad_shape, at, fmt::format("tensor '{}' is too large", what.name));
  }
  return blocks * what.type.block_bytes;
}

tensor read_tensor(cursor& in, const model_header& header) {
  tensor result;
  result.name = in.read_string(longest_tensor_name, "a tensor name");
  const std::uint64_t shape_at = in.offset();
  const auto dimensions = in.read<std::uint32_t>("the number of dimensions");
  if (dimensions > most_dimensions) {
    throw format_error(defect::bad_shape, shape_at,
                       fmt::format("tensor '{}' has {} dimensions; up to {} are allowed",
                                   result.name, dimensions, most_dimensions));
  }
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    result.dimensions.push_back(in.read<std::uint64_t>("a dimension"));
  }
  const std::uint64_t type_at = in.offset();
  const auto type = in.read<std::uint32_t>("a tensor type");
  const auto known = find_type(type);
  if (!known) {
    throw format_error(defect::bad_type, type_at,
                       fmt::format("tensor '{}' has unknown type {}", result.name, type));
  }
  result.type = *known;
  const std::uint64_t offset_at = in.offset();
  result.offset = in.read<std::uint64_t>("a tensor offset");
  if (result.offset % header.alignment != 0) {
    throw format_error(defect::misaligned_tensor, offset_at,
                       fmt::format("tensor '{}' is at {}, which is no multiple of the alignment {}",
                                   result.name, result.offset, header.alignment));
  }
  result.size_bytes = size_of(result, shape_at);
  return result;
}

/// Makes offsets absolute, and checks that every tensor lies in the file.
void place_tensors(model_header& header, const std::vector<std::uint64_t>& described_at) {
  for (std::size_t i = 0; i < header.tensors.size(); ++i) {
    tensor& each = header.tensors[i];
    const std::uint64_t room =
        header.file_bytes > header.data_offset ? header.file_bytes - header.data_offset : 0;
    if (each.offset > room || each.size_bytes > room - each.offset) {
      throw format_error(
          defect::tensor_outside_file, described_at[i],
          fmt::format("tensor '{}' has {} bytes at {} of the data section, which has "
                      "{} bytes",
                      each.name, each.size_bytes, each.offset, room));
    }
    each.offset += header.data_offset;
  }
}

void check_overlap(const model_header& header, const std::vector<std::uint64_t>& described_at) {
  std::vector<std::size_t> order(header.tensors.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return header.tensors[a].offset < header.tensors[b].offset;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const tensor& before = header.tensors[order[i - 1]];
    const tensor& after = header.tensors[order[i]];
    if (after.offset - before.offset < before.size_bytes) {
      throw format_error(defect::overlapping_tensors, described_at[order[i]],
                         fmt::format("tensors '{}' and '{}' overlap", before.name, after.name));
    }
  }
}

}  // namespace

format_error::format_error(defect what, std::uint64_t offset, const std::string& reason)
    : std::runtime_error(fmt::format("at byte {}: {}", offset, reason)),
      defect_(what),
      offset_(offset) {}

std::uint64_t model_header::tensor_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const tensor& each : tensors) bytes += each.size_bytes;
  return bytes;
}

model_header read_header(const std::filesystem::path& path) {
  return read_header(file(path));
}

model_header read_header(const file& from) {
  cursor in(from);
  model_header header;
  header.file_bytes = from.size_bytes();
  header.version = read_start(in);
  const std::uint64_t tensors = read_count(in, least_tensor_bytes, "the number of tensors");
  const std::uint64_t metadata =
      read_count(in, least_metadata_bytes, "the number of metadata entries");
  read_metadata(in, metadata, header);

  std::unordered_set<std::string> names;
  std::vector<std::uint64_t> described_at;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    described_at.push_back(in.offset());
    header.tensors.push_back(read_tensor(in, header));
    if (!names.insert(header.tensors.back().name).second) {
      throw format_error(defect::duplicate_tensor, described_at.back(),
                         fmt::format("tensor '{}' is there twice", header.tensors.back().name));
    }
  }
  header.data_offset = (in.offset() + header.alignment - 1) / header.alignment * header.alignment;
  place_tensors(header, described_at);
  check_overlap(header, described_at);
  return header;
}

}  // namespace gguf
