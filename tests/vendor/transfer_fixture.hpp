#ifndef LULL_TESTS_VENDOR_TRANSFER_FIXTURE_HPP
#define LULL_TESTS_VENDOR_TRANSFER_FIXTURE_HPP

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "vendor/vendor_fixture.hpp"

namespace lull::test {

/// Small enough for many slices, chunks and threads to take part in a few megabytes.
inline memory_options in_small_steps(const host_arena& arena) {
  memory_options options;
  options.chunk_bytes = 512_KiB;
  options.poison_unfilled = false;
  options.arena = arena;
  options.threads = 3;
  return options;
}

inline host_arena arena_of(std::uint64_t budget_bytes = 1024_MiB) {
  return host_arena({.budget_bytes = budget_bytes, .slice_bytes = 2_MiB});
}

/// Bytes that tell where they belong, also in a longer one.
/// Eight at a time, which a sanitizer slows less.
inline std::vector<std::byte> pattern(std::uint64_t bytes, unsigned seed) {
  std::vector<std::byte> all(bytes);
  for (std::uint64_t i = 0; i < bytes; i += 8) {
    const std::uint64_t word = (i + seed) * 0x9E3779B97F4A7C15U;
    std::memcpy(all.data() + i, &word, std::min<std::uint64_t>(8, bytes - i));
  }
  return all;
}

/// Whether they are the pattern. Makes it once: that, and fresh pages to compare in, would take the
/// sanitizers longer than the transfers.
inline bool is_pattern(const std::byte* bytes, std::uint64_t count, unsigned seed) {
  static thread_local std::map<unsigned, std::vector<std::byte>> made;
  std::vector<std::byte>& whole = made[seed];
  if (whole.size() < count) whole = pattern(count, seed);
  return std::memcmp(bytes, whole.data(), count) == 0;
}

class Transfer : public Vendor {
 protected:
  /// Around chunks, slices and steps of memory, and small ones that share.
  static std::vector<std::uint64_t> sizes() {
    return {16, 3_KiB, 512_KiB, 512_KiB + 1, 2_MiB, 5_MiB - 3, 2_MiB + 4096U, 777, 9_MiB, 64_KiB};
  }

  static void fill(const region& which, unsigned seed) {
    const auto bytes = pattern(which.size_bytes(), seed);
    which.device().copy_from_host(which.address(), bytes.data(), bytes.size());
  }
  static bool holds(const region& which, unsigned seed) {
    static thread_local std::vector<std::byte> seen;
    const std::uint64_t count = which.size_bytes();
    if (seen.size() < count) seen.resize(count);
    std::memset(seen.data(), 0, count);  // what an earlier look left must not pass for a copy
    const auto lease = which.acquire();
    which.device().copy_to_host(seen.data(), which.address(), count);
    return is_pattern(seen.data(), count, seed);
  }

  static std::vector<region> make_regions(memory& of, const device& where) {
    std::vector<region> all;
    for (const std::uint64_t bytes : sizes()) {
      // Half of them with a checksum, so that it is right whichever way contents take.
      const bool checksum = all.size() % 2 == 0;
      all.push_back(
          of.allocate(where, bytes, {.name = std::to_string(all.size()), .checksum = checksum}));
      fill(all.back(), static_cast<unsigned>(all.size()));
    }
    return all;
  }
  static void expect_contents(const std::vector<region>& all) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_TRUE(holds(all[i], static_cast<unsigned>(i + 1))) << "region " << i;
    }
  }
  static eviction_plan offload() { return {.otherwise = contents_action::offload}; }
};

}  // namespace lull::test

#endif  // LULL_TESTS_VENDOR_TRANSFER_FIXTURE_HPP
