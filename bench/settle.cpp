// What settle() costs when there is nothing to wait for, what a look costs, also by each vendor's
// way on the simulated GPU, and how long after all memory is back it returns, beside what others
// do, on generated reclaim curves.

#include <lull/settle.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "comparison.hpp"
#include "settle_vendors.hpp"
#include "support/hurrying_clock.hpp"
#include "support/reclaim_curves.hpp"
#include "support/settle_peers.hpp"

namespace {

using lull::duration;
using lull::test::peer_outcome;
using lull::test::reclaim_scene;

constexpr std::uint64_t seed = 1;  // the same scenes for every contestant and every run
constexpr int scene_count = 2000;

std::vector<lull::memory_reading> read_constant() {
  return {{"GPU0",
           {.total_bytes = 24ull << 30,
            .free_bytes = 8ull << 30,
            .used_by_process_bytes = {},
            .source = {}}}};
}

// Nothing to wait for: the price of every measurement that no release precedes.

void skip_no_release(benchmark::State& state) {
  const std::vector<lull::memory_probe> probes{{"constant", read_constant}};
  const lull::release_clock releases;
  lull::settle_options options;
  options.releases = &releases;
  for (auto _ : state) benchmark::DoNotOptimize(lull::settle(probes, options));
}

void skip_stale_release(benchmark::State& state) {
  const std::vector<lull::memory_probe> probes{{"constant", read_constant}};
  lull::release_clock releases;
  releases.mark_at("GPU0", releases.time().now() - std::chrono::minutes{1});
  lull::settle_options options;
  options.releases = &releases;
  for (auto _ : state) benchmark::DoNotOptimize(lull::settle(probes, options));
}

void mark_release(benchmark::State& state) {
  lull::release_clock releases;
  for (auto _ : state) releases.mark("GPU0");
}

// One look, with the way to the probe's thread and back: the gain is there already.

void look_by_settle(benchmark::State& state) {
  const std::vector<lull::memory_probe> probes{{"constant", read_constant}};
  lull::settle_options options;
  options.expected = {{"GPU0", 1, 0}};
  for (auto _ : state) {
    options.released_at = lull::steady_clock().now();
    const auto result = lull::settle(probes, options);
    if (result.status != lull::settle_status::settled) state.SkipWithError("did not settle");
  }
}

void look_by_hand(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(read_constant());
}

peer_outcome lull_settle(const reclaim_scene& scene, bool with_gain) {
  lull::test::hurrying_clock time;
  lull::release_clock releases(time);
  lull::settle_options options;
  options.releases = &releases;
  for (const auto& each : scene) {
    if (each.released_bytes() != 0) releases.mark(each.device);
    if (with_gain) {
      options.expected.push_back({each.device, each.released_bytes(), each.baseline_bytes});
    }
  }
  const auto started_at = time.now();
  const std::vector<lull::memory_probe> probes{
      {"scene", [&] { return readings_at(scene, time.now() - started_at); }}};
  const auto result = lull::settle(probes, options);
  return {result.elapsed, result.status == lull::settle_status::settled};
}

/// How a contestant did on all scenes.
struct lag {
  std::string name;
  int early = 0;
  int gave_up = 0;
  std::vector<duration> extra;  ///< waited in vain, where it was not early; sorted

  lag(std::string contestant, const std::function<peer_outcome(const reclaim_scene&)>& settle)
      : name(std::move(contestant)) {
    lull::test::reclaim_generator generator(seed);
    for (int i = 0; i < scene_count; ++i) {
      const reclaim_scene scene = generator.next();
      const peer_outcome outcome = settle(scene);
      gave_up += outcome.converged ? 0 : 1;
      if (outcome.converged && outcome.returned_after < enough_at(scene)) {
        ++early;
      } else {
        extra.push_back(std::max(duration::zero(), outcome.returned_after - complete_at(scene)));
      }
    }
    std::sort(extra.begin(), extra.end());
  }

  [[nodiscard]] double percentile_ms(double share) const {
    const auto at = static_cast<std::size_t>(share * static_cast<double>(extra.size() - 1));
    return std::chrono::duration<double, std::milli>(extra[at]).count();
  }

  /// One iteration per scene; its time is the wait in vain, not time of this machine.
  void add_to_benchmarks() const {
    const auto body = [this](benchmark::State& state) {
      std::size_t at = 0;
      for (auto _ : state) {
        state.SetIterationTime(std::chrono::duration<double>(extra[at++]).count());
      }
      state.counters["early"] = early;
      state.counters["gave_up"] = gave_up;
      for (const int percent : {50, 90, 99, 100}) {
        state.counters[fmt::format("p{}_ms", percent)] = percentile_ms(percent / 100.0);
      }
    };
    benchmark::RegisterBenchmark(name.c_str(), body)
        ->Iterations(static_cast<benchmark::IterationCount>(extra.size()))
        ->UseManualTime()
        ->Repetitions(2)
        ->DisplayAggregatesOnly(true);
  }

  void print() const {
    fmt::print("{:<40} {:>6} {:>8} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f}\n", name, early, gave_up,
               percentile_ms(0.5), percentile_ms(0.9), percentile_ms(0.99), percentile_ms(1));
  }
};

void add(const char* name, const std::function<void(benchmark::State&)>& body) {
  benchmark::RegisterBenchmark(name, body)
      ->UseRealTime()
      ->Repetitions(9)
      ->ReportAggregatesOnly(false)
      ->DisplayAggregatesOnly(true);
}

}  // namespace

int main(int argc, char** argv) {
  add("skip/no_release", skip_no_release);
  add("skip/stale_release", skip_stale_release);
  add("mark/release", mark_release);
  add("look/settle", look_by_settle);
  add("look/by_hand", look_by_hand);

#ifdef BENCH_SIMGPU
  bench::add_vendor_probes(add);
#endif

  const std::vector<lag> lags{
      {"lag/lull", [](const reclaim_scene& scene) { return lull_settle(scene, false); }},
      {"lag/unsloth_studio", lull::test::unsloth_settle},
      {"lag_with_gain/lull", [](const reclaim_scene& scene) { return lull_settle(scene, true); }},
      {"lag_with_gain/ollama", lull::test::ollama_settle}};
  for (const lag& each : lags) each.add_to_benchmarks();

  const int code = bench::run(argc, argv, "ns");
  fmt::print("\n{:<40} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
             fmt::format("wait in vain, {} scenes (ms)", scene_count), "early", "gave up", "median",
             "90 %", "99 %", "longest");
  for (const lag& each : lags) each.print();
  return code;
}
