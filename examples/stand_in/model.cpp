#include "stand_in/model.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace example {
namespace {

constexpr std::uint64_t chunk_bytes = std::uint64_t{8} << 20;
constexpr std::uint64_t odd_constant = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio, odd

std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = text.size();
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * odd_constant;
  return hash;
}

}  // namespace

/// Takes bytes in. Every step is a bijection of the lane it changes, so two inputs of one length
/// that differ in one byte cannot leave the same lanes.
class model::digester {
 public:
  explicit digester(std::uint64_t seed) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) lanes_[i] = seed + (i + 1) * odd_constant;
  }

  void take(const std::byte* bytes, std::uint64_t count) {
    constexpr std::uint64_t step = sizeof lanes_;
    for (; count >= step; bytes += step, count -= step) take_block(bytes);
    if (count == 0) return;
    std::array<std::byte, step> rest{};
    std::memcpy(rest.data(), bytes, count);
    take_block(rest.data());
  }

  [[nodiscard]] std::uint64_t result() const noexcept {
    std::uint64_t all = 0;
    for (const std::uint64_t lane : lanes_) all = (std::rotl(all, 23) ^ lane) * odd_constant;
    return all ^ (all >> 32);
  }

 private:
  void take_block(const std::byte* bytes) noexcept {
    std::array<std::uint64_t, 8> block;
    std::memcpy(block.data(), bytes, sizeof block);
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      lanes_[i] = std::rotl((lanes_[i] ^ block[i]) * odd_constant, 31);
    }
  }

  std::array<std::uint64_t, 8> lanes_;
};

model::model(lull::memory& memory, const lull::device& device, const std::filesystem::path& file)
    : shards_(gguf::read_model(std::filesystem::absolute(file))),
      memory_(memory),
      device_(device) {}

void model::declare(std::uint64_t kv_bytes) {
  for (const gguf::shard& shard : shards_) {
    const lull::file_source file(shard.path);
    gguf::check_unchanged(shard);
    for (const gguf::tensor& tensor : shard.header.tensors) {
      lull::region_source source{file, {{0, tensor.offset, tensor.size_bytes}}};
      weights_.push_back(
          memory_.allocate(device_, tensor.size_bytes,
                           // Whoever reads them asks for the address each time, graphs too.
                           {.tag = "weights",
                            .name = tensor.name,
                            .source = std::move(source),
                            .absent = true,
                            .may_move = true}));
    }
  }
  const auto clear = [](const lull::refill_target& target) {
    target.device().fill(target.address(), std::byte{0}, target.size_bytes());
  };
  if (kv_bytes > 0) {
    kv_.push_back(memory_.allocate(
        device_, kv_bytes,
        {.tag = "kv", .name = "kv", .refill = clear, .absent = true, .may_move = true}));
  }
}

void model::load(std::uint64_t kv_bytes, const lull::stop_view& stop) {
  declare(kv_bytes);
  memory_.restore({}, {.stop = stop});
}

void model::check_files() const {
  for (const gguf::shard& each : shards_) gguf::check_unchanged(each);
}

std::size_t model::tensor_count() const noexcept {
  std::size_t count = 0;
  for (const gguf::shard& each : shards_) count += each.header.tensors.size();
  return count;
}

std::uint64_t model::tensor_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const gguf::shard& each : shards_) bytes += each.header.tensor_bytes();
  return bytes;
}

/// `staging` is not used where the CPU can read the weights where they are.
void model::take_tensor(const lull::region& from, std::span<std::byte> staging,
                        digester& into) const {
  const lull::region_lease lease = from.acquire();
  const auto* const bytes = static_cast<const std::byte*>(lease.address());
  if (device_.supports(lull::capability::host_accessible)) {
    into.take(bytes, lease.size_bytes());
    return;
  }
  for (std::uint64_t at = 0; at < lease.size_bytes(); at += staging.size()) {
    const std::uint64_t part = std::min<std::uint64_t>(staging.size(), lease.size_bytes() - at);
    device_.copy_to_host(staging.data(), bytes + at, part);
    into.take(staging.data(), part);
  }
}

std::uint64_t model::digest(std::string_view prompt) const {
  digester state(hash_text(prompt));
  std::vector<std::byte> staging;
  if (!device_.supports(lull::capability::host_accessible)) staging.resize(chunk_bytes);
  for (const lull::region& region : weights_) take_tensor(region, staging, state);
  return state.result();
}

void model::record_digest(lull::host_graph_builder& graph, digest_slot& where,
                          std::span<std::byte> workspace) const {
  static_assert(std::is_trivially_destructible_v<digester>, "the workspace destroys nothing");
  // The state first, as a graph keeps its activations; the rest takes whole blocks, so that what
  // passes through in pieces is padded nowhere but at the end of a tensor.
  auto* const state = new (workspace.data()) digester(0);
  const auto rest = workspace.subspan(sizeof(digester));
  const auto staging = rest.first(rest.size() / sizeof(digester) * sizeof(digester));
  graph.add([state, &where] { *state = digester(hash_text(where.prompt)); });
  for (const lull::region& region : weights_) {
    graph.add([this, &region, staging, state] { take_tensor(region, staging, *state); });
  }
  graph.add([state, &where] { where.result = state->result(); });
}

std::string_view word_source::next() noexcept {
  static constexpr std::array<std::string_view, 64> words{
      "able",    "acid",   "amber",  "apple",  "arrow", "autumn", "bay",   "bell",
      "birch",   "blue",   "bread",  "bridge", "calm",  "candle", "cedar", "chalk",
      "cloud",   "coast",  "copper", "dawn",   "deep",  "dune",   "early", "east",
      "ember",   "even",   "fern",   "field",  "flint", "frost",  "glass", "grain",
      "green",   "harbor", "hazel",  "hill",   "iron",  "island", "ivy",   "lake",
      "lantern", "leaf",   "linen",  "maple",  "marsh", "meadow", "mist",  "moon",
      "moss",    "north",  "oak",    "olive",  "pearl", "pine",   "quiet", "rain",
      "reed",    "river",  "salt",   "sand",   "shore", "slate",  "snow",  "willow"};
  state_ = (state_ ^ (state_ >> 29)) * odd_constant + 1;
  return words[state_ >> 58];
}

}  // namespace example
