#include "budget_replay.hpp"

#include <lull/budget.hpp>
#include <lull/bytes.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

namespace bench {
namespace {

using namespace lull::literals;
using lull::duration;
using lull::time_point;

constexpr std::uint64_t gpu_bytes = 80_GiB;
constexpr std::uint64_t host_bytes = 128_GiB;
constexpr std::uint64_t largest_bytes = 40_GiB;

duration seconds(double count) {
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(count));
}
double in_seconds(duration span) {
  return std::chrono::duration<double>(span).count();
}

// What things take: an H200 wakes from pinned host memory at about 50 GB/s
// (docs/hardware-notes.md); a load from a disk at 2 GB/s, with 5 s for the start of an engine.
duration wake_time(std::uint64_t bytes) {
  return seconds(0.3 + static_cast<double>(bytes) / 50e9);
}
duration load_time(std::uint64_t bytes) {
  return seconds(5 + static_cast<double>(bytes) / 2e9);
}
constexpr duration leave_time = std::chrono::seconds(1);

// Traces -----------------------------------------------------------------------------------------

struct request {
  duration at;
  std::size_t model;
  duration work;
};

struct trace {
  std::string name;
  std::vector<std::uint64_t> models;  ///< the bytes of each
  std::vector<request> requests;      ///< as they come
};

std::vector<std::uint64_t> twelve_models() {
  return {8_GiB,  40_GiB, 16_GiB, 5_GiB, 24_GiB, 9_GiB,
          36_GiB, 4_GiB,  14_GiB, 8_GiB, 20_GiB, 18_GiB};
}

/// Numbers from a seed, the same with every standard library.
class numbers {
 public:
  explicit numbers(std::uint32_t seed) : engine_(seed) {}
  /// 0 to below 1.
  double uniform() { return static_cast<double>(engine_()) / 4294967296.0; }
  double between(double from, double to) { return from + uniform() * (to - from); }
  double exponential(double rate) { return -std::log(1 - uniform()) / rate; }
  /// The k-th is wanted 1 / k as often as the first.
  std::size_t popular(std::size_t count) {
    double sum = 0;
    for (std::size_t k = 1; k <= count; ++k) sum += 1.0 / static_cast<double>(k);
    double left = uniform() * sum;
    for (std::size_t k = 1; k < count; ++k) {
      left -= 1.0 / static_cast<double>(k);
      if (left < 0) return k - 1;
    }
    return count - 1;
  }

 private:
  std::mt19937 engine_;
};

void add(trace& to, double at, std::size_t model, numbers& random) {
  to.requests.push_back({seconds(at), model, seconds(random.between(1, 8))});
}

/// Every model all the time, some more than others.
trace steady() {
  trace made{"steady", twelve_models(), {}};
  numbers random(1);
  for (double at = 0; at < 6 * 3600; at += random.exponential(0.2)) {
    add(made, at, random.popular(made.models.size()), random);
  }
  return made;
}

/// A day, with two models wanted most in each sixth of it.
trace diurnal() {
  trace made{"diurnal", twelve_models(), {}};
  numbers random(2);
  for (double at = 0; at < 24 * 3600; at += random.exponential(0.1)) {
    const auto shift = static_cast<std::size_t>(at / (4 * 3600)) * 2;
    const bool of_the_hour = random.uniform() < 0.8;
    const std::size_t model =
        of_the_hour ? shift + (random.uniform() < 0.6 ? 0 : 1) : random.popular(made.models.size());
    add(made, at, model % made.models.size(), random);
  }
  return made;
}

/// A few models in bursts, and between them many that are wanted once.
trace bursty() {
  trace made{"bursty, one-off models", twelve_models(), {}};
  numbers random(3);
  for (double at = 0; at < 6 * 3600; at += random.exponential(1.0 / 90)) {
    const std::size_t model = random.popular(6);
    const int requests = 3 + static_cast<int>(random.uniform() * 12);
    for (int count = 0; count < requests; ++count) {
      add(made, at + random.between(0, 40), model, random);
    }
  }
  for (double at = 0; at < 6 * 3600; at += random.exponential(1.0 / 120)) {
    made.models.push_back(static_cast<std::uint64_t>(random.between(2, 20)) * 1_GiB);
    add(made, at, made.models.size() - 1, random);
  }
  std::sort(made.requests.begin(), made.requests.end(),
            [](const request& a, const request& b) { return a.at < b.at; });
  return made;
}

// The machine ------------------------------------------------------------------------------------

class machine {
 public:
  void in(duration span, std::function<void()> what) {
    events_.emplace(std::pair(time.now() + span, number_++), std::move(what));
  }
  /// @param due when something else has to be done, which `work` does
  void run(const std::function<time_point()>& due, const std::function<void()>& work) {
    while (!events_.empty()) {
      const time_point event = events_.begin()->first.first;
      const time_point next = std::min(event, due());
      if (next > time.now()) time.advance(next - time.now());
      if (next < event) {
        work();
        continue;
      }
      const auto what = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      what();
    }
  }

