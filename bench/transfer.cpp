// Offload and restore of the host backend, beside memcpy of the same bytes: into pages that are
// there already (the limit of the machine), and into fresh ones (what any offload has to do).

#include <lull/bytes.hpp>
#include <lull/memory.hpp>
#include <lull/registry.hpp>

#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <vector>

#include "comparison.hpp"

namespace {

using namespace lull::literals;

// As a model's tensors: a few large regions and many small ones.
constexpr std::uint64_t large_bytes = 32_MiB;
constexpr std::uint64_t small_bytes = 1_MiB;
constexpr int large_count = 6;
constexpr int small_count = 64;
constexpr std::uint64_t total_bytes = large_count * large_bytes + small_count * small_bytes;

class pages {
 public:
  explicit pages(std::uint64_t bytes) : bytes_(bytes) {
    address_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::madvise(address_, bytes, MADV_HUGEPAGE);
  }
  ~pages() { ::munmap(address_, bytes_); }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;
  [[nodiscard]] void* address() const noexcept { return address_; }

 private:
  void* address_;
  std::uint64_t bytes_;
};

struct fixture {
  explicit fixture(bool with_checksum = false) : checksum(with_checksum) {
    for (int i = 0; i < large_count; ++i) add(large_bytes);
    for (int i = 0; i < small_count; ++i) add(small_bytes);
  }
  void add(std::uint64_t bytes) {
    regions.push_back(memory.allocate(host, bytes, {.checksum = checksum}));
    std::memset(regions.back().acquire().address(), 0x5A, bytes);
  }

  const bool checksum;
  lull::device host = lull::registry::shared().find("HOST");
  lull::memory memory;
  std::vector<lull::region> regions;
};

lull::backing_store store_for(int kind) {
  if (kind == 0) return lull::backing_store::host_memory();
  if (kind == 1) return lull::backing_store::memfd();
  return lull::backing_store::file(std::filesystem::temp_directory_path());
}

double seconds(lull::duration span) {
  return std::chrono::duration<double>(span).count();
}

/// Both ways of one backing store; only the one that is asked for is timed.
void lull_transfer(benchmark::State& state, int kind, bool restoring, bool checksum = false) {
  fixture it(checksum);
  const lull::eviction_plan plan{lull::contents_action::offload, {}};
  for (auto _ : state) {
    const auto out = it.memory.evict(plan, {store_for(kind), {}, {}});
    const auto back = it.memory.restore();
    state.SetIterationTime(seconds(restoring ? back.elapsed : out.elapsed));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(total_bytes * state.iterations()));
}

void plain_memcpy(benchmark::State& state, bool fresh) {
  const pages source(total_bytes);
  std::memset(source.address(), 0x5A, total_bytes);
  const pages warm(total_bytes);
  std::memset(warm.address(), 1, total_bytes);
  for (auto _ : state) {
    const auto begun = std::chrono::steady_clock::now();
    if (fresh) {
      // Giving the pages back belongs to it: an offload frees one of the two copies as well.
      const pages target(total_bytes);
      std::memcpy(target.address(), source.address(), total_bytes);
    } else {
      std::memcpy(warm.address(), source.address(), total_bytes);
    }
    state.SetIterationTime(seconds(std::chrono::steady_clock::now() - begun));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(total_bytes * state.iterations()));
}

template <class Body>
void add(const std::string& name, Body body) {
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->UseManualTime()
      ->Iterations(3)
      ->Repetitions(5)
      ->DisplayAggregatesOnly(true)
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  for (const bool restoring : {false, true}) {
    const std::string group = restoring ? "restore/" : "offload/";
    add(group + "memcpy_warm_pages", [](auto& state) { plain_memcpy(state, false); });
    add(group + "memcpy_fresh_pages", [](auto& state) { plain_memcpy(state, true); });
    add(group + "lull_host_memory", [=](auto& state) { lull_transfer(state, 0, restoring); });
    add(group + "lull_host_memory_checksum",
        [=](auto& state) { lull_transfer(state, 0, restoring, true); });
    add(group + "lull_memfd", [=](auto& state) { lull_transfer(state, 1, restoring); });
    add(group + "lull_file", [=](auto& state) { lull_transfer(state, 2, restoring); });
  }
  return bench::run(argc, argv, "GB/s");
}
