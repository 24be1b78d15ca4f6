#include "gguf/estimate.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace gguf {
namespace {

constexpr std::uint64_t context_step = 256;  // tokens; llama_context of llama.cpp pads to them

[[noreturn]] void fail(std::string words) {
  throw model_error(std::move(words));
}

std::uint64_t product(std::uint64_t a, std::uint64_t b, const char* what) {
  if (a != 0 && b > std::numeric_limits<std::uint64_t>::max() / a) {
    fail(fmt::format("{} overflow: {} times {}", what, a, b));
  }
  return a * b;
}

void add(std::uint64_t& sum, std::uint64_t bytes, const char* what) {
  if (bytes > std::numeric_limits<std::uint64_t>::max() - sum)
    fail(fmt::format("{} overflow", what));
  sum += bytes;
}

tensor_type type_of(std::uint32_t id) {
  const auto type = find_type(id);
  if (!type) fail(fmt::format("there is no tensor type {}", id));
  return *type;
}

/// What the metadata say of the architecture.
class metadata_view {
 public:
  explicit metadata_view(const model_header& header) : header_(header) {
    const auto found = header.metadata.find("general.architecture");
    if (found == header.metadata.end()) return;
    if (const auto* const name = std::get_if<std::string>(&found->second)) prefix_ = *name + '.';
  }

  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key) const {
    const auto found = header_.metadata.find(prefix_ + std::string(key));
    if (found == header_.metadata.end()) return std::nullopt;
    if (const auto* const count = std::get_if<std::uint64_t>(&found->second)) return *count;
    const auto* const count = std::get_if<std::int64_t>(&found->second);
    if (count == nullptr || *count < 0) return std::nullopt;
    return static_cast<std::uint64_t>(*count);
  }

  /// Of one layer, where it may differ from layer to layer.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key,
                                                    std::uint64_t layer) const {
    const auto found = header_.lists.find(prefix_ + std::string(key));
    if (found == header_.lists.end()) return number(key);
    return layer < found->second.size() ? std::optional(found->second[layer]) : std::nullopt;
  }

 private:
  const model_header& header_;
  std::string prefix_;
};

/// Where layers are.
class placement {
 public:
  placement(const model_use& use, std::uint64_t layers) : use_(use), layers_(layers) {
    double sum = 0;
    for (const device_share& each : use.devices) {
      if (!(each.share > 0)) fail(fmt::format("the share of '{}' is not above 0", each.device));
      sum += each.share;
      ends_.push_back(sum);
    }
    for (double& end : ends_) end /= sum;
    const std::uint64_t all = layers + 1;
    on_devices_ =
        use.devices.empty() ? 0 : std::min<std::uint64_t>(all, use.device_layers.value_or(all));
    first_ = all - on_devices_;
  }

  /// @param layer the number of layers is the output
  [[nodiscard]] std::string_view of(std::uint64_t layer) const {
    if (layer < first_) return host_name;
    const double place = static_cast<double>(layer - first_) / static_cast<double>(on_devices_);
    const auto end = std::upper_bound(ends_.begin(), ends_.end(), place);
    // The last end is 1 but for rounding, and places are below it.
    const auto index = std::min<std::ptrdiff_t>(end - ends_.begin(), std::ssize(ends_) - 1);
    return use_.devices[static_cast<std::size_t>(index)].device;
  }

  [[nodiscard]] std::string_view of(const tensor& which) const {
    const auto layer = layer_of(which.name);
    if (layer) {
      const bool expert = which.name.find("_exps.") != std::string::npos;
      return expert && *layer < use_.host_expert_layers ? host_name : of(*layer);
    }
    return is_input(which) ? host_name : of(layers_);
  }

  static bool is_input(const tensor& which) { return which.name.starts_with("token_embd"); }

 private:
  /// Of "blk.17.ffn_up.weight": 17.
  static std::optional<std::uint64_t> layer_of(std::string_view name) {
    constexpr std::string_view prefix = "blk.";
    if (!name.starts_with(prefix)) return std::nullopt;
    std::uint64_t layer = 0;
    const char* const begin = name.data() + prefix.size();
    const auto [end, failed] = std::from_chars(begin, name.data() + name.size(), layer);
    if (failed != std::errc{} || end == begin) return std::nullopt;
    return layer;
  }

  const model_use& use_;
  std::uint64_t layers_;
  std::uint64_t on_devices_ = 0;
  std::uint64_t first_ = 0;   ///< of the layers on devices
  std::vector<double> ends_;  ///< of each device's share, of 1
};