  lull::manual_clock time;

 private:
  std::map<std::pair<time_point, std::uint64_t>, std::function<void()>> events_;
  std::uint64_t number_ = 0;
};

struct outcome {
  std::size_t requests = 0;
  std::size_t wakes = 0;  ///< from host memory
  std::size_t loads = 0;  ///< from disk
  std::uint64_t moved_bytes = 0;
  std::vector<double> waits{};  ///< in seconds

  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const double each : waits) sum += each;
    return sum / static_cast<double>(waits.size());
  }
  [[nodiscard]] double percentile(double share) {
    std::sort(waits.begin(), waits.end());
    return waits[static_cast<std::size_t>(share * static_cast<double>(waits.size() - 1))];
  }
};

/// A model comes in from where it is.
duration bring(outcome& to, std::uint64_t bytes, bool asleep) {
  ++(asleep ? to.wakes : to.loads);
  to.moved_bytes += bytes;
  return asleep ? wake_time(bytes) : load_time(bytes);
}

// Plain LRU --------------------------------------------------------------------------------------

/// What routers do: models in the order they were asked for, and whoever was not used for longest
/// leaves. To host memory, as long as that has room; of those the oldest goes altogether.
class plain_lru {
 public:
  plain_lru(const trace& from, machine& on, bool by_count, outcome& to)
      : on_(on), by_count_(by_count), to_(to) {
    for (const std::uint64_t bytes : from.models) models_.push_back({bytes});
  }

  void ask(std::size_t index, std::function<void()> got) {
    model& wanted = models_[index];
    wanted.last_used = on_.time.now();
    if (wanted.state == where::ready) {
      ++wanted.leases;
      return got();
    }
    wanted.waits.push_back(std::move(got));
    if (!std::exchange(wanted.queued, true)) queue_.push_back(index);
    pump();
  }
  void release(std::size_t index) {
    --models_[index].leases;
    models_[index].last_used = on_.time.now();
    pump();
  }

 private:
  enum class where { gone, asleep, loading, ready, leaving };
  struct model {
    std::uint64_t bytes;
    where state = where::gone;
    int leases = 0;
    bool queued = false;
    time_point last_used{};
    std::vector<std::function<void()>> waits{};
  };

  [[nodiscard]] bool fits(const model& wanted, bool when_all_left) const {
    std::uint64_t used = wanted.bytes;
    std::size_t count = 1;
    for (const model& each : models_) {
      const bool counts = each.state == where::ready || each.state == where::loading ||
                          (each.state == where::leaving && !when_all_left);
      if (!counts) continue;
      used += each.bytes;
      ++count;
    }
    return by_count_ ? count <= gpu_bytes / largest_bytes : used <= gpu_bytes;
  }

  void pump() {
    while (!queue_.empty()) {
      model& wanted = models_[queue_.front()];
      if (wanted.state == where::leaving) return;
      if (!fits(wanted, false)) {
        while (!fits(wanted, true) && evict_one()) continue;
        return;
      }
      load(queue_.front());
      queue_.pop_front();
    }
  }

  void load(std::size_t index) {
    model& wanted = models_[index];
    const duration takes = bring(to_, wanted.bytes, wanted.state == where::asleep);
    wanted.queued = false;
    wanted.state = where::loading;
    on_.in(takes, [this, index] {
      model& loaded = models_[index];
      loaded.state = where::ready;
      for (const auto& got : std::exchange(loaded.waits, {})) {
        ++loaded.leases;
        got();
      }
    });
  }

  model* oldest(where state) {
    model* found = nullptr;
    for (model& each : models_) {
      if (each.state != state || each.leases > 0) continue;
      if (found == nullptr || each.last_used < found->last_used) found = &each;
    }
    return found;
  }

  [[nodiscard]] std::uint64_t asleep_bytes() const {
    std::uint64_t sum = 0;
    for (const model& each : models_) sum += each.state == where::asleep ? each.bytes : 0;
    return sum;
  }

  bool evict_one() {
    model* const leaver = oldest(where::ready);
    if (leaver == nullptr) return false;
    leaver->state = where::leaving;
    // Who has to leave host memory for it does so first, and takes as long as anybody who leaves.
    const bool has_room = asleep_bytes() + leaver->bytes <= host_bytes;
    on_.in(has_room ? leave_time : 2 * leave_time, [this, leaver] {
      while (asleep_bytes() + leaver->bytes > host_bytes) {
        oldest(where::asleep)->state = where::gone;
      }
      leaver->state = where::asleep;
      to_.moved_bytes += leaver->bytes;
      pump();
    });
    return true;
  }

  machine& on_;
  const bool by_count_;
  outcome& to_;
  std::vector<model> models_;
  std::deque<std::size_t> queue_;
};

