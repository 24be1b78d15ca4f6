// The lines of child processes: they mean the same in one piece and in many.

#include "process/line_protocol.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "expect.hpp"

namespace {

struct outcome {
  int events = 0;
  int rejected = 0;
  friend bool operator==(const outcome&, const outcome&) = default;
};

outcome read(std::string_view text, std::size_t piece) {
  outcome result;
  lull::detail::line_decoder decoder([&](const lull::process_event&) { ++result.events; },
                                     [&](const lull::rejected_line&) { ++result.rejected; });
  while (!text.empty()) {
    decoder.feed(text.substr(0, piece));
    text.remove_prefix(std::min(piece, text.size()));
  }
  decoder.finish();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), count);
  const outcome whole = read(text, std::max<std::size_t>(count, 1));
  expect(whole == read(text, 1), "pieces make no difference");
  const auto lines = std::count(text.begin(), text.end(), '\n') + (text.ends_with('\n') ? 0 : 1);
  expect(whole.events + whole.rejected <= lines, "a line is one event, or none");
  return 0;
}
