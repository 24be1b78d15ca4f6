// Servers that know of no sleep, on a GPU whose driver suspends processes: the GPU is simulated,
// the processes are real.

#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;

class Suspend : public router_test {
 protected:
  Suspend() {
    std::filesystem::create_directory(processes_);
    environment_ = {{"LD_LIBRARY_PATH", std::string(LULL_TEST_SIMGPU)},
                    {"SIMGPU_VENDORS", "cuda"},
                    {"SIMGPU", "total=1GiB"},
                    {"SIMGPU_PROCESSES", processes_.string()}};
    device_ = "CUDA0";
    set_capacity("700MiB");
    for (const char* const name : {"a", "b"}) {
      add(name, {.options = "--no-sleep --gpu 524288000", .memory = "500MiB"});
    }
  }
  [[nodiscard]] int state_on_gpu(int id) const {
    int state = -1;
    std::ifstream(processes_ / std::to_string(id)) >> state;
    return state;
  }
  /// Another program of this machine takes memory of the GPU.
  void take(std::uint64_t bytes) {
    lull::process_options options;
    options.arguments = {"sleep", "1000"};
    other_.emplace(std::move(options));
    std::ofstream(processes_ / "new") << "0 0 " << bytes << " 0\n";
    std::filesystem::rename(processes_ / "new", processes_ / std::to_string(other_->id()));
  }

  std::filesystem::path processes_ = scratch_.path() / "processes";
  std::optional<lull::process> other_;
};

TEST_F(Suspend, OneLeavesForAnotherAndComesBackAsTheSameProcess) {
  start();
  const auto first = ask("a");
  ASSERT_EQ(first.status, 200) << first.raw;
  const int id = first.body.at("pid");
  ASSERT_EQ(ask("b").status, 200);
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(model("a").at("level"), "suspend");
  EXPECT_EQ(state_on_gpu(id), 2);
  const auto again = ask("a");
  ASSERT_EQ(again.status, 200) << again.raw;
  EXPECT_EQ(again.body.at("pid"), id);
  EXPECT_EQ(state_on_gpu(id), 0);
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Suspend, WithoutRoomForItASuspendedOneIsNotResumedAndLivesOn) {
  start();
  const int id = ask("a").body.at("pid");
  ASSERT_EQ(post("/ui/models/a/sleep", R"({"level":"auto"})").status, 200);
  ASSERT_EQ(state_on_gpu(id), 2);
  // More than the budget knows of at once: what the GPU has is looked at before the resume.
  take(std::uint64_t{700} << 20);
  const auto refused = ask("a");
  EXPECT_GE(refused.status, 503) << refused.raw;
  EXPECT_TRUE(is_alive(id));
  EXPECT_EQ(state_on_gpu(id), 2);
  other_.reset();
  EXPECT_TRUE(eventually([&] { return ask("a").status == 200; }));
  EXPECT_EQ(ask("a").body.at("pid"), id);
}

TEST_F(Suspend, ASuspendedOneIsReadyForAProbeUntilAnotherProgramHasItsRoom) {
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(post("/ui/models/a/sleep", R"({"level":"auto"})").status, 200);
  EXPECT_EQ(get("/health/ready?model=a").status, 200);
  take(std::uint64_t{700} << 20);
  EXPECT_TRUE(eventually([&] { return get("/health/ready?model=a").status == 503; }));
  EXPECT_EQ(get("/health/ready").status, 503) << "no model fits";
  EXPECT_EQ(state_of("a"), "asleep");
  other_.reset();
  EXPECT_TRUE(eventually([&] { return get("/health/ready?model=a").status == 200; }));
}

/// DCGM's exporter calls a GPU by its UUID in a label of that name.
TEST_F(Suspend, EachSeriesAndTheBudgetCallTheGpuByItsUuid) {
  start();
  ASSERT_EQ(ask("a").status, 200);
  const json books = get("/budget").body;
  const std::string uuid = books.at("devices").at(0).at("uuid");
  EXPECT_THAT(uuid, testing::MatchesRegex("GPU-[0-9a-f-]{36}"));
  EXPECT_EQ(books.at("devices").at(0).at("id"), uuid);
  EXPECT_EQ(books.at("models").at(0).at("bytes"), json({{uuid, 524288000}}));
  std::istringstream page(get("/metrics").raw);
  int series = 0;
  for (std::string line; std::getline(page, line);) {
    const bool of_device = line.starts_with("lull_device_") ||
                           line.starts_with("lull_model_held_bytes") ||
                           line.find("device=\"") != std::string::npos;
    if (!of_device) continue;
    ++series;
    EXPECT_THAT(line, HasSubstr("UUID=\"" + uuid + "\""));
  }
  EXPECT_GE(series, 8);
}

TEST_F(Suspend, OneThatIsSuspendedIsStoppedWithoutBeingResumed) {
  start();
  const int id = ask("a").body.at("pid");
  ASSERT_EQ(post("/ui/models/a/sleep", R"({"level":"auto"})").status, 200);
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  EXPECT_FALSE(is_alive(id));
  EXPECT_EQ(state_of("a"), "stopped");
}

TEST_F(Suspend, WhatAnotherProgramTakesIsSeenAndMadeRoomFor) {
  start();
  const int id = ask("a").body.at("pid");
  take(std::uint64_t{400} << 20);
  EXPECT_TRUE(becomes("a", "asleep"));
  EXPECT_EQ(state_on_gpu(id), 2);
  EXPECT_GE(state().at("devices").at(0).at("foreign_bytes").get<std::uint64_t>(),
            std::uint64_t{400} << 20);
}

}  // namespace
