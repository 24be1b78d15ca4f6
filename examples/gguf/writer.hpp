#ifndef EXAMPLES_GGUF_WRITER_HPP
#define EXAMPLES_GGUF_WRITER_HPP

#include <cstdint>
#include <filesystem>
#include <functional>

namespace gguf {

/// A model for demonstrations: the tensors of a llama, filled with pseudo-random numbers.
struct model_options {
  std::uint64_t total_bytes = std::uint64_t{1} << 30;  ///< of the file, about; 1 MiB at least
  std::uint64_t seed = 1;
  std::uint32_t blocks = 24;  ///< 1 to 1000
  /// What the header says of attention, from which the size of a context is estimated. Zeros leave
  /// it out.
  std::uint32_t context_length = 0;
  std::uint32_t embedding_length = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
};

/// Writes a valid GGUF file. The file appears whole or not at all. The same options make the same
/// file.
/// @throws std::invalid_argument; std::system_error
void write_model(
    const std::filesystem::path& file, const model_options& options,
    const std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>& progress = {});

}  // namespace gguf

#endif  // EXAMPLES_GGUF_WRITER_HPP
