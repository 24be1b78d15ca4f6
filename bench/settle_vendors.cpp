#include "settle_vendors.hpp"

#include <lull/registry.hpp>

#include <dlfcn.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "simgpu/world.hpp"
#include "support/scratch_folder.hpp"

namespace bench {
namespace {

struct vendor {
  simgpu::vendor which;
  std::string name;
  std::string device;
  const char* benchmark;
  std::vector<std::string> libraries;
};

std::vector<vendor> built_vendors() {
  return {
#ifdef BENCH_CUDA
      {simgpu::vendor::cuda,
       "cuda",
       "CUDA0",
       "look/cuda (NVML, simulator)",
       {"libcuda.so.1", "libcudart.so.13", "libnvidia-ml.so.1"}},
#endif
#ifdef BENCH_HIP
      {simgpu::vendor::hip, "hip", "HIP0", "look/hip (copied sysfs tree)", {"libamdhip64.so.5"}},
#endif
#ifdef BENCH_MUSA
      {simgpu::vendor::musa,
       "musa",
       "MUSA0",
       "look/musa (MTML, simulator)",
       {"libmusa.so.1", "libmusart.so.5", "libmtml.so"}},
#endif
  };
}

/// A vendor's module on its simulated machine.
class machine {
 public:
  explicit machine(const vendor& which) {
    // Loaded here by their paths, they are found by their names when the module asks for them.
    for (const std::string& each : which.libraries) {
      const std::string path = std::string{BENCH_SIMGPU} + "/" + each;
      if (::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
        throw std::runtime_error(::dlerror());
      }
    }
    simgpu::world::of(which.which).restart({});
    simgpu::world::of(which.which).set_sysfs(sysfs_.path());
    lull::registry_options options;
    options.search = false;
    options.module_paths = {std::filesystem::path{BENCH_BACKENDS} /
                            ("liblull-backend-" + which.name + ".so")};
    options.settings = {{"hip", "sysfs_root", sysfs_.path().string()}};
    registry_ = std::make_unique<lull::registry>(options);
    // Other processes too: that is what a list of processes is for.
    simgpu::world::of(which.which).set_foreign_bytes(0, std::uint64_t{1} << 30);
  }
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;

  [[nodiscard]] lull::device find(const std::string& name) const { return registry_->find(name); }

 private:
  lull::test::scratch_folder sysfs_;
  std::unique_ptr<lull::registry> registry_;
};

}  // namespace

void add_vendor_probes(const add_benchmark& add) {
  for (const vendor& each : built_vendors()) {
    const auto here = std::make_shared<machine>(each);
    add(each.benchmark, [here, name = each.device](benchmark::State& state) {
      const lull::device device = here->find(name);
      for (auto _ : state) benchmark::DoNotOptimize(device.memory());
    });
  }
}

}  // namespace bench
