#ifndef EXAMPLES_GGUF_MODEL_HPP
#define EXAMPLES_GGUF_MODEL_HPP

/// @file
/// A model as a whole: one GGUF file, or the shards that one was split into.

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "gguf/file.hpp"
#include "gguf/reader.hpp"

namespace gguf {

/// The files are valid, and not the model that was asked for.
class model_error : public std::runtime_error {
 public:
  using runtime_error::runtime_error;
};

/// One file of a model.
struct shard {
  std::filesystem::path path;
  model_header header;
  file_identity identity;
  std::uint64_t header_hash = 0;  ///< of all bytes before the tensors
};

/// Reads the headers of all files of a model, the first one first.
/// @param path of the only file, or of the first shard; the others lie beside it, named as
///        llama.cpp names them: model-00001-of-00003.gguf
/// @throws model_error: another shard than the first, one that is missing or does not belong to the
///         others, a tensor that two of them have, no tensors at all; format_error and
///         std::system_error, of a shard
std::vector<shard> read_model(const std::filesystem::path& path);

/// Looks whether a file is still the one that was read: the same inode, time and size, and the same
/// header. Reads the header's bytes.
/// @throws model_error that says what is different; std::system_error
void check_unchanged(const shard& before);

/// As check_unchanged, of a file that is open, without a look at its contents.
/// @throws model_error
void check_unchanged(const shard& before, const file& now);

}  // namespace gguf

#endif  // EXAMPLES_GGUF_MODEL_HPP
