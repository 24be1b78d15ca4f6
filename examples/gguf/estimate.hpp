#ifndef EXAMPLES_GGUF_ESTIMATE_HPP
#define EXAMPLES_GGUF_ESTIMATE_HPP

/// @file
/// What a model will take in memory, from its header alone: before it was ever loaded.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/model.hpp"
#include "gguf/reader.hpp"

namespace gguf {

/// A device that layers are placed on, and its part of them.
struct device_share {
  std::string device;
  double share = 1;  ///< against the others; above 0
};

/// How a model is going to be used. What it says is named as llama.cpp's options are.
struct model_use {
  /// `--ctx-size`: tokens of all slots together. 0: what the model was trained for.
  std::uint64_t context_tokens = 0;
  std::uint32_t slots = 1;              ///< `--parallel`; at least 1
  std::uint32_t key_type = type_f16;    ///< `--cache-type-k`, a number as in find_type()
  std::uint32_t value_type = type_f16;  ///< `--cache-type-v`
  /// `--tensor-split`. None: all stays in the memory of the host.
  std::vector<device_share> devices = {};
  /// `--gpu-layers`: how many of the last layers go to the devices, the output among them. Absent:
  /// all.
  std::optional<std::uint32_t> device_layers = {};
  /// `--n-cpu-moe`: of so many of the first layers the experts stay in the memory of the host.
  std::uint32_t host_expert_layers = 0;
  /// What a device takes besides, on which there is anything: the vendor's context, buffers for
  /// computing. Is not in the header, and differs by vendor and engine.
  std::uint64_t per_device_bytes = std::uint64_t{512} << 20;
};

/// On one device.
struct memory_share {
  std::uint64_t weight_bytes = 0;
  std::uint64_t context_bytes = 0;  ///< keys and values
  std::uint64_t other_bytes = 0;    ///< model_use::per_device_bytes

  [[nodiscard]] std::uint64_t total_bytes() const noexcept {
    return weight_bytes + context_bytes + other_bytes;
  }
};

inline constexpr std::string_view host_name = "HOST";

struct memory_estimate {
  std::map<std::string, memory_share> devices;  ///< by name; the host's is host_name
  std::uint64_t context_tokens = 0;             ///< of all slots, as they are rounded
  /// Whether the header says what a context takes. Where not, context_bytes is 0 everywhere.
  bool context_known = false;

  [[nodiscard]] std::uint64_t total_bytes() const noexcept;
};

/// Estimates what a model takes.
///
/// - **Weights**: the size of each tensor in the file, where its layer is. The last `device_layers`
///   of the layers 0 to n are on the devices, where n is the output, in the order of the devices
///   and by their shares: the i-th of k of them is on the first device for which the shares up to
///   it are more than i / k of all. The embedding of tokens is in the memory of the host; where the
///   model has no output of its own it is with the output too.
/// - **Context**: tokens x heads x (length of a key x bytes of its type + length of a value x bytes
///   of its type), for each layer, where the layer is. `tokens` is the context divided among the
///   slots, rounded up to 256 for each, times the slots. `heads` is `attention.head_count_kv` (of
///   the layer, if it is a list; else `attention.head_count`), lengths are `attention.key_length`
///   and `attention.value_length`, or `embedding_length / attention.head_count`.
/// - **Other**: `per_device_bytes` on each device with any of these.
///
/// Layers and their places are llama.cpp's (load_tensors of its llama-model.cpp, 2026), and so is
/// the rounding of contexts. It is more than what comes of it where layers look back over a window
/// only, or keys and values are kept compressed (`attention.kv_lora_rank`), and less by the state
/// of recurrent layers, which are small.
/// @throws model_error: no slots, a share that is not above 0, an unknown type, no block_count
///         where there are devices, lengths that are no whole blocks of the type, a size that
///         overflows
[[nodiscard]] memory_estimate estimate(const model_header& header, const model_use& use);
/// Of all shards together.
[[nodiscard]] memory_estimate estimate(const std::vector<shard>& model, const model_use& use);

}  // namespace gguf

#endif  // EXAMPLES_GGUF_ESTIMATE_HPP
