#ifndef LULL_TESTS_SUPPORT_RECORDED_RECLAIMS_HPP
#define LULL_TESTS_SUPPORT_RECORDED_RECLAIMS_HPP

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/reclaim_curves.hpp"

namespace lull::test {

/// How memory came back on a real device.
struct recorded_reclaim {
  reclaim_curve since_kill;
  duration reaped_at{};

  /// The same for whoever marks the release when the process has been reaped. What had come back by
  /// then is not part of the wait any more.
  [[nodiscard]] reclaim_curve since_reaped() const {
    reclaim_curve later = since_kill;
    for (auto& each : later.knots) each.at = std::max(duration::zero(), each.at - reaped_at);
    return later;
  }
};

/// Reads bench/results/hardware/reclaim-*.json: points of change, as [seconds, free MiB].
inline std::vector<recorded_reclaim> recorded_reclaims(const std::filesystem::path& file) {
  // Of an H200, as its vendor's tool prints it; the file has only what was free.
  constexpr std::uint64_t total_mib = 143771;
  constexpr std::uint64_t mib = std::uint64_t{1} << 20;
  const auto seconds = [](double count) {
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(count));
  };
  std::ifstream in(file);
  const auto all = nlohmann::json::parse(in);
  std::vector<recorded_reclaim> result;
  for (const auto& [held, runs] : all.at("runs").items()) {
    for (const auto& run : runs) {
      recorded_reclaim made;
      made.reaped_at = seconds(run.at("reaped_s").get<double>());
      made.since_kill.total_bytes = total_mib * mib;
      const auto held_free = run.at("held_free_MiB").get<std::uint64_t>();
      made.since_kill.baseline_bytes = held_free * mib;
      std::uint64_t back = 0;
      for (const auto& point : run.at("curve")) {
        const duration at = seconds(point.at(0).get<double>());
        made.since_kill.knots.push_back({at, back});
        back = (point.at(1).get<std::uint64_t>() - held_free) * mib;
        made.since_kill.knots.push_back({at, back});
      }
      result.push_back(std::move(made));
    }
  }
  return result;
}

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_RECORDED_RECLAIMS_HPP
