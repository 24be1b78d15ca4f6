#include "gguf/writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "gguf/types.hpp"

namespace gguf {
namespace {

constexpr std::uint64_t alignment = 32;
constexpr std::uint64_t row_elements = 256;
constexpr std::uint64_t row_bytes = row_elements * 2;  // F16
constexpr std::uint64_t chunk_bytes = std::uint64_t{8} << 20;

struct planned_tensor {
  std::string name;
  std::uint32_t type;
  std::vector<std::uint64_t> dimensions;
  std::uint64_t bytes;
  std::uint64_t offset = 0;
};

/// A file that takes its name only when it is complete.
class new_file {
 public:
  explicit new_file(const std::filesystem::path& path)
      : final_(path), partial_(path.string() + ".partial") {
    descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail();
  }
  ~new_file() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(partial_.c_str());
  }
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;

  void append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail();
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void finish() {
    const int closed = ::close(std::exchange(descriptor_, -1));
    if (closed != 0 || ::rename(partial_.c_str(), final_.c_str()) != 0) {
      const int code = errno;
      ::unlink(partial_.c_str());
      throw std::system_error(code, std::generic_category(), final_.string());
    }
  }

 private:
  [[noreturn]] void fail() const {
    throw std::system_error(errno, std::generic_category(), partial_.string());
  }

  std::filesystem::path final_;
  std::filesystem::path partial_;
  int descriptor_ = -1;
};

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

planned_tensor matrix(std::string name, std::uint64_t bytes) {
  const std::uint64_t rows = std::max<std::uint64_t>(1, bytes / row_bytes);
  return {std::move(name), type_f16, {row_elements, rows}, rows * row_bytes};
}

planned_tensor norm(std::string name) {
  return {std::move(name), type_f32, {row_elements}, row_elements * 4};
}

/// The tensors of a llama, with sizes in about the proportions of a real one.
std::vector<planned_tensor> plan(const model_options& options) {
  constexpr std::uint64_t embedding_shares = 8;
  constexpr std::uint64_t block_shares = 10;
  const std::uint64_t share =
      options.total_bytes / (2 * embedding_shares + options.blocks * block_shares);
  std::vector<planned_tensor> tensors;
  tensors.push_back(matrix("token_embd.weight", embedding_shares * share));
  for (std::uint32_t block = 0; block < options.blocks; ++block) {
    const auto named = [block](std::string_view part) {
      return fmt::format("blk.{}.{}.weight", block, part);
    };
    tensors.push_back(norm(named("attn_norm")));
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      tensors.push_back(matrix(named(part), share));
    }
    tensors.push_back(norm(named("ffn_norm")));
    for (const char* part : {"ffn_gate", "ffn_up", "ffn_down"}) {
      tensors.push_back(matrix(named(part), 2 * share));
    }
  }
  tensors.push_back(norm("output_norm.weight"));
  tensors.push_back(matrix("output.weight", embedding_shares * share));
  std::uint64_t offset = 0;
  for (planned_tensor& each : tensors) {
    each.offset = offset;
    offset += aligned(each.bytes);
  }
  return tensors;
}

class header_writer {
 public:
  template <class Value>
  void put(Value value) {
    append(&value, sizeof value);
  }
  void put_string(std::string_view text) {
    put(std::uint64_t{text.size()});
    append(text.data(), text.size());
  }
  void put_metadata(std::string_view key, std::string_view text) {
    constexpr std::uint32_t string_type = 8;
    put_string(key);
    put(string_type);
    put_string(text);
  }
  void put_metadata(std::string_view key, std::uint32_t number) {
    constexpr std::uint32_t uint32_type = 4;
    put_string(key);
    put(uint32_type);
    put(number);
  }
  std::vector<std::byte> take() {
    bytes_.resize(aligned(bytes_.size()));
    return std::move(bytes_);
  }

 private:
  /// Byte by byte: for an insertion of a range g++ 12 warns, with -O3, of an overflow that there is
  /// not.
  void append(const void* from, std::size_t bytes) {
    const auto* const begin = static_cast<const std::byte*>(from);
    for (std::size_t i = 0; i < bytes; ++i) bytes_.push_back(begin[i]);
  }

  std::vector<std::byte> bytes_;
};

using numbers_by_key = std::vector<std::pair<std::string_view, std::uint32_t>>;

numbers_by_key attention_of(const model_options& options) {
  numbers_by_key numbers{{"llama.context_length", options.context_length},
                         {"llama.embedding_length", options.embedding_length},
                         {"llama.attention.head_count", options.heads},
                         {"llama.attention.head_count_kv", options.kv_heads}};
  std::erase_if(numbers, [](const auto& each) { return each.second == 0; });
  return numbers;
}

std::vector<std::byte> make_header(const model_options& options,
                                   const std::vector<planned_tensor>& tensors) {
  const numbers_by_key attention = attention_of(options);
  header_writer out;
  out.put(std::uint32_t{0x46554747});  // "GGUF"
  out.put(std::uint32_t{3});
  out.put(std::uint64_t{tensors.size()});
  out.put(std::uint64_t{4 + attention.size()});
  out.put_metadata("general.architecture", "llama");
  out.put_metadata("general.name", fmt::format("lull demonstration, seed {}", options.seed));
  out.put_metadata("general.alignment", static_cast<std::uint32_t>(alignment));
  out.put_metadata("llama.block_count", options.blocks);
  for (const auto& [key, number] : attention) out.put_metadata(key, number);
  for (const planned_tensor& each : tensors) {
    out.put_string(each.name);
    out.put(static_cast<std::uint32_t>(each.dimensions.size()));
    for (const std::uint64_t dimension : each.dimensions) out.put(dimension);
    out.put(each.type);
    out.put(each.offset);
  }
  return out.take();
}

/// splitmix64 (Steele, Lea and Flood, 2014): good enough to make every block different, and fast.
class number_source {
 public:
  explicit number_source(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace

void write_model(const std::filesystem::path& path, const model_options& options,
                 const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  if (options.total_bytes < (1 << 20) || options.blocks < 1 || options.blocks > 1000) {
    throw std::invalid_argument(
        fmt::format("a model of {} bytes with {} blocks: 1 MiB at least, 1 to 1000 blocks",
                    options.total_bytes, options.blocks));
  }
  const std::vector<planned_tensor> tensors = plan(options);
  const std::uint64_t total = tensors.back().offset + aligned(tensors.back().bytes);
  new_file out(path);
  out.append(make_header(options, tensors));

  number_source numbers(options.seed);
  std::vector<std::uint64_t> chunk(chunk_bytes / sizeof(std::uint64_t));
  for (std::uint64_t done = 0; done < total;) {
    const std::uint64_t bytes = std::min(chunk_bytes, total - done);
    std::generate(chunk.begin(), chunk.end(), [&numbers] { return numbers.next(); });
    out.append(std::as_bytes(std::span(chunk)).first(bytes));
    done += bytes;
    if (progress) progress(done, total);
  }
  out.finish();
}

}  // namespace gguf
