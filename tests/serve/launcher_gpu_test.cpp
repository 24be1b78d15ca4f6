// Instances on GPUs that they are given by UUID: the GPUs are simulated, the processes are real.

#include "serve/launcher_fixture.hpp"

namespace {

using lull::test::eventually;
using lull::test::launcher_test;
using nlohmann::json;

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

class LauncherGpu : public launcher_test {
 protected:
  LauncherGpu() {
    std::filesystem::create_directory(processes_);
    environment_ = {{"LD_LIBRARY_PATH", std::string(LULL_TEST_SIMGPU)},
                    {"SIMGPU_VENDORS", "cuda"},
                    {"SIMGPU", "total=1GiB"},
                    {"SIMGPU_PROCESSES", processes_.string()},
                    {"CUDA_VISIBLE_DEVICES", std::nullopt}};
  }
  void launch_on_both(const std::string& keys) {
    device_ = "CUDA1: {capacity: 1GiB, margin: 0}, CUDA0";
    launch(keys);
    const json seen = state();
    for (const json& each : seen.at("devices")) {
      uuids_[each.at("name")] = each.at("uuid").get<std::string>();
    }
  }
  [[nodiscard]] std::uint64_t held(const std::string& name, const std::string& device) const {
    return model(name).at("holds").value(device, std::uint64_t{0});
  }
  [[nodiscard]] json memory() const { return get("/v1/dual-pods/accelerator-memory-usage").body; }

  std::filesystem::path processes_ = scratch_.path() / "processes";
  std::map<std::string, std::string> uuids_;
  const int door_ = free_port();
};

/// What llm-d's controller does with a requester that it finds: ensure an instance, wait until it
/// answers, and later let it sleep and wake, each time looking at memory before.
TEST_F(LauncherGpu, TheControllersSequenceWithAMemoryQuestionInMiB) {
  launch_on_both("memory: 300MiB");
  const std::string gpu = uuids_.at("CUDA1");
  constexpr std::int64_t limit_mib = 100;
  ASSERT_EQ(get(all).status, 200) << "as its readiness probe asks";
  const json asked =
      body(at(door_, "a", "--no-sleep --gpu 314572800"),
           {{"gpu_uuids", {gpu}}, {"annotations", {{"inference-port", std::to_string(door_)}}}});
  ASSERT_EQ(put("Ia_b-ci", asked).status, 201);
  ASSERT_TRUE(wakes(door_)) << get(one("Ia_b-ci")).raw;
  const json list = get(all).body.at("instances");
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].at("instance_id"), "Ia_b-ci");
  EXPECT_EQ(list[0].at("annotations").at("inference-port"), std::to_string(door_));
  EXPECT_EQ(list[0].at("gpu_uuids"), json::array({gpu}));
  const json awake = memory();
  ASSERT_TRUE(awake.at(gpu).is_number_integer()) << awake.dump();
  EXPECT_GE(awake.at(gpu), 300);
  EXPECT_LT(awake.at(gpu), 1024) << "MiB, not bytes";
  EXPECT_LT(awake.at(uuids_.at("CUDA0")), limit_mib);
  EXPECT_EQ(held("Ia_b-ci", "CUDA1"), 300 * mib);
  EXPECT_EQ(held("Ia_b-ci", "CUDA0"), 0U);
  ASSERT_EQ(at_door(door_, "POST", "/sleep").status, 200);
  EXPECT_EQ(at_door(door_, "GET", "/is_sleeping").body.at("is_sleeping"), true);
  EXPECT_LT(memory().at(gpu), limit_mib) << "when /sleep answers it is free";
  ASSERT_EQ(at_door(door_, "POST", "/wake_up").status, 200);
  EXPECT_TRUE(is_awake(door_));
  EXPECT_GE(memory().at(gpu), 300);
  ASSERT_EQ(remove(one("Ia_b-ci")).status, 200);
  EXPECT_LT(memory().at(gpu), limit_mib);
}

TEST_F(LauncherGpu, AServerSeesTheGpusThatWereChosenAndTheyAreBooked) {
  launch_on_both("memory: 100MiB");
  const auto seen = [&](const std::string& name) {
    return at_door(door_, "POST", "/v1/completions",
                   json{{"model", "x"}, {"variables", {name}}}.dump())
        .body.at("variables")
        .at(name);
  };
  const json both = body(at(door_, "a", "--no-sleep --gpu 104857600"),
                         {{"gpu_uuids", {uuids_.at("CUDA1"), uuids_.at("CUDA0")}}});
  ASSERT_EQ(put("a", both).status, 201);
  ASSERT_TRUE(wakes(door_));
  EXPECT_EQ(seen("CUDA_VISIBLE_DEVICES"), "1,0") << "in the order that was asked for";
  EXPECT_EQ(get(one("a")).body.at("env_vars").at("CUDA_VISIBLE_DEVICES"), "1,0");
  EXPECT_EQ(held("a", "CUDA0"), 100 * mib);
  EXPECT_EQ(held("a", "CUDA1"), 100 * mib);
  ASSERT_EQ(remove(one("a")).status, 200);
  // By the same name on one of them: what was measured on both does not count.
  const json single =
      body(at(door_, "a", "--no-sleep --gpu 104857600"), {{"gpu_uuids", {uuids_.at("CUDA0")}}});
  ASSERT_EQ(put("a", single).status, 201);
  ASSERT_TRUE(wakes(door_));
  EXPECT_EQ(seen("CUDA_VISIBLE_DEVICES"), "0");
  EXPECT_EQ(held("a", "CUDA1"), 0U);
  const auto unknown = put("b", body(at(free_port(), "b"), {{"gpu_uuids", {"GPU-0"}}}));
  EXPECT_EQ(unknown.status, 422);
  EXPECT_THAT(unknown.raw, testing::HasSubstr(uuids_.at("CUDA0"))) << "those that there are";
}

TEST_F(LauncherGpu, UuidsAreShownToServersThatReadThem) {
  launch_on_both("memory: 100MiB, visible_devices: uuid");
  const std::string gpu = uuids_.at("CUDA1");
  ASSERT_EQ(put("a", body(at(door_, "a", "--no-sleep"), {{"gpu_uuids", {gpu}}})).status, 201);
  ASSERT_TRUE(wakes(door_));
  EXPECT_EQ(get(one("a")).body.at("env_vars").at("CUDA_VISIBLE_DEVICES"), gpu);
}

}  // namespace
