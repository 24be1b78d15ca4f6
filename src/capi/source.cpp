#include "capi/source.hpp"

#include <lull/memory.hpp>

#include "capi/memory.hpp"

using lull::capi::guard;
using lull::capi::required;

namespace lull::capi {

std::optional<region_source> make_region_source(const lull_region_options& given) {
  if (given.source == nullptr) {
    if (given.piece_count == 0) return std::nullopt;
    throw error(status::invalid_argument, "options->pieces belong to no file: source is null");
  }
  region_source source{given.source->value};
  if (given.piece_count != 0) required(given.pieces, "options->pieces");
  for (std::size_t i = 0; i < given.piece_count; ++i) {
    const lull_file_piece& from = given.pieces[i];
    source.pieces.push_back({from.region_offset, from.file_offset, from.bytes});
  }
  return source;
}

}  // namespace lull::capi

lull_status lull_file_source_open(const char* path, lull_file_source** source) {
  return guard([&] {
    const char* const from = &required(path, "path");
    auto& result = required(source, "source");
    result = new lull_file_source{lull::file_source(std::filesystem::path(from))};
  });
}

lull_status lull_file_source_adopt(int32_t descriptor, lull_file_source** source) {
  return guard([&] {
    auto& result = required(source, "source");
    result = new lull_file_source{lull::file_source(descriptor)};
  });
}

void lull_file_source_destroy(lull_file_source* source) {
  delete source;
}

uint64_t lull_file_source_size(const lull_file_source* source) {
  return source != nullptr ? source->value.size_bytes() : 0;
}

lull_status lull_file_source_verify(const lull_file_source* source) {
  return guard([&] { required(source, "source").value.verify(); });
}

lull_status lull_region_mark_written(lull_region* region) {
  return guard([&] { required(region, "region").value.mark_written(); });
}

lull_status lull_refill_target_read_file(const lull_refill_target* target, uint64_t offset,
                                         int32_t descriptor, uint64_t file_offset, uint64_t bytes) {
  return guard(
      [&] { required(target, "target").value.read_file(offset, descriptor, file_offset, bytes); });
}
