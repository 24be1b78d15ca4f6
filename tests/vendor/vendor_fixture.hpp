#ifndef LULL_TESTS_VENDOR_VENDOR_FIXTURE_HPP
#define LULL_TESTS_VENDOR_VENDOR_FIXTURE_HPP

#include <lull/lull.hpp>

#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simgpu/world.hpp"
#include "support/scratch_folder.hpp"

namespace lull::test {

/// What simgpu::world::process_state says, in CUDA's numbers.
inline constexpr int running = 0;
inline constexpr int suspended = 2;

/// A code that no fake answers by itself (CUDA: a launch has failed).
inline constexpr int injected_code = 719;

/// A vendor as the tests see it: the module that ships, and the simulated machine below it.
struct vendor_case {
  simgpu::vendor which;
  std::string name;
  std::string device;         ///< the name of the first device
  int out_of_memory;          ///< the vendor's code
  std::string allocate_call;  ///< what allocates plainly
  std::string memory_call;    ///< what obtains memory for stable addresses
  bool per_process;           ///< whether the platform says what a process holds
};

inline std::ostream& operator<<(std::ostream& out, const vendor_case& vendor) {
  return out << vendor.name;
}

/// Those whose modules are built.
std::vector<vendor_case> vendor_cases();

inline std::string case_name(const testing::TestParamInfo<vendor_case>& info) {
  return info.param.name;
}

/// A simulated machine and a registry with the vendor's module, both anew.
class machine {
 public:
  explicit machine(const vendor_case& vendor, const simgpu::scenario& made = {},
                   std::vector<backend_setting> settings = {});

  [[nodiscard]] simgpu::world& gpu() const { return gpu_; }
  [[nodiscard]] lull::device device(int ordinal = 0) const;
  [[nodiscard]] lull::registry& registry() { return *registry_; }
  /// Where the files of AMD's kernel driver are.
  [[nodiscard]] const std::filesystem::path& sysfs() const { return sysfs_.path(); }
  /// Closes the backend and unloads the module.
  void close() { registry_.reset(); }

 private:
  simgpu::world& gpu_;
  scratch_folder sysfs_{folder_in_memory()};
  std::optional<lull::registry> registry_;
  std::string prefix_;
};

class Vendor : public testing::TestWithParam<vendor_case> {
 protected:
  /// Nothing that the vendor forbids was done.
  void TearDown() override {
    EXPECT_THAT(simgpu::world::of(GetParam().which).misuse(), testing::IsEmpty());
  }
};

}  // namespace lull::test

#endif  // LULL_TESTS_VENDOR_VENDOR_FIXTURE_HPP
