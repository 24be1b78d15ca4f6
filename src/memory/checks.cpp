#include "memory/checks.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "memory/checksum.hpp"
#include "memory/source_file.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

memory_options checked_options(memory_options options) {
  constexpr std::uint64_t smallest = 4_KiB;
  constexpr std::uint64_t largest = 4_GiB;
  if (options.chunk_bytes < smallest || options.chunk_bytes > largest) {
    fail(status::invalid_argument, "memory: chunk_bytes is {}; it must be between {} and {}",
         options.chunk_bytes, format_bytes(smallest), format_bytes(largest));
  }
  options.chunk_bytes -= options.chunk_bytes % checksum_alignment;
  if (options.handle_bytes == 0) {
    throw error(status::invalid_argument, "memory: handle_bytes is 0; it must be above");
  }
  if (options.clock == nullptr) throw error(status::invalid_argument, "memory: clock is null");
  if (!options.arena) {
    host_arena_options own;
    own.log = options.log;
    options.arena.emplace(std::move(own));
  }
  return options;
}

void check_source(const region_state& region) {
  if (!region.options.source) return;
  const region_source& source = *region.options.source;
  const auto expect_inside = [&](const file_piece& piece) {
    const auto fits = [&](std::uint64_t offset, std::uint64_t size) {
      return offset <= size && piece.bytes <= size - offset;
    };
    if (fits(piece.region_offset, region.size_bytes) &&
        fits(piece.file_offset, source.file.size_bytes())) {
      return;
    }
    fail(status::invalid_argument,
         "{}: {} bytes at offset {} of {} ({} bytes) do not fit at offset {} of its {} bytes",
         region.describe(), piece.bytes, piece.file_offset,
         source_access::file(source.file).describe(), source.file.size_bytes(), piece.region_offset,
         region.size_bytes);
  };
  for (const file_piece& each : source.pieces) expect_inside(each);
  if (source.pieces.empty()) expect_inside({0, 0, region.size_bytes});
}

void check_peers(const device& where, region_options& options) {
  std::vector<device> peers;
  for (device& each : options.accessible_from) {
    if (each == where || std::find(peers.begin(), peers.end(), each) != peers.end()) continue;
    where.require(capability::peers, "accessible_from");
    if (!where.is_accessible_from(each)) {
      fail(status::unsupported, "region '{}' on {}: {} cannot access memory of it", options.name,
           where.name(), each.name());
    }
    peers.push_back(std::move(each));
  }
  options.accessible_from = std::move(peers);
}

}  // namespace lull::detail
