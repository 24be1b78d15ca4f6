// What lull's bookkeeping adds to a device reset: dev_reset beside the vendor's bare call, by the number
// of allocations that live when it comes. On the simulated GPU a reset costs next to nothing, so there
// it is the bookkeeping alone that is seen.

#include <lull/reset.hpp>
#include <lull/registry.hpp>

#include <dlfcn.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "comparison.hpp"

namespace {

constexpr std::uint64_t allocation_bytes = 4096;

/// The vendor's runtime, called as a program without lull would.
class bare_runtime {
 public:
  explicit bare_runtime(const std::string& backend) : prefix_(backend) {
    for (const char* const soname :
         {"libcudart.so.13", "libcudart.so.12", "libamdhip64.so.7", "libamdhip64.so.6",
          "libamdhip64.so.5", "libmusart.so.5", "libmusart.so.4", "libmusart.so.1"}) {
      if (library_ == nullptr &&
          std::string_view(soname).find(vendor_part()) != std::string::npos) {
        library_ = ::dlopen(soname, RTLD_NOW);
      }
    }
    allocate_ = symbol<int (*)(void**, std::size_t)>("Malloc");
    reset_ = symbol<int (*)()>("DeviceReset");
  }

  [[nodiscard]] bool usable() const { return allocate_ != nullptr && reset_ != nullptr; }
  void allocate(std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      void* address = nullptr;
      allocate_(&address, allocation_bytes);
    }
  }
  void reset() const { reset_(); }

 private:
  [[nodiscard]] std::string_view vendor_part() const {
    return prefix_ == "cuda" ? "cudart" : prefix_ == "hip" ? "amdhip" : "musart";
  }
  template <class Function>
  [[nodiscard]] Function symbol(const char* name) const {
    if (library_ == nullptr) return nullptr;
    return reinterpret_cast<Function>(::dlsym(library_, (prefix_ + name).c_str()));
  }

  std::string prefix_;
  void* library_ = nullptr;
  int (*allocate_)(void**, std::size_t) = nullptr;
  int (*reset_)() = nullptr;
};

std::optional<lull::device> first_with_context() {
  static lull::registry all;
  for (const lull::device& each : all.devices()) {
    if (each.supports(lull::capability::reset)) return each;
  }
  return std::nullopt;
}

template <class Prepare, class Work>
void measure(benchmark::State& state, Prepare prepare, Work work) {
  for (auto _ : state) {
    prepare();
    const auto begun = std::chrono::steady_clock::now();
    work();
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  }
}

void add(const std::string& name, int live, void (*body)(benchmark::State&, int, lull::device),
         const lull::device& which) {
  benchmark::RegisterBenchmark(
      ("reset " + std::to_string(live) + " live/" + name).c_str(),
      [body, live, which](benchmark::State& state) { body(state, live, which); })
      ->UseManualTime()
      ->Iterations(live > 1000 ? 5 : 20)
      ->Repetitions(9)
      ->DisplayAggregatesOnly(true);
}

void bare(benchmark::State& state, int live, lull::device which) {
  const bare_runtime runtime{std::string(which.backend())};
  if (!runtime.usable()) {
    state.SkipWithError("the vendor's runtime is not there");
    return;
  }
  measure(
      state, [&] { runtime.allocate(static_cast<std::size_t>(live) + 1); },
      [&] { runtime.reset(); });
}

void with_lull(benchmark::State& state, int live, lull::device which) {
  measure(
      state,
      [&] {
        which.context_create();
        for (int i = 0; i <= live; ++i) static_cast<void>(which.allocate(allocation_bytes));
      },
      [&] { lull::dev_reset(which, {.drop = true}); });
}

}  // namespace

int main(int argc, char** argv) {
  const auto which = first_with_context();
  if (!which) {
    std::puts("bench_reset: no device here has a context; nothing was measured");
    return 0;
  }
  benchmark::AddCustomContext("gpu", which->name() + ": " + which->description());
  std::printf("device: %s (%s)\n", which->name().c_str(), which->description().c_str());
  for (const int live : {0, 100, 10000}) {
    add("bare vendor call", live, bare, *which);
    add("lull::dev_reset", live, with_lull, *which);
  }
  return bench::run(argc, argv, "ns");
}
