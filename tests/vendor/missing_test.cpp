// What a vendor's machine can lack, and what is left on it, as the command line tells it.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "support/run_shell.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;

struct outcome {
  std::string output;
  std::string complaints;
};

/// Runs `lull` with only these fakes on the library path.
outcome run_tool(const std::vector<std::string>& fakes, const std::string& environment,
                 const std::string& arguments) {
  const scratch_folder libraries;
  for (const std::string& each : fakes) {
    std::filesystem::create_symlink(std::filesystem::path{LULL_TEST_SIMGPU} / each,
                                    libraries.path() / std::filesystem::path{each}.filename());
  }
  const std::string errors = (libraries.path() / "stderr").string();
  const std::string command = "env " + environment + " LD_LIBRARY_PATH='" +
                              libraries.path().string() + "' '" LULL_TEST_TOOL "' " + arguments +
                              " 2>'" + errors + "'";
  outcome seen;
  seen.output = run_shell(command).output;
  std::ifstream in(errors);
  seen.complaints.assign(std::istreambuf_iterator<char>(in), {});
  return seen;
}

outcome list_devices(const std::vector<std::string>& fakes, const std::string& environment) {
  return run_tool(fakes, environment, "devices");
}

TEST(ResetProbe, SaysWhatIsLeftAndHowThatIsKnown) {
  const std::vector<std::string> all{"libsimgpu.so", "libcuda.so.1", "libcudart.so.13",
                                     "libnvidia-ml.so.1"};
  const std::string arguments = "reset-probe --device CUDA1 --cycles 2 --json";
  const outcome clean = run_tool(all, "SIMGPU=devices=2", arguments);
  EXPECT_EQ(clean.complaints, "");
  EXPECT_THAT(clean.output, HasSubstr("\"context_bytes\": 314572800"));
  EXPECT_THAT(clean.output, HasSubstr("\"residue_bytes\": 0"));
  EXPECT_THAT(clean.output, HasSubstr("by the management library"));
  const outcome stubborn = run_tool(all, "SIMGPU=devices=2,residue=376MiB", arguments);
  EXPECT_THAT(stubborn.output, HasSubstr("\"residue_bytes\": 394264576"));
}

TEST(Missing, IsToldApartAndNothingIsPrinted) {
  const std::vector<std::string> all{"libsimgpu.so", "libcuda.so.1", "libcudart.so.13",
                                     "libnvidia-ml.so.1"};
  const std::string one = "SIMGPU=devices=1";
  EXPECT_THAT(list_devices(all, one).output, HasSubstr("CUDA0"));

  const std::pair<outcome, std::string> cases[] = {
      {list_devices(all, "SIMGPU_VENDORS=none"), "no device: cuInit answers CUDA_ERROR_NO_DEVICE"},
      {list_devices(all, "SIMGPU=driver=12020"),
       "the NVIDIA driver is too old: it is for CUDA 12.2, the runtime is 13.0"},
      {list_devices({"libsimgpu.so", "old/libcuda.so.1", "libcudart.so.13"}, one),
       "libcuda.so.1 is too old: it lacks cuGetErrorName"},
  };
  for (const auto& [seen, words] : cases) {
    EXPECT_THAT(seen.output, HasSubstr(words));
    EXPECT_EQ(seen.complaints, "");
  }
  // Without the management library the device is there; its figures are not known until a context
  // is.
  const outcome blind = list_devices({"libsimgpu.so", "libcuda.so.1", "libcudart.so.13"}, one);
  EXPECT_THAT(blind.output, HasSubstr("CUDA0"));
  EXPECT_THAT(blind.output, HasSubstr("unknown"));
}

}  // namespace
}  // namespace lull::test
