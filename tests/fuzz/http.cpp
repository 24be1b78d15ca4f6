// Requests: they mean the same in one piece and in many, and are within their limits.

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "expect.hpp"
#include "http/request.hpp"

namespace {

constexpr http::request_limits limits{.head_bytes = 512, .body_bytes = 256};

/// A request as text; the status with which it is refused; or nothing while there is more to come.
std::optional<std::string> outcome(std::string_view text, std::size_t piece) {
  http::request_reader reader(limits);
  try {
    while (!text.empty()) {
      const bool complete = reader.feed(text.substr(0, piece));
      text.remove_prefix(std::min(piece, text.size()));
      static_cast<void>(reader.body_awaits_consent());
      if (!complete) continue;
      const http::request asked = reader.take();
      expect(asked.body.size() <= limits.body_bytes, "the body is within its limit");
      std::string all = asked.method + ' ' + asked.path + '\n' + asked.body;
      std::size_t head_bytes = 0;
      for (const auto& [name, value] : asked.headers) {
        all += name + ':' + value + '\n';
        head_bytes += name.size() + value.size();
      }
      expect(head_bytes <= limits.head_bytes, "the head is within its limit");
      for (const auto& [name, value] : asked.query) all += name + '=' + value + '\n';
      return all;
    }
  } catch (const http::refusal& fault) {
    expect(fault.status() >= 400 && fault.status() < 600, "a refusal is an error");
    return std::to_string(fault.status());
  }
  return std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  if (count < 2) return 0;
  const std::size_t piece = std::max<std::size_t>(1, bytes[0] % 64);
  const std::string_view text(reinterpret_cast<const char*>(bytes + 1), count - 1);
  expect(outcome(text, piece) == outcome(text, count), "pieces make no difference");
  return 0;
}
