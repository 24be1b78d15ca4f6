// The header of a model: what is accepted lies in the file, and nothing lies on anything else.

#include <algorithm>
#include <utility>
#include <vector>

#include "gguf/model.hpp"
#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  const std::filesystem::path path = file_with(bytes, count);
  try {
    const gguf::model_header header = gguf::read_header(path);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
    for (const gguf::tensor& each : header.tensors) {
      expect(each.size_bytes > 0 && each.size_bytes <= count, "a tensor has a size");
      expect(each.offset <= count - each.size_bytes, "it lies in the file");
      places.emplace_back(each.offset, each.offset + each.size_bytes);
    }
    std::sort(places.begin(), places.end());
    for (std::size_t i = 1; i < places.size(); ++i) {
      expect(places[i - 1].second <= places[i].first, "tensors do not overlap");
    }
    gguf::check_unchanged(gguf::read_model(path).front());
  } catch (const gguf::format_error& fault) {
    expect(fault.offset() <= count, "the fault is in the file");
  } catch (const gguf::model_error&) {
  }
  return 0;
}
