#ifndef LULL_TESTS_SUPPORT_RECLAIM_CURVES_HPP
#define LULL_TESTS_SUPPORT_RECLAIM_CURVES_HPP

#include <lull/clock.hpp>
#include <lull/settle.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

/// How the memory of devices comes back after a release: generated, and what is true about it.
namespace lull::test {

/// One device. Times are since the release.
class reclaim_curve {
 public:
  /// From `at` on, `bytes` have come back; in between linearly.
  struct knot {
    duration at;
    std::uint64_t bytes;
  };
  /// What another process did.
  struct disturbance {
    duration at;
    std::int64_t bytes;
  };

  std::string device = "GPU0";
  std::uint64_t total_bytes = 0;
  std::uint64_t baseline_bytes = 0;  ///< free before the release
  std::vector<knot> knots;           ///< in order; before the first nothing has come back
  std::vector<disturbance> others;
  std::uint64_t jitter_bytes = 0;
  std::uint64_t seed = 0;

  [[nodiscard]] std::uint64_t released_bytes() const {
    return knots.empty() ? 0 : knots.back().bytes;
  }

  [[nodiscard]] std::uint64_t free_at(duration t) const {
    std::int64_t free = static_cast<std::int64_t>(baseline_bytes + back_at(t));
    for (const disturbance& other : others) {
      if (other.at <= t) free += other.bytes;
    }
    if (jitter_bytes != 0) {
      // The same at the same moment, whoever looks.
      const std::uint64_t draw = mixed(seed ^ static_cast<std::uint64_t>(t.count()));
      free += static_cast<std::int64_t>(draw % (2 * jitter_bytes + 1)) -
              static_cast<std::int64_t>(jitter_bytes);
    }
    return static_cast<std::uint64_t>(std::clamp<std::int64_t>(free, 0, total_bytes));
  }

  /// When all has come back. Whoever waits longer waits in vain.
  [[nodiscard]] duration complete_at() const {
    return knots.empty() ? duration::zero() : knots.back().at;
  }

  /// When so much has come back that what is missing no longer matters: max(256 MiB, 2 %). Whoever
  /// returns before this returns too early.
  [[nodiscard]] duration enough_at() const {
    const std::uint64_t tolerance =
        std::max<std::uint64_t>(256ull << 20, (baseline_bytes + released_bytes()) / 50);
    if (released_bytes() <= tolerance) return duration::zero();
    const std::uint64_t enough = released_bytes() - tolerance;
    for (std::size_t i = 0; i < knots.size(); ++i) {
      if (knots[i].bytes < enough) continue;
      if (i == 0 || knots[i].at == knots[i - 1].at) return knots[i].at;
      const double share = static_cast<double>(enough - knots[i - 1].bytes) /
                           static_cast<double>(knots[i].bytes - knots[i - 1].bytes);
      return knots[i - 1].at +
             std::chrono::duration_cast<duration>(share * (knots[i].at - knots[i - 1].at));
    }
    return knots.back().at;
  }

  [[nodiscard]] memory_reading reading_at(duration t) const {
    return {device,
            {.total_bytes = total_bytes,
             .free_bytes = free_at(t),
             .used_by_process_bytes = {},
             .source = memory_source::management}};
  }

 private:
  /// The finalizer of splitmix64 (Steele, Lea and Flood, 2014).
  static constexpr std::uint64_t mixed(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  [[nodiscard]] std::uint64_t back_at(duration t) const {
    if (knots.empty() || t < knots.front().at) return 0;
    for (std::size_t i = 1; i < knots.size(); ++i) {
      if (t >= knots[i].at) continue;
      const double share = std::chrono::duration<double>(t - knots[i - 1].at) /
                           std::chrono::duration<double>(knots[i].at - knots[i - 1].at);
      return knots[i - 1].bytes +
             static_cast<std::uint64_t>(share *
                                        static_cast<double>(knots[i].bytes - knots[i - 1].bytes));
    }
    return knots.back().bytes;
  }
};

/// The devices of one machine.
using reclaim_scene = std::vector<reclaim_curve>;

inline std::vector<memory_reading> readings_at(const reclaim_scene& scene, duration t) {
  std::vector<memory_reading> readings;
  for (const reclaim_curve& each : scene) readings.push_back(each.reading_at(t));
  return readings;
}

inline duration complete_at(const reclaim_scene& scene) {
  duration latest{};
  for (const reclaim_curve& each : scene) latest = std::max(latest, each.complete_at());
  return latest;
}

inline duration enough_at(const reclaim_scene& scene) {
  duration latest{};
  for (const reclaim_curve& each : scene) latest = std::max(latest, each.enough_at());
  return latest;
}

/// Makes scenes like those that people report: reclaim starts 5 to 600 ms after the release, and is
/// one step, a ramp, or several steps up to 200 ms apart; other processes jitter by up to 8 MiB,
/// give back up to 96 MiB and take up to 1 GiB, though not at the very moment of a step.
class reclaim_generator {
 public:
  explicit reclaim_generator(std::uint64_t seed) : random_(seed) {}

