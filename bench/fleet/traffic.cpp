#include "fleet/traffic.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <queue>
#include <utility>

// What is published of such traffic, and what was made of it here:
//
// - Aegaeon (SOSP 2025), a market of models: 94.1 % of the models get 1.35 % of the requests; a
//   request takes 16.79 s on average. Where models are asked for by Poisson processes of rate r, a
//   request of which takes t, 1 - exp(-r t) of them are active at a time: 46.55 of 100 at 0.037/s.
// - Serverless in the Wild (ATC 2020), the applications of Azure Functions: 45 % are called once an
//   hour at most, 81 % once a minute at most; calls are half constant, half by the time of the day.
// - BurstGPT (arXiv 2401.17644) and ServeGen (arXiv 2505.09999): requests to language models come
//   in bursts, much unlike a Poisson process (gamma with a coefficient of variation above 1).
// - The Azure trace of 2023 (Splitwise, ISCA 2024): prompts of about 1000 tokens in the median.
//
// So: the k-th model is wanted 1/k as often as the first, at a rate at which 45 % of the models are
// called once an hour at most; models that are always wanted get a node for themselves, and more
// weight on those would only add requests that are alike for all. Requests come in conversations,
// which makes bursts of them; conversations come and go with the hour. How many turns they have,
// and how long the pauses between are, is an assumption.

namespace bench::fleet {
namespace {

using lull::duration;

constexpr double mean_work_seconds = 16.79;
constexpr double spread_of_work = 1.0;  // of its logarithm
constexpr double mean_turns = 3.5;
constexpr double mean_pause_seconds = 60;
constexpr double day_seconds = 24 * 3600;

duration seconds(double count) {
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(count));
}

/// Numbers from a seed (splitmix64), cheap to begin anew for each model.
class numbers {
 public:
  numbers(std::uint64_t seed, std::uint64_t stream) : state_(seed * 0x9E3779B97F4A7C15U + stream) {
    for (int round = 0; round < 4; ++round) static_cast<void>(next());
  }
  std::uint64_t next() {
    std::uint64_t mixed = state_ += 0x9E3779B97F4A7C15U;
    mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
    return mixed ^ (mixed >> 31U);
  }
  /// 0 to below 1.
  double uniform() { return static_cast<double>(next() >> 11U) / 9007199254740992.0; }
  double exponential(double mean) { return -std::log(1 - uniform()) * mean; }
  double normal() {
    return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(6.283185307179586 * uniform());
  }
  double log_normal(double median, double spread) { return median * std::exp(spread * normal()); }

