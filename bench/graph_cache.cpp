// What a graph cache costs, beside the unbounded map that servers have and a textbook LRU; and what
// it keeps of three kinds of traffic.

#include <lull/graph_cache.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "comparison.hpp"

namespace {

/// What this thread has allocated so far, so that a hit can be shown to allocate nothing.
thread_local std::uint64_t allocations = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* const memory =
      std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) {
  return allocate(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}

namespace {

struct graph {
  std::uint64_t value;
  std::uint64_t bytes;
};

/// (a) What servers have: nothing ever leaves. Not safe for threads that insert.
class unbounded_map {
 public:
  explicit unbounded_map(std::size_t /*entries*/) {}
  const graph* find(std::uint64_t key) {
    const auto found = map_.find(key);
    return found == map_.end() ? nullptr : found->second.get();
  }
  void insert(std::uint64_t key, std::uint64_t bytes = 1) {
    map_[key] = std::make_unique<graph>(graph{key, bytes});
    bytes_ += bytes;
  }
  [[nodiscard]] std::uint64_t peak_bytes() const { return bytes_; }

 private:
  std::unordered_map<std::uint64_t, std::unique_ptr<graph>> map_;
  std::uint64_t bytes_ = 0;
};

/// (b) The textbook: a list in order of use and a map into it, under a mutex. What it finds may be
/// evicted while it is in use.
class textbook_lru {
 public:
  explicit textbook_lru(std::size_t entries) : capacity_(entries) {}

  const graph* find(std::uint64_t key) {
    const std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found == map_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->second.get();
  }

  void insert(std::uint64_t key, std::uint64_t bytes = 1) {
    const std::lock_guard lock(mutex_);
    if (map_.size() == capacity_) {
      bytes_ -= order_.back().second->bytes;
      map_.erase(order_.back().first);
      order_.pop_back();
    }
    order_.emplace_front(key, std::make_unique<graph>(graph{key, bytes}));
    map_[key] = order_.begin();
    bytes_ += bytes;
    peak_bytes_ = std::max(peak_bytes_, bytes_);
  }
  [[nodiscard]] std::uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  using order = std::list<std::pair<std::uint64_t, std::unique_ptr<graph>>>;
  std::size_t capacity_;
  std::mutex mutex_;
  order order_;
  std::unordered_map<std::uint64_t, order::iterator> map_;
  std::uint64_t bytes_ = 0;
  std::uint64_t peak_bytes_ = 0;
};

class deleting_driver final : public lull::graph_driver {
 public:
  void destroy(void* handle, std::uint64_t /*generation*/) override {
    delete static_cast<graph*>(handle);
  }
};

class lull_cache {
 public:
  explicit lull_cache(std::size_t entries, bool filter = false)
      : lull_cache(lull::graph_limits{.entries = entries}, filter) {}
  lull_cache(const lull::graph_limits& limits, bool filter)
      : cache_(std::make_shared<deleting_driver>(),
               {.limits = limits, .frequency_filter = filter, .name = "bench"}) {}
  auto find(std::uint64_t key) { return cache_.find(key); }
  void insert(std::uint64_t key, std::uint64_t bytes = 1) {
    (void)cache_.get_or_capture(key,
                                [key, bytes] {
                                  return lull::captured_graph<graph*>{new graph{key, bytes}, bytes};
                                },
                                {.bytes = bytes});
  }
  /// With what was evicted and not destroyed yet.
  [[nodiscard]] std::uint64_t peak_bytes() const { return cache_.stats().peak_bytes; }

 private:
  lull::graph_cache<std::uint64_t, graph*> cache_;
};

class filtered_lull_cache : public lull_cache {
 public:
  explicit filtered_lull_cache(std::size_t entries) : lull_cache(entries, true) {}
};

constexpr std::uint64_t MiB = std::uint64_t{1} << 20U;
/// ggml-org/llama.cpp issue 25835: about 8 MiB a graph.
constexpr std::uint64_t mean_graph_mib = 8;

/// Bounded by what that many graphs hold on average.
template <bool Filter>
class lull_cache_of_bytes : public lull_cache {
 public:
  explicit lull_cache_of_bytes(std::size_t entries)
      : lull_cache(lull::graph_limits{.bytes = entries * mean_graph_mib * MiB}, Filter) {}
};

const graph& value_of(const graph* found) {
  return *found;
}
template <class Handle>
const graph& value_of(const Handle& found) {
  return **found;
}

/// Keys as graphs have them: addresses of nodes, in an order without a pattern.
std::vector<std::uint64_t> keys_of(std::size_t count) {
  std::mt19937_64 random(count);
  std::vector<std::uint64_t> keys;
  for (std::size_t i = 0; i < count; ++i) keys.push_back(0x7F0000000000 + i * 0x150);
  std::shuffle(keys.begin(), keys.end(), random);
  return keys;
}

template <class Cache>
void hit(benchmark::State& state) {
  static std::unique_ptr<Cache> cache;
  static std::vector<std::uint64_t> keys;
  const auto entries = static_cast<std::size_t>(state.range(0));
  if (state.thread_index() == 0) {
    cache = std::make_unique<Cache>(entries);
    keys = keys_of(entries);
    for (const std::uint64_t key : keys) cache->insert(key);
  }
  std::size_t at = static_cast<std::size_t>(state.thread_index()) * entries / 2;
  const std::uint64_t before = allocations;
  for (auto _ : state) {
    const auto& found = cache->find(keys[at]);
    benchmark::DoNotOptimize(value_of(found).value);
    at = at + 1 == entries ? 0 : at + 1;
  }
  if (allocations != before) state.SkipWithError("a hit has allocated");
}

template <class Cache>
void insert_with_eviction(benchmark::State& state) {
  const auto entries = static_cast<std::size_t>(state.range(0));
  Cache cache(entries);
  std::uint64_t key = 0;
  for (; key < entries; ++key) cache.insert(key * 0x150);
  for (auto _ : state) cache.insert(++key * 0x150);
}

template <class Body>
void add(const std::string& name, Body* body, std::int64_t entries, int threads) {
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->Arg(entries)
      ->Threads(threads)
      ->UseRealTime()
      ->Repetitions(9)
      ->ReportAggregatesOnly(false)
      ->DisplayAggregatesOnly(true);
}

void add_lookups() {
  for (const int threads : {1, 2}) {
    for (const std::int64_t entries : {16, 256, 4096, 65536}) {
      const std::string group = fmt::format("hit_{}", entries);
      add(group + "/unordered_map", hit<unbounded_map>, entries, threads);
      add(group + "/lull", hit<lull_cache>, entries, threads);
      add(group + "/textbook_lru", hit<textbook_lru>, entries, threads);
    }
  }
  add("insert_256/textbook_lru", insert_with_eviction<textbook_lru>, 256, 1);
  add("insert_256/lull", insert_with_eviction<lull_cache>, 256, 1);
  add("insert_256/lull_filter", insert_with_eviction<filtered_lull_cache>, 256, 1);
}

/// The keys of the graphs that are asked for.
using trace = std::vector<std::uint64_t>;

/// One shape after the other, again and again: what decoding a fixed batch asks for.
trace steady_decode() {
  trace result;
  for (int step = 0; step < 2000; ++step) {
    for (std::uint64_t shape = 0; shape < 120; ++shape) result.push_back(shape);
  }
  return result;
}

/// Slots whose context grows through buckets, each at its own pace.
trace growing_slots() {
  constexpr std::uint64_t slots = 4;
  std::mt19937_64 random(2);
  std::vector<std::uint64_t> length(slots, 0);
  trace result;
  while (result.size() < 240'000) {
    const std::uint64_t slot = random() % slots;
    if (++length[slot] == 8192) length[slot] = random() % 256;
    result.push_back(slot * 1000 + length[slot] / 32);
  }
  return result;
}

/// A working set by popularity, and between its requests keys that never come again (a new key per
/// token: ggml-org/llama.cpp issue 20315).
trace one_shot_keys() {
  std::mt19937_64 random(3);
  std::uint64_t fresh = 1'000'000;
  trace result;
  while (result.size() < 240'000) {
    const double uniform = static_cast<double>(random() >> 11U) * 0x1.0p-53;
    result.push_back(static_cast<std::uint64_t>(400 * uniform * uniform));
    if (random() % 2 == 0) result.push_back(fresh++);
  }
  return result;
}

trace mixed() {
  trace result;
  const std::array<trace, 3> parts = {steady_decode(), growing_slots(), one_shot_keys()};
  constexpr std::size_t turn = 500;
  for (std::size_t at = 0; at < 240'000; at += turn) {
    for (std::uint64_t part = 0; part < parts.size(); ++part) {
      for (std::size_t i = at; i < at + turn; ++i) {
        result.push_back((part << 40U) + parts[part][i]);
      }
    }
  }
  return result;
}

/// Graphs differ: half a mean to one and a half, by key.
std::uint64_t bytes_of(std::uint64_t key) {
  std::mt19937_64 random(key);
  return (mean_graph_mib / 2 + random() % (mean_graph_mib + 1)) * MiB;
}

struct replayed {
  std::string name;
  double hits_percent;
  std::uint64_t peak_bytes;
};
std::vector<replayed> all_replayed;

/// One iteration; what matters is in the counters, so that it is in the JSON as well.
template <class Cache>
void replay(benchmark::State& state, const std::string& name, const trace& requests) {
  constexpr std::size_t capacity = 256;
  Cache cache(capacity);
  std::uint64_t hits = 0;
  for (auto _ : state) {
    for (const std::uint64_t key : requests) {
      if (cache.find(key)) {
        ++hits;
      } else {
        cache.insert(key, bytes_of(key));
      }
    }
  }
  const double hits_percent =
      100.0 * static_cast<double>(hits) / static_cast<double>(requests.size());
  state.counters["hits_percent"] = hits_percent;
  state.counters["peak_bytes"] = static_cast<double>(cache.peak_bytes());
  all_replayed.push_back({name, hits_percent, cache.peak_bytes()});
}

template <class Cache>
void add_replay(std::string_view group, std::string_view contestant,
                const std::shared_ptr<const trace>& requests) {
  const std::string name = fmt::format("{}/{}", group, contestant);
  benchmark::RegisterBenchmark(
      name.c_str(),
      [name, requests](benchmark::State& state) { replay<Cache>(state, name, *requests); })
      ->Iterations(1)
      ->Unit(benchmark::kMillisecond);
}

void add_replays() {
  const std::vector<std::pair<std::string_view, trace>> traces = {
      {"steady_decode", steady_decode()},
      {"growing_slots", growing_slots()},
      {"one_shot_keys", one_shot_keys()},
      {"mixed", mixed()},
  };
  for (const auto& [group, keys] : traces) {
    const auto requests = std::make_shared<const trace>(keys);
    add_replay<unbounded_map>(group, "unordered_map", requests);
    add_replay<textbook_lru>(group, "textbook_lru", requests);
    add_replay<lull_cache>(group, "lull", requests);
    add_replay<filtered_lull_cache>(group, "lull_filter", requests);
    add_replay<lull_cache_of_bytes<false>>(group, "lull_bytes", requests);
    add_replay<lull_cache_of_bytes<true>>(group, "lull_bytes_filter", requests);
  }
}

void print_replayed() {
  fmt::print("\n{:<40} {:>16} {:>8}\n", "trace, 256 entries or 2 GiB", "hits %", "peak MiB");
  for (const replayed& each : all_replayed) {
    fmt::print("{:<40} {:>16.2f} {:>8}\n", each.name, each.hits_percent, each.peak_bytes / MiB);
  }
}

}  // namespace

int main(int argc, char** argv) {
  // glibc leaves the atomics out of a mutex while a process has one thread; a server never has.
  std::promise<void> done;
  std::thread second_thread([&done] { done.get_future().wait(); });
  add_lookups();
  add_replays();
  const int code = bench::run(argc, argv, "ns");
  if (code == 0) print_replayed();
  done.set_value();
  second_thread.join();
  return code;
}
