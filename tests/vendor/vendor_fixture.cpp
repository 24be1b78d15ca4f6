#include "vendor/vendor_fixture.hpp"

#include <algorithm>

namespace lull::test {

std::vector<vendor_case> vendor_cases() {
  return {
#ifdef LULL_TEST_CUDA
      {simgpu::vendor::cuda, "cuda", "CUDA0", 2, "cudaMalloc", "cuMemCreate", true},
#endif
#ifdef LULL_TEST_HIP
      {simgpu::vendor::hip, "hip", "HIP0", 2, "hipMalloc", "hipMemCreate", true},
#endif
#ifdef LULL_TEST_MUSA
      {simgpu::vendor::musa, "musa", "MUSA0", 2, "musaMalloc", "muMemCreate", false},
#endif
  };
}

machine::machine(const vendor_case& vendor, const simgpu::scenario& made,
                 std::vector<backend_setting> settings)
    : gpu_(simgpu::world::of(vendor.which)),
      prefix_(vendor.device.substr(0, vendor.device.size() - 1)) {
  gpu_.restart(made);
  gpu_.set_sysfs(sysfs_.path());
  registry_options options;
  options.search = false;
  options.module_paths = {std::filesystem::path{LULL_TEST_BACKENDS} /
                          ("liblull-backend-" + vendor.name + ".so")};
  options.settings = std::move(settings);
  // What nobody has tried with MUSA is not what most tests are about.
  const bool said =
      std::any_of(options.settings.begin(), options.settings.end(),
                  [](const auto& each) { return each.key == "addresses_outlive_reset"; });
  if (!said) options.settings.push_back({"musa", "addresses_outlive_reset", "1"});
  options.settings.push_back({"hip", "sysfs_root", sysfs_.path().string()});
  registry_.emplace(options);
  for (const module_info& each : registry_->modules()) {
    EXPECT_EQ(each.state, module_state::active) << each.path << ": " << each.reason;
  }
}

lull::device machine::device(int ordinal) const {
  return registry_->find(prefix_ + std::to_string(ordinal));
}

}  // namespace lull::test
