#include "model.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

namespace sleep_bench {

using namespace lull::literals;

namespace {

/// From pageable memory, as from a page cache that was mapped.
void refill(const lull::refill_target& to, std::byte value) {
  const std::vector<std::byte> source(std::min<std::uint64_t>(32_MiB, to.size_bytes()), value);
  for (std::uint64_t at = 0; at < to.size_bytes(); at += source.size()) {
    to.write(at, source.data(), std::min<std::uint64_t>(source.size(), to.size_bytes() - at));
  }
}

}  // namespace

std::vector<std::uint64_t> mixed_sizes(std::uint64_t total_bytes, std::uint64_t scale) {
  constexpr std::array<std::uint64_t, 6> sizes{512_MiB, 128_MiB, 96_MiB, 32_MiB, 8_MiB, 2_MiB};
  std::vector<std::uint64_t> result;
  for (std::size_t i = 0; total_bytes != 0; ++i) {
    result.push_back(std::min(sizes[i % sizes.size()] / scale, total_bytes));
    total_bytes -= result.back();
  }
  return result;
}

model::model(const lull::device& where, lull::memory& memory,
             const std::vector<std::uint64_t>& sizes, kind what, const std::string& tag,
             const std::filesystem::path& file_path)
    : where_(where) {
  std::optional<lull::file_source> file;
  if (what == kind::from_file) file.emplace(file_path);
  std::uint64_t place = 0;
  for (const std::uint64_t bytes : sizes) {
    const auto value = value_of(regions_.size());
    lull::region_options options;
    options.tag = tag;
    options.name = fmt::format("{}.{}", tag, regions_.size());
    if (what == kind::from_callback) {
      options.refill = [value](const lull::refill_target& to) { refill(to, value); };
    } else if (file) {
      options.source = lull::region_source{*file, {{0, place, bytes}}};
      options.absent = true;  // one restore brings all of them, as a load would
    }
    regions_.push_back(memory.allocate(where, bytes, std::move(options)));
    if (what != kind::from_file) {
      where.fill(regions_.back().address(), value, bytes);
    }
    place += bytes;
  }
  where.synchronize();
}

void model::check() {
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    const auto lease = regions_[i].acquire();
    const auto* const begin = static_cast<const std::byte*>(lease.address());
    const std::uint64_t size = regions_[i].size_bytes();
    for (const std::uint64_t at : {std::uint64_t{0}, size / 2, size - 1}) {
      std::byte value{};
      where_.copy_to_host(&value, begin + at, 1);
      if (value == value_of(i)) continue;
      throw std::runtime_error(fmt::format("region {} came back with other contents", i));
    }
  }
}

contents_file::contents_file(const std::string& directory, const std::vector<std::uint64_t>& sizes)
    : path_(std::filesystem::path(directory) / fmt::format("lull-bench-{}", ::getpid())) {
  std::ofstream out(path_, std::ios::binary);
  std::size_t number = 0;
  for (const std::uint64_t bytes : sizes) {
    const std::vector<char> part(std::min<std::uint64_t>(bytes, 32_MiB),
                                 static_cast<char>(model::value_of(number++)));
    for (std::uint64_t at = 0; at < bytes; at += part.size()) {
      out.write(part.data(),
                static_cast<std::streamsize>(std::min<std::uint64_t>(part.size(), bytes - at)));
    }
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + path_.string());
}

}  // namespace sleep_bench
