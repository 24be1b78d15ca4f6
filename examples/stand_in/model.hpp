#ifndef EXAMPLES_STAND_IN_MODEL_HPP
#define EXAMPLES_STAND_IN_MODEL_HPP

#include <lull/lull.hpp>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/model.hpp"

namespace example {

/// A GGUF model whose tensors are regions on a device, and a stand-in for inference that reads
/// every byte of them.
class model {
 public:
  /// Reads the headers of the model's files. Nothing is on the device yet.
  /// @throws gguf::format_error, gguf::model_error, std::system_error
  model(lull::memory& memory, const lull::device& device, const std::filesystem::path& file);
  // Captured graphs point into it.
  model(const model&) = delete;
  model& operator=(const model&) = delete;

  /// Makes regions with the tag "weights", which are filled from the files, and one of `kv_bytes`
  /// (0: none) with the tag "kv", which is zeroed whenever it comes back. All are discarded: they
  /// are on the device once they are restored. Once.
  /// @throws lull::error; gguf::model_error: a file is not the one whose header was read;
  ///         std::system_error
  void declare(std::uint64_t kv_bytes);

  /// declare(), and all of it onto the device at once, so that files are read while other tensors
  /// are copied.
  /// @param stop ends it, in the middle of a tensor too
  /// @throws as declare(); lull::error: cancelled, or what memory::restore() throws
  void load(std::uint64_t kv_bytes, const lull::stop_view& stop);

  /// Looks whether the files are the ones that were loaded: answers from others would be wrong
  /// ones.
  /// @throws gguf::model_error; std::system_error
  void check_files() const;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return shards_.front().path; }
  [[nodiscard]] std::size_t tensor_count() const noexcept;
  [[nodiscard]] std::uint64_t tensor_bytes() const noexcept;

  /// A number that depends on the prompt and on every byte of the weights: one wrong byte gives
  /// another. Call with the weights on the device (under a lease of the sleeper).
  /// @throws lull::error (not_resident) when they are not
  [[nodiscard]] std::uint64_t digest(std::string_view prompt) const;

  /// Where a recorded digest() finds its prompt and leaves its result.
  struct digest_slot {
    std::string_view prompt;
    std::uint64_t result = 0;
  };
  /// Records digest() as a graph, with a node for each tensor. Whatever the prompt and the
  /// workspace, launching it gives what digest() gives.
  /// @param where read and written by each launch; must outlive the graph
  /// @param workspace of the graph: at least a page; weights pass through it where the CPU cannot
  ///        read them where they are
  void record_digest(lull::host_graph_builder& graph, digest_slot& where,
                     std::span<std::byte> workspace) const;

 private:
  class digester;
  void take_tensor(const lull::region& from, std::span<std::byte> staging, digester& into) const;

  std::vector<gguf::shard> shards_;
  lull::memory& memory_;
  lull::device device_;
  std::vector<lull::region> weights_;
  std::vector<lull::region> kv_;
};

/// The words of an answer, one at a time: the same digest gives the same words.
class word_source {
 public:
  explicit word_source(std::uint64_t digest) : state_(digest) {}
  [[nodiscard]] std::string_view next() noexcept;

 private:
  std::uint64_t state_;
};

}  // namespace example

#endif  // EXAMPLES_STAND_IN_MODEL_HPP
