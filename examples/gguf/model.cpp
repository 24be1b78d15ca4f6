#include "gguf/model.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include <fmt/format.h>

namespace gguf {
namespace {

constexpr std::uint64_t most_shards = 99999;  // as many as the names have room for

/// Where a file stands in a split model, from 0. {0, 1} for one that was not split.
struct split_place {
  std::uint64_t number = 0;
  std::uint64_t count = 1;
  std::optional<std::uint64_t> tensors = {};  ///< of all shards together
};

/// A whole number of the metadata, whatever its width and sign.
std::optional<std::uint64_t> find_count(const model_header& header, std::string_view key,
                                        const std::filesystem::path& path) {
  const auto found = header.metadata.find(key);
  if (found == header.metadata.end()) return std::nullopt;
  if (const auto* const number = std::get_if<std::uint64_t>(&found->second)) return *number;
  const auto* const number = std::get_if<std::int64_t>(&found->second);
  if (number != nullptr && *number >= 0) return static_cast<std::uint64_t>(*number);
  throw model_error(fmt::format("{}: {} is no count", path.string(), key));
}

split_place place_of(const model_header& header, const std::filesystem::path& path) {
  split_place place;
  place.number = find_count(header, "split.no", path).value_or(0);
  place.count = find_count(header, "split.count", path).value_or(1);
  place.tensors = find_count(header, "split.tensors.count", path);
  // llama.cpp's tool writes 0 of a file that it did not split.
  if (place.count == 0) place.count = 1;
  if (place.number >= place.count || place.count > most_shards) {
    throw model_error(fmt::format("{}: split.no is {} and split.count {}", path.string(),
                                  place.number, place.count));
  }
  return place;
}

/// The end of a shard's name, from llama_split_path() of llama.cpp.
std::string suffix_of(std::uint64_t number, std::uint64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
}

std::filesystem::path sibling(const std::filesystem::path& first, const split_place& place,
                              std::uint64_t number) {
  const std::string name = first.string();
  const std::string suffix = suffix_of(place.number, place.count);
  if (!name.ends_with(suffix)) {
    throw model_error(
        fmt::format("{} is shard {} of {}; its name must end with '{}', so that the others "
                    "can be found",
                    name, place.number + 1, place.count, suffix));
  }
  return name.substr(0, name.size() - suffix.size()) + suffix_of(number, place.count);
}

/// splitmix64's way of mixing, over whole words (Steele, Lea and Flood, 2014).
std::uint64_t hash_start(const file& from, std::uint64_t bytes) {
  std::vector<std::uint64_t> words(std::size_t{8} << 10);
  std::uint64_t hash = bytes;
  const std::uint64_t chunk = words.size() * sizeof words[0];
  for (std::uint64_t at = 0; at < bytes; at += chunk) {
    const std::uint64_t part = std::min(chunk, bytes - at);
    words[(part - 1) / sizeof words[0]] = 0;  // the end of the last word is not in the file
    from.read(at, words.data(), part);
    for (std::size_t i = 0; i * sizeof words[0] < part; ++i) {
      hash = (hash ^ words[i]) * 0xbf58476d1ce4e5b9;
      hash ^= hash >> 31;
    }
  }
  return hash;
}

std::uint64_t header_bytes(const model_header& header) {
  return std::min(header.data_offset, header.file_bytes);
}

shard read_shard(const std::filesystem::path& path) {
  const file from(path);
  shard result{.path = path, .header = read_header(from), .identity = from.identity()};
  result.header_hash = hash_start(from, header_bytes(result.header));
  return result;
}

/// Every shard after the first.
void read_others(std::vector<shard>& shards, const split_place& place) {
  for (std::uint64_t number = 1; number < place.count; ++number) {
    const std::filesystem::path path = sibling(shards.front().path, place, number);
    if (!std::filesystem::exists(path)) {
      throw model_error(fmt::format("{} is shard 1 of {}, and shard {} is missing: {}",
                                    shards.front().path.string(), place.count, number + 1,
                                    path.string()));
    }
    shards.push_back(read_shard(path));
    const split_place its = place_of(shards.back().header, path);
    if (its.number != number || its.count != place.count) {
      throw model_error(fmt::format("{} says that it is shard {} of {}, not {} of {}",
                                    path.string(), its.number + 1, its.count, number + 1,
                                    place.count));
    }
  }
}

void check_tensors(const std::vector<shard>& shards, const split_place& place) {
  std::unordered_set<std::string_view> names;
  for (const shard& each : shards) {
    for (const tensor& tensor : each.header.tensors) {
      if (names.insert(tensor.name).second) continue;
      throw model_error(
          fmt::format("{}: another shard has a tensor '{}' too", each.path.string(), tensor.name));
    }
  }
  const std::string name = shards.front().path.string();
  if (names.empty()) throw model_error(fmt::format("{} has no tensors: it is no model", name));
  if (place.count > 1 && place.tensors && *place.tensors != names.size()) {
    throw model_error(fmt::format("{}: the shards have {} tensors together, and should have {}",
                                  name, names.size(), *place.tensors));
  }
}

}  // namespace

std::vector<shard> read_model(const std::filesystem::path& path) {
  std::vector<shard> shards;
  shards.push_back(read_shard(path));
  const split_place place = place_of(shards.front().header, path);
  if (place.number != 0) {
    throw model_error(fmt::format("{} is shard {} of {}; the first is asked for, {}", path.string(),
                                  place.number + 1, place.count, sibling(path, place, 0).string()));
  }
  read_others(shards, place);
  check_tensors(shards, place);
  return shards;
}

void check_unchanged(const shard& before, const file& now) {
  const file_identity found = now.identity();
  if (found == before.identity) return;
  const bool same_file =
      found.device == before.identity.device && found.inode == before.identity.inode;
  throw model_error(fmt::format("{} is not what was loaded: {}", before.path.string(),
                                !same_file ? "another file has taken its place"
                                : found.size_bytes != before.identity.size_bytes
                                    ? fmt::format("it has {} bytes now, and had {}",
                                                  found.size_bytes, before.identity.size_bytes)
                                    : std::string("it has been written to")));
}

void check_unchanged(const shard& before) {
  const file now(before.path);
  check_unchanged(before, now);
  if (hash_start(now, header_bytes(before.header)) != before.header_hash) {
    throw model_error(
        fmt::format("{} is not what was loaded: its header is another one", before.path.string()));
  }
}

}  // namespace gguf