 private:
  std::uint64_t state_;
};

// Models -----------------------------------------------------------------------------------------

struct kind {
  double share;
  double parameters;
  double layers;
};
/// As the families of Llama and Qwen have them.
constexpr std::array kinds = {kind{0.4, 8, 32}, kind{0.2, 14, 40}, kind{0.2, 32, 64},
                              kind{0.2, 70, 80}};

double bytes_per_parameter(double pick, double parameters) {
  const double precision = pick < 0.4 ? 2 : pick < 0.7 ? 1 : 0.56;
  // 70 B of 16 bits do not fit on one GPU with anything besides.
  return parameters >= 70 && precision > 1 ? 1 : precision;
}

fleet_model make_model(numbers& random) {
  constexpr double mib = 1 << 20;
  constexpr double gib = 1 << 30;
  double pick = random.uniform();
  const kind* size = kinds.data();
  while (size != &kinds.back() && pick >= size->share) pick -= (size++)->share;
  fleet_model made;
  made.parameters = size->parameters;
  const double weights =
      size->parameters * 1e9 * bytes_per_parameter(random.uniform(), size->parameters);
  made.weights = static_cast<std::uint64_t>(weights);
  // Asleep on an H200: a context has 518 to 526 MiB, an engine on PyTorch 777 to 1047 MiB with it,
  // llama-server 584 to 714 MiB (docs/hardware-notes.md). vLLM's captured graphs come on top, 1.86
  // GiB for the 64 layers of Qwen3-32B (llm-d, guides/gke-pod-snapshots, on an H100). Three engines
  // of four are of that kind.
  const bool has_graphs = random.uniform() < 0.75;
  const double residue = has_graphs
                             ? (777 + random.uniform() * 270) * mib + size->layers / 64 * 1.86 * gib
                             : (584 + random.uniform() * 130) * mib;
  made.residue = static_cast<std::uint64_t>(residue);
  made.least = static_cast<std::uint64_t>(weights + residue + 4 * gib);
  const double cache = 6 * gib + weights / 4;
  const double expected = weights + residue + cache;
  made.expected = static_cast<std::uint64_t>(expected);
  made.awake = static_cast<std::uint64_t>(expected * (0.92 + random.uniform() * 0.08));
  return made;
}

double activity(const fleet_model& model) {
  return 1 - std::exp(-model.rate * mean_work_seconds);
}

/// By what they are expected to have to do, as a scheduler sees it: the busiest first, each to the
/// node with the least to do; of equal ones to that with the fewest models.
std::vector<node_load> place(std::vector<fleet_model> models, std::size_t nodes) {
  std::vector<node_load> placed(nodes);
  using place_of = std::pair<std::pair<double, std::size_t>, std::size_t>;
  std::priority_queue<place_of, std::vector<place_of>, std::greater<>> least;
  for (std::size_t node = 0; node < nodes; ++node) least.push({{0, 0}, node});
  std::stable_sort(models.begin(), models.end(),
                   [](const auto& a, const auto& b) { return a.rate > b.rate; });
  for (const fleet_model& model : models) {
    auto [load, node] = least.top();
    least.pop();
    placed[node].models.push_back(model);
    least.push({{load.first + activity(model), load.second + 1}, node});
  }
  return placed;
}

// Requests ---------------------------------------------------------------------------------------

/// Least after a quarter of the day, most after three.
double by_the_hour(double at) {
  return 1 - 0.5 * std::sin(6.283185307179586 * at / day_seconds);
}

void add_requests(node_load& node, std::size_t index, double hours, numbers random) {
  const fleet_model& model = node.models[index];
  const double end = hours * 3600;
  const double most = 1.5 * model.rate / mean_turns;
  const double median_work = mean_work_seconds / std::exp(spread_of_work * spread_of_work / 2);
  for (double at = random.exponential(1 / most); at < end; at += random.exponential(1 / most)) {
    if (random.uniform() * 1.5 > by_the_hour(at)) continue;
    double turn = at;
    do {
      // A prompt at 20 000 tokens a second for 8 billion parameters, and as much slower as there
      // are more.
      const double tokens = random.log_normal(1000, 0.8);
      const double prefill = 0.02 + tokens * model.parameters / 8 / 20000;
      const double work = prefill + random.log_normal(median_work, spread_of_work);
      node.requests.push_back({seconds(turn), seconds(prefill), seconds(work), index});
      turn += work + random.exponential(mean_pause_seconds);
    } while (random.uniform() < 1 - 1 / mean_turns && turn < end);
  }
}

}  // namespace

lull::duration wake_time(const fleet_model& model) {
  // An H200 wakes at 49.7 to 55.3 GB/s from pinned memory; the rest is for the engine.
  return seconds(0.3 + static_cast<double>(model.weights) / 50e9);
}

lull::duration cold_time(const fleet_model& model) {
  // vLLM, cold, on a B200 from a network file system: 52.4 s with 0.6 B, 79.3 with 32 B, 97.8 with
  // 72 B (ai-dynamo/snapshot, benchmarks.md).
  return seconds(52 + static_cast<double>(model.weights) / 3.1e9);
}

fleet_load make_load(const fleet_size& size, std::uint32_t seed) {
  fleet_load load;
  numbers random(seed, 0);
  std::vector<fleet_model> models;
  double sum = 0;
  for (std::size_t rank = 1; rank <= size.models; ++rank) sum += 1.0 / static_cast<double>(rank);
  for (std::size_t rank = 1; rank <= size.models; ++rank) {
    models.push_back(make_model(random));
    models.back().rate = size.requests_per_second / sum / static_cast<double>(rank);
    load.active += activity(models.back());
  }
  load.nodes = place(std::move(models), size.nodes);
  std::uint64_t stream = 1;
  for (node_load& node : load.nodes) {
    node.host_bytes = size.host_bytes;
    node.counted_from = seconds(size.counted_from * 3600);
    node.end = seconds(size.hours * 3600);
    for (std::size_t index = 0; index < node.models.size(); ++index) {
      add_requests(node, index, size.hours, numbers(seed, stream++));
    }
    std::sort(node.requests.begin(), node.requests.end(), [](const auto& a, const auto& b) {
      return std::pair(a.at, a.model) < std::pair(b.at, b.model);
    });
  }
  return load;
}

}  // namespace bench::fleet
