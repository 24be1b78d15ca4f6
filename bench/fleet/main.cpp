// A fleet of nodes under a cluster's controller: sleepers counted, as the controller does it, and
// chosen by bytes, as lull::budget does.

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "fleet/fleet.hpp"

namespace {

using bench::fleet::contestant;
using bench::fleet::fleet_load;
using bench::fleet::fleet_size;
using bench::fleet::outcome;

constexpr std::array<std::uint32_t, 3> seeds = {1, 2, 3};
constexpr double gib = 1 << 30;
constexpr double tib = gib * 1024;

/// What came of a contestant with each seed.
struct line {
  std::string name;
  fleet_size size;
  double active = 0;  ///< models, with the last seed
  std::vector<outcome> results{};
};

std::vector<line>& lines() {
  static std::vector<line> all;
  return all;
}

/// The last one is kept: all contestants of a seed come one after the other.
const fleet_load& load_of(const fleet_size& size, std::uint32_t seed) {
  static std::pair<std::uint64_t, fleet_load> last;
  const std::uint64_t key = size.host_bytes + seed;
  if (last.first != key) {
    last.second = {};
    last = {key, make_load(size, seed)};
  }
  return last.second;
}

double residents(const outcome& result, const fleet_size& size) {
  return result.resident_seconds / result.seconds * static_cast<double>(size.nodes);
}

void count(benchmark::State& state, const fleet_size& size, outcome& result) {
  const auto add = [&](const char* name, auto value) {
    state.counters[name] = static_cast<double>(value);
  };
  add("requests", result.requests);
  add("found_awake", result.answered[0]);
  add("from_sleep", result.answered[1]);
  add("from_cold", result.answered[2]);
  add("refused_never_fits", result.refused[0]);
  add("refused_no_turn", result.refused[1]);
  add("refused_gpu_memory_check", result.refused[2]);
  add("refused_host_memory", result.refused[3]);
  add("wakes", result.wakes);
  add("wakes_from_checkpoint", result.restores);
  add("cold_starts", result.colds);
  add("ended", result.ended);
  add("copied_bytes", result.copied_bytes);
  add("loaded_bytes", result.loaded_bytes);
  add("models_resident", residents(result, size));
  add("sleepers_hold_at_most_bytes", result.sleeper_bytes);
  add("left_for_awake_bytes", result.room_bytes);
  add("overfull", result.overfull);
  add("first_token_p50_s", result.percentile(0.5));
  add("first_token_p90_s", result.percentile(0.9));
  add("first_token_p99_s", result.percentile(0.99));
}

void run(benchmark::State& state, const fleet_size& size, const contestant& who, line& to,
         std::uint32_t seed) {
  const fleet_load& load = load_of(size, seed);
  outcome result;
  for (auto _ : state) result = bench::fleet::run(load, who);
  count(state, size, result);
  state.counters["seed"] = seed;
  state.counters["active_models"] = to.active = load.active;
  to.results.push_back(std::move(result));
}

void print(line& each) {
  using part = std::function<double(outcome&)>;
  const auto mean = [&](const part& what) {
    double sum = 0;
    for (outcome& result : each.results) sum += what(result);
    return sum / static_cast<double>(each.results.size());
  };
  const auto percent = [&](const std::function<std::size_t(const outcome&)>& what) {
    return 100 * mean([&](const outcome& result) {
             return static_cast<double>(what(result)) / static_cast<double>(result.requests);
           });
  };
  // Whoever is refused has waited in vain, however long.
  const auto seconds = [](double value) {
    return value < 120 ? fmt::format("{:.1f}", value) : std::string("never");
  };
  const auto percentile = [&](double which) {
    return seconds(mean([&](outcome& result) { return result.percentile(which); }));
  };
  std::vector<double> late;
  for (outcome& result : each.results) late.push_back(result.percentile(0.99));
  std::sort(late.begin(), late.end());
  fmt::print("{:<32} {:>8.0f} {:>7.2f} {:>7.2f} {:>6.2f} {:>9.2f} {:>6} {:>6} {:>6} {:>12}",
             each.name, mean([&](outcome& result) { return residents(result, each.size); }),
             percent([](const outcome& result) { return result.answered[0]; }),
             percent([](const outcome& result) { return result.answered[1]; }),
             percent([](const outcome& result) { return result.answered[2]; }),
             percent([](const outcome& result) { return result.all_refused(); }), percentile(0.5),
             percentile(0.9), percentile(0.99),
             seconds(late.front()) + " - " + seconds(late.back()));
  const auto tebibytes = [&](std::uint64_t outcome::*which) {
    return mean([&](outcome& result) { return static_cast<double>(result.*which) / tib; });
  };
  fmt::print(" {:>8.0f} {:>8.0f} {:>8.1f} {:>6.0f}\n", tebibytes(&outcome::copied_bytes),
             tebibytes(&outcome::loaded_bytes),
             mean([](outcome& result) { return static_cast<double>(result.sleeper_bytes) / gib; }),
             mean([](outcome& result) { return static_cast<double>(result.room_bytes) / gib; }));
}

void print_refusals(const line& each) {
  fmt::print("{:<32}", each.name);
  for (std::size_t why = 0; why < bench::fleet::refusals; ++why) {
    std::size_t sum = 0;
    for (const outcome& result : each.results) sum += result.refused[why];
    fmt::print(" {:>18}", sum);
  }
  fmt::print("\n");
}

void print_tables() {
  fmt::print(
      "\n{:<32} {:>8} {:>7} {:>7} {:>6} {:>9} {:>6} {:>6} {:>6} {:>12} {:>8} {:>8} {:>8} {:>6}\n",
      "case (means of the seeds)", "resident", "awake %", "sleep %", "cold %", "refused %", "p50 s",
      "p90 s", "p99 s", "p99 by seed", "copied", "loaded", "sleepers", "awake");
  for (line& each : lines()) print(each);
  fmt::print(
      "(copied, loaded: TiB; sleepers: the most that they held on a GPU, awake: the least that "
      "was left for whoever is awake, GiB)\n");
  fmt::print("\n{:<32}", "refused, all seeds");
  for (const char* const why : bench::fleet::refusal_names) fmt::print(" {:>18}", why);
  fmt::print("\n");
  for (const line& each : lines()) print_refusals(each);
  const line& any = lines().front();
  fmt::print("\n{} nodes, {} models; on average somebody wants {:.0f} of the models at a time\n",
             any.size.nodes, any.size.models, any.active);
}

void add(const fleet_size& size) {
  for (const contestant& who : bench::fleet::contestants) {
    lines().push_back({fmt::format("{} GiB: {}", size.host_bytes >> 30U, who.name), size});
  }
}

void register_lines() {
  const std::size_t each_size = bench::fleet::contestants.size();
  for (std::size_t first = 0; first < lines().size(); first += each_size) {
    for (const std::uint32_t seed : seeds) {
      for (std::size_t index = 0; index < each_size; ++index) {
        line& to = lines()[first + index];
        const contestant& who = bench::fleet::contestants[index];
        benchmark::RegisterBenchmark(
            fmt::format("fleet, {}/seed {}", to.name, seed).c_str(),
            [&to, &who, seed](benchmark::State& state) { run(state, to.size, who, to, seed); })
            ->Iterations(1)
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  fleet_size size;
  // A fiftieth of it, to see whether it works.
  if (argc > 1 && std::string_view(argv[argc - 1]) == "--small") {
    --argc;
    size.nodes /= 50;
    size.models /= 50;
    size.requests_per_second /= 50;
  }
  add(size);
  size.host_bytes *= 2;
  add(size);
  register_lines();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("seeds", fmt::format("{}", fmt::join(seeds, ", ")));
  benchmark::AddCustomContext("nodes", std::to_string(size.nodes));
  benchmark::AddCustomContext("models", std::to_string(size.models));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (std::all_of(lines().begin(), lines().end(),
                  [](const line& each) { return each.results.size() == seeds.size(); })) {
    print_tables();
  }
  return 0;
}