class estimator {
 public:
  estimator(const model_header& header, const model_use& use)
      : metadata_(header), use_(use), layers_(layers_of(metadata_, use)), where_(use, layers_) {
    if (use.slots == 0) fail("a context for 0 slots");
  }

  void add_weights(const std::vector<tensor>& tensors) {
    for (const tensor& each : tensors) {
      on(where_.of(each)).weight_bytes += each.size_bytes;
      has_output_ |= each.name == "output.weight";
      if (placement::is_input(each)) input_bytes_ += each.size_bytes;
    }
  }

  memory_estimate finish() {
    if (!has_output_) on(where_.of(layers_)).weight_bytes += shared_input_bytes();
    add_context();
    for (auto& [name, share] : result_.devices) {
      if (name != host_name) share.other_bytes = use_.per_device_bytes;
    }
    return std::move(result_);
  }

 private:
  static std::uint64_t layers_of(const metadata_view& metadata, const model_use& use) {
    const auto layers = metadata.number("block_count");
    if (!layers && !use.devices.empty()) {
      fail("the header does not say how many layers there are (block_count)");
    }
    constexpr std::uint64_t most = 1 << 20;
    if (layers.value_or(0) > most) fail(fmt::format("a model of {} layers", *layers));
    return layers.value_or(0);
  }

  memory_share& on(std::string_view device) { return result_.devices[std::string(device)]; }

  /// An embedding that is the output too is there twice where these are not in the same memory.
  [[nodiscard]] std::uint64_t shared_input_bytes() const {
    return where_.of(layers_) == host_name ? 0 : input_bytes_;
  }

  void add_context() {
    const std::uint64_t asked = use_.context_tokens != 0
                                    ? use_.context_tokens
                                    : metadata_.number("context_length").value_or(0);
    const std::uint64_t each = asked / use_.slots + (asked % use_.slots != 0 ? 1 : 0);
    result_.context_tokens = product((each / context_step + (each % context_step != 0 ? 1 : 0)),
                                     context_step * use_.slots, "the tokens of a context");
    const auto heads = metadata_.number("attention.head_count", 0);
    const auto width = metadata_.number("embedding_length");
    // 0: not known.
    const std::uint64_t shared = heads && *heads != 0 && width ? *width / *heads : 0;
    const std::uint64_t key = metadata_.number("attention.key_length").value_or(shared);
    const std::uint64_t value = metadata_.number("attention.value_length").value_or(shared);
    if (layers_ == 0 || asked == 0 || key == 0 || value == 0) return;
    for (std::uint64_t layer = 0; layer < layers_; ++layer) {
      const auto count = heads_of(layer);
      if (!count) return clear_context();
      std::uint64_t bytes = row_bytes(product(*count, key, "keys"), use_.key_type);
      add(bytes, row_bytes(product(*count, value, "values"), use_.value_type), "keys and values");
      add(on(where_.of(layer)).context_bytes, product(bytes, result_.context_tokens, "a context"),
          "contexts");
    }
    result_.context_known = true;
  }

  [[nodiscard]] std::optional<std::uint64_t> heads_of(std::uint64_t layer) const {
    const auto own = metadata_.number("attention.head_count_kv", layer);
    return own ? own : metadata_.number("attention.head_count", layer);
  }

  void clear_context() {
    for (auto& [name, share] : result_.devices) share.context_bytes = 0;
  }

  static std::uint64_t row_bytes(std::uint64_t elements, std::uint32_t id) {
    const tensor_type type = type_of(id);
    if (elements % type.block_elements != 0) {
      fail(fmt::format("{} elements of keys or values are no whole blocks of {} ({})", elements,
                       type.block_elements, type.name));
    }
    return product(elements / type.block_elements, type.block_bytes, "keys and values");
  }

  metadata_view metadata_;
  const model_use& use_;
  std::uint64_t layers_;
  placement where_;
  memory_estimate result_;
  bool has_output_ = false;
  std::uint64_t input_bytes_ = 0;
};

}  // namespace

std::uint64_t memory_estimate::total_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& [name, share] : devices) bytes += share.total_bytes();
  return bytes;
}

memory_estimate estimate(const model_header& header, const model_use& use) {
  estimator of(header, use);
  of.add_weights(header.tensors);
  return of.finish();
}

memory_estimate estimate(const std::vector<shard>& model, const model_use& use) {
  if (model.empty()) fail("a model without files");
  estimator of(model.front().header, use);
  for (const shard& each : model) of.add_weights(each.header.tensors);
  return of.finish();
}

}  // namespace gguf
