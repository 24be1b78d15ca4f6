#ifndef LULL_TESTS_SUPPORT_SETTLE_PEERS_HPP
#define LULL_TESTS_SUPPORT_SETTLE_PEERS_HPP

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "support/reclaim_curves.hpp"

/// What others do after a release, written anew from their published algorithms and constants, for
/// comparison. Probes are free of cost here, which favours whoever probes rarely.
namespace lull::test {

struct peer_outcome {
  duration returned_after{};  ///< since the release, which is when they begin
  bool converged = false;     ///< false: gave up at its limit
};

/// unsloth studio (unslothai/unsloth pull request 5693): a sample every 250 ms; done when two
/// neighbours agree on each device within max(256 MiB, 2 % of the larger); 2 s at most.
inline peer_outcome unsloth_settle(const reclaim_scene& scene) {
  constexpr auto interval = std::chrono::milliseconds{250};
  constexpr auto longest = std::chrono::seconds{2};
  const auto agree = [&](duration earlier, duration later) {
    return std::all_of(scene.begin(), scene.end(), [&](const reclaim_curve& each) {
      const std::uint64_t a = each.free_at(earlier);
      const std::uint64_t b = each.free_at(later);
      const std::uint64_t larger = std::max(a, b);
      return larger - std::min(a, b) <= std::max<std::uint64_t>(256ull << 20, larger / 50);
    });
  };
  for (duration t = interval; t <= longest; t += interval) {
    if (agree(t - interval, t)) return {t, true};
  }
  return {longest, false};
}

/// ollama (server/sched.go): free memory of all devices together before the unload; a look every
/// 250 ms; done when more than 75 % of the estimate is back; 5 s at most. The estimate is exact
/// here. Its unsigned difference wraps when free memory falls, and then counts as converged.
inline peer_outcome ollama_settle(const reclaim_scene& scene) {
  constexpr auto interval = std::chrono::milliseconds{250};
  constexpr auto longest = std::chrono::seconds{5};
  std::uint64_t before = 0;
  std::uint64_t estimate = 0;
  for (const reclaim_curve& each : scene) {
    before += each.baseline_bytes;
    estimate += each.released_bytes();
  }
  for (duration t = interval; t <= longest; t += interval) {
    std::uint64_t now = 0;
    for (const reclaim_curve& each : scene) now += each.free_at(t);
    if (static_cast<double>(now - before) > 0.75 * static_cast<double>(estimate)) return {t, true};
  }
  return {longest, false};
}

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_SETTLE_PEERS_HPP