  reclaim_scene next() {
    reclaim_scene scene;
    const int devices = pick(1, 3);
    const int draining = pick(1, devices);
    for (int index = 0; index < devices; ++index) {
      scene.push_back(curve("GPU" + std::to_string(index), index < draining));
    }
    return scene;
  }

 private:
  using ms = std::chrono::milliseconds;
  static constexpr std::uint64_t MiB = 1ull << 20;

  std::int64_t between(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  int pick(int low, int high) { return static_cast<int>(between(low, high)); }
  duration at_ms(std::int64_t low, std::int64_t high) {
    return std::chrono::microseconds{between(low * 1000, high * 1000)};
  }

  reclaim_curve curve(std::string device, bool drains) {
    reclaim_curve made;
    constexpr std::int64_t cards_gib[] = {8, 24, 80, 192};
    const std::int64_t total = cards_gib[pick(0, 3)] * 1024;
    made.device = std::move(device);
    made.total_bytes = static_cast<std::uint64_t>(total) * MiB;
    // At least 2 GiB stay free or used by others, so that disturbances are never cut off.
    const std::int64_t released = drains ? between(512, total - 4096) : 0;
    made.baseline_bytes = static_cast<std::uint64_t>(between(2048, total - 2048 - released)) * MiB;
    made.jitter_bytes = static_cast<std::uint64_t>(between(0, 8)) * MiB;
    made.seed = random_();
    if (drains) add_release(made, static_cast<std::uint64_t>(released) * MiB);
    if (pick(1, 10) <= 3) add_fall(made);
    if (pick(1, 10) <= 2) made.others.push_back({at_ms(0, 1500), between(1, 96) * 1048576});
    return made;
  }

  /// Never at the moment of a step: nobody who looks at free memory can see both.
  void add_fall(reclaim_curve& made) {
    const duration at = at_ms(0, 1500);
    const bool hides_a_step = std::any_of(made.knots.begin(), made.knots.end(), [&](auto& knot) {
      return std::chrono::abs(knot.at - at) <= ms{30};
    });
    const std::int64_t bytes = between(16, 1024) * 1048576;
    if (!hides_a_step) made.others.push_back({at, -bytes});
  }

  void add_release(reclaim_curve& made, std::uint64_t bytes) {
    const double exponent = std::uniform_real_distribution<double>(0, 1)(random_);
    // Logarithmic from 5 to 600 ms: short starts are the rule, long ones happen.
    const duration start = std::chrono::duration_cast<duration>(
        std::chrono::duration<double, std::milli>(5 * std::pow(120.0, exponent)));
    switch (pick(0, 3)) {
      case 0: made.knots = {{start, bytes}}; break;
      case 1: made.knots = {{start, 0}, {start + at_ms(20, 600), bytes}}; break;
      case 2: {
        // A slow release of what can come back within about 1.2 s at 200 MiB/s to 2 GiB/s.
        const auto rate = static_cast<std::uint64_t>(between(200, 2048)) * MiB;
        const std::uint64_t slow = std::min(bytes, rate * 6 / 5);
        const duration span = std::chrono::microseconds{slow / (rate / 1'000'000)};
        made.knots = {{start, bytes - slow}, {start + span, bytes}};
        break;
      }
      default: {
        const int steps = pick(2, 4);
        duration at = start;
        for (int step = 1; step <= steps; ++step) {
          const std::uint64_t before = made.knots.empty() ? 0 : made.knots.back().bytes;
          if (step > 1) made.knots.push_back({at, before});
          made.knots.push_back(
              {at, bytes * static_cast<std::uint64_t>(step) / static_cast<std::uint64_t>(steps)});
          at += at_ms(20, 200);
        }
      }
    }
  }

  std::mt19937_64 random_;
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_RECLAIM_CURVES_HPP
