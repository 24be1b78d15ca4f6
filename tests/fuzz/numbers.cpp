// Sizes and durations, as people write them.

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <chrono>
#include <string>

#include "duration_option.hpp"
#include "expect.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  const std::string text(reinterpret_cast<const char*>(bytes), count);
  try {
    const std::uint64_t size = lull::parse_bytes(text);
    const std::uint64_t again = lull::parse_bytes(lull::format_bytes(size));
    // Two decimals of the unit: within half a percent, and what is below a byte is cut off.
    expect((again > size ? again - size : size - again) <= again / 200 + 1,
           "a size that was written can be read");
  } catch (const lull::error& failure) {
    expect(failure.code() == lull::status::invalid_argument, "what is wrong is the text");
  }
  try {
    const lull::duration span = lull::tool::parse_duration(text);
    expect(span >= lull::duration::zero() && span <= std::chrono::hours{24}, "a day at most");
    static_cast<void>(lull::tool::parse_duration(lull::tool::duration_text(span)));
  } catch (const lull::error& failure) {
    expect(failure.code() == lull::status::invalid_argument, "what is wrong is the text");
  }
  return 0;
}
