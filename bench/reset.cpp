// What lull's bookkeeping adds to a device reset: dev_reset beside the vendor's bare call, by the
// number of allocations that live when it comes. On the simulated GPU a reset costs next to
// nothing, so there it is the bookkeeping alone that is seen.
//
// How often a case runs depends on how long it takes: a real driver takes its time for ten thousand
// allocations, and what is not timed counts as well.

#include <lull/registry.hpp>
#include <lull/reset.hpp>

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

/// Makes a context with allocations in it, and resets it.
class contestant {
 public:
  virtual ~contestant() = default;
  virtual void allocate(int live) = 0;
  virtual void reset() = 0;
};

class bare final : public contestant {
 public:
  explicit bare(const lull::device& which) : runtime_(std::string(which.backend())) {}
  [[nodiscard]] bool usable() const { return runtime_.usable(); }
  void allocate(int live) override { runtime_.allocate(static_cast<std::size_t>(live) + 1); }
  void reset() override { runtime_.reset(); }

 private:
  bare_runtime runtime_;
};

class with_lull final : public contestant {
 public:
  explicit with_lull(lull::device which) : which_(std::move(which)) {}
  void allocate(int live) override {
    which_.context_create();
    for (int i = 0; i <= live; ++i) static_cast<void>(which_.allocate(allocation_bytes));
  }
  void reset() override { lull::dev_reset(which_, {.drop = true}); }

 private:
  lull::device which_;
};

template <class Work>
double seconds(Work&& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

/// Registers as many repetitions as fit into the time, three at least; says so where even they do
/// not.
/// @return what one repetition takes
double add(const std::string& name, int live, contestant& who, double case_s) {
  const double once_s = seconds([&] {
    who.allocate(live);
    who.reset();
  });
  constexpr int fewest = 3;  // a median of less is none
  constexpr int most = 180;
  benchmark::RegisterBenchmark(("reset " + std::to_string(live) + " live/" + name).c_str(),
                               [&who, live](benchmark::State& state) {
                                 for (auto _ : state) {
                                   who.allocate(live);
                                   state.SetIterationTime(seconds([&] { who.reset(); }));
                                 }
                               })
      ->UseManualTime()
      ->Iterations(1)
      ->Repetitions(std::clamp(static_cast<int>(case_s / once_s), fewest, most))
      ->DisplayAggregatesOnly(true);
  return once_s;
}

/// Both contestants, by the number of allocations; no more of these than there is time for.
void add_all(bare& vendor, with_lull& ours, double case_s) {
  double before_s = 0;
  int before = 0;
  for (const int live : {0, 100, 10000}) {
    constexpr int trials = 4;  // one to see how long it takes, three to measure
    const double expected_s = before == 0 ? 0 : before_s * live / before;
    if (expected_s * trials > case_s * 2) {
      std::printf("left out: %d live allocations would take %.1f s each time\n", live, expected_s);
      return;
    }
    double once_s = 0;
    if (vendor.usable()) once_s = add("bare vendor call", live, vendor, case_s);
    once_s = std::max(once_s, add("lull::dev_reset", live, ours, case_s));
    before_s = once_s;
    before = live;
  }
}

/// Takes "--case-seconds=N" off the arguments. @return N, above 0
double take_case_seconds(int& argc, char** argv) {
  constexpr std::string_view option = "--case-seconds=";
  double result = 5;
  const auto is_ours = [&](const char* each) {
    return std::string_view(each).rfind(option, 0) == 0;
  };
  char** const end = std::remove_if(argv + 1, argv + argc, [&](const char* each) {
    if (!is_ours(each)) return false;
    result = std::atof(each + option.size());
    return true;
  });
  argc = static_cast<int>(end - argv);
  *end = nullptr;
  return result > 0 ? result : 5;
}

}  // namespace

int main(int argc, char** argv) {
  const double case_s = take_case_seconds(argc, argv);
  const auto which = first_with_context();
  if (!which) {
    benchmark::Initialize(&argc, argv);  // --help is answered everywhere
    std::puts("bench_reset: no device here has a context; nothing was measured");
    return 0;
  }
  benchmark::AddCustomContext("gpu", which->name() + ": " + which->description());
  std::printf("device: %s (%s)\n", which->name().c_str(), which->description().c_str());
  bare vendor(*which);
  with_lull ours(*which);
  if (!vendor.usable()) std::puts("the vendor's runtime is not there to compare with");
  add_all(vendor, ours, case_s);
  return bench::run(argc, argv, "ns");
}
