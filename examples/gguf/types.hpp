#ifndef EXAMPLES_GGUF_TYPES_HPP
#define EXAMPLES_GGUF_TYPES_HPP

#include <cstdint>
#include <optional>
#include <string_view>

namespace gguf {

/// How a tensor type lays out its elements: in blocks of so many elements and bytes.
struct tensor_type {
  std::uint32_t id;
  std::string_view name;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

/// The type with this number in a GGUF file. Nothing for numbers that are unknown or retired.
std::optional<tensor_type> find_type(std::uint32_t id) noexcept;

inline constexpr std::uint32_t type_f32 = 0;
inline constexpr std::uint32_t type_f16 = 1;

}  // namespace gguf

#endif  // EXAMPLES_GGUF_TYPES_HPP