outcome replay_lru(const trace& from, bool by_count) {
  outcome result;
  machine on;
  plain_lru router(from, on, by_count, result);
  for (const request& each : from.requests) {
    on.in(each.at, [&] {
      const time_point asked = on.time.now();
      router.ask(each.model, [&, asked] {
        result.waits.push_back(in_seconds(on.time.now() - asked));
        on.in(each.work, [&] { router.release(each.model); });
      });
    });
  }
  on.run([] { return lull::no_deadline; }, [] {});
  return result;
}

// The budget -------------------------------------------------------------------------------------

outcome replay_budget(const trace& from) {
  outcome result;
  machine on;
  std::vector<bool> asleep(from.models.size(), false);
  lull::budget_options options;
  options.devices = {{"GPU0", gpu_bytes, 0}, {"HOST", host_bytes, 0}};
  options.time = &on.time;
  options.run_on = [&](std::function<void()> job) { on.in(leave_time, std::move(job)); };
  options.evict = [&](const lull::budget_eviction& what) {
    const auto index = static_cast<std::size_t>(std::stoul(what.model));
    asleep[index] = what.depth == 0;
    if (what.depth == 0) result.moved_bytes += from.models[index];
  };
  lull::budget budget(options);
  for (std::size_t index = 0; index < from.models.size(); ++index) {
    const std::uint64_t bytes = from.models[index];
    budget.add({.name = std::to_string(index),
                .need = {{"GPU0", bytes}},
                .levels = {{"offload", {{"HOST", bytes}}}, {"unload"}},
                .wake_time = wake_time(bytes)});
  }
  const auto work = [&](const std::shared_ptr<lull::budget_ticket>& ticket, const request& what,
                        time_point asked) {
    result.waits.push_back(in_seconds(on.time.now() - asked));
    on.in(what.work, [ticket] { ticket->release(); });
  };
  for (const request& each : from.requests) {
    on.in(each.at, [&] {
      const time_point asked = on.time.now();
      const auto got = [&, asked](lull::budget::admission admitted) {
        const auto ticket = std::make_shared<lull::budget_ticket>(std::move(admitted.ticket));
        if (!ticket->must_load()) return work(ticket, each, asked);
        on.in(bring(result, from.models[each.model], asleep[each.model]), [&, ticket, asked] {
          ticket->confirm();
          work(ticket, each, asked);
        });
      };
      budget.admit_async(std::to_string(each.model), lull::no_deadline, got);
    });
  }
  on.run([&] { return budget.next_tick(); }, [&] { budget.tick(); });
  return result;
}

// What came of them ------------------------------------------------------------------------------

struct line {
  std::string trace;
  std::string contestant;
  outcome result;
};

std::vector<line>& lines() {
  static std::vector<line> all;
  return all;
}

void replay(benchmark::State& state, const trace& from, const std::string& contestant) {
  outcome result;
  for (auto _ : state) {
    result =
        contestant == "lull" ? replay_budget(from) : replay_lru(from, contestant == "LRU by count");
  }
  result.requests = from.requests.size();
  state.counters["requests"] = static_cast<double>(result.requests);
  state.counters["answered"] = static_cast<double>(result.waits.size());
  state.counters["wakes"] = static_cast<double>(result.wakes);
  state.counters["loads"] = static_cast<double>(result.loads);
  state.counters["moved_bytes"] = static_cast<double>(result.moved_bytes);
  state.counters["wait_mean_s"] = result.mean();
  state.counters["wait_p99_s"] = result.percentile(0.99);
  state.counters["wait_longest_s"] = result.percentile(1);
  // Once, however often it was repeated: nothing in it is measured.
  const auto known = [&](const line& each) {
    return each.trace == from.name && each.contestant == contestant;
  };
  if (std::none_of(lines().begin(), lines().end(), known)) {
    lines().push_back({from.name, contestant, std::move(result)});
  }
}

}  // namespace

void register_replays() {
  for (const trace& from : {steady(), diurnal(), bursty()}) {
    for (const char* const contestant : {"LRU by count", "LRU by bytes", "lull"}) {
      benchmark::RegisterBenchmark(
          fmt::format("replay, {}/{}", from.name, contestant).c_str(),
          [from, contestant](benchmark::State& state) { replay(state, from, contestant); })
          ->Iterations(1)
          ->Unit(benchmark::kMillisecond);
    }
  }
}

void print_replays() {
  fmt::print("\n{:<24} {:<14} {:>8} {:>8} {:>10} {:>10} {:>10} {:>12}\n", "trace", "", "wakes",
             "loads", "moved GiB", "wait mean", "wait p99", "wait longest");
  for (line& each : lines()) {
    outcome& result = each.result;
    fmt::print("{:<24} {:<14} {:>8} {:>8} {:>10} {:>8.2f} s {:>8.1f} s {:>10.1f} s\n", each.trace,
               each.contestant, result.wakes, result.loads, result.moved_bytes >> 30, result.mean(),
               result.percentile(0.99), result.percentile(1));
  }
}

}  // namespace bench
