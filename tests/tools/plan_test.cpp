// What `lull plan` says: from configurations, devices and states that tests think up, and as a
// program on a simulated GPU.

#include <lull/bytes.hpp>

#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "config/reader.hpp"
#include "gguf/writer.hpp"
#include "plan/engine_options.hpp"
#include "plan/foresight.hpp"
#include "plan/report.hpp"
#include "plan/snapshot_json.hpp"
#include "support/expect_error.hpp"
#include "support/run_shell.hpp"
#include "support/scratch_folder.hpp"

namespace {

using namespace std::chrono_literals;
using namespace lull::literals;
using lull::model_state;
using lull::plan_outcome;
using lull::status;
using lull::plan::circumstances;
using lull::plan::foresight;
using lull::test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr const char* three_models = R"(devices: [CUDA0]
models:
  old: {cmd: serve old, proxy: "http://127.0.0.1:9001", memory: {CUDA0: 4GiB}}
  fresh:
    cmd: serve fresh
    proxy: "http://127.0.0.1:9002"
    memory: {CUDA0: 4GiB}
    ladder:
      - {level: offload, left: {CUDA0: 512MiB}}
      - {level: stop}
  wanted: {cmd: serve wanted, proxy: "http://127.0.0.1:9003", memory: {CUDA0: 3GiB}, aliases: [w]}
)";

class Foresight : public testing::Test {
 protected:
  /// One GPU of 10 GiB and 1 GiB of it to be kept free.
  Foresight() {
    now.devices = {{"CUDA0", true, false, 10_GiB, 0}, {"HOST", false, false, 64_GiB, 1_GiB}};
  }

  void read(const std::string& text) {
    auto made = lull::serve::read_config(text, "serve.yaml");
    for (const auto& mistake : made.mistakes) ADD_FAILURE() << mistake.text();
    now.configuration = std::move(made.value);
  }
  lull::budget_model_snapshot& have(const char* name, model_state state, std::uint64_t bytes) {
    if (!now.state) {
      now.state.emplace();
      now.state->devices = {{"CUDA0", 10_GiB, 1_GiB, 0, 0}};
    }
    auto& model = now.state->models.emplace_back();
    model.name = name;
    model.state = state;
    if (bytes > 0) model.holds["CUDA0"] = bytes;
    return model;
  }
  foresight see(const char* model = "wanted") { return lull::plan::foresee(now, model); }

  circumstances now;
};

TEST_F(Foresight, WhatFitsFitsAndWhatIsAssumedIsSaid) {
  read(three_models);
  now.devices[0].used_bytes = 2_GiB;
  const foresight seen = see("w");
  EXPECT_EQ(seen.model, "wanted");
  EXPECT_EQ(seen.outcome, plan_outcome::planned);
  EXPECT_THAT(seen.leaving, IsEmpty());
  EXPECT_THAT(seen.need, ElementsAre(Pair("CUDA0", 3_GiB)));
  EXPECT_EQ(seen.devices.at(0).books.foreign_bytes, 2_GiB);
  EXPECT_EQ(seen.devices.at(0).after_bytes, 3_GiB);
  EXPECT_THAT(seen.assumed, ElementsAre(HasSubstr("nothing is loaded")));
}

TEST_F(Foresight, TheLeastMissedLeavesAndTheOtherStays) {
  read(three_models);
  auto& old = have("old", model_state::ready, 4_GiB);
  old.idle = 1h;
  old.uses_per_second = 0.001;
  old.wake_times = {2s, 9s};
  auto& fresh = have("fresh", model_state::ready, 4_GiB);
  fresh.idle = 1s;
  fresh.uses_per_second = 0.1;
  fresh.wake_times = {2s, 9s};
  foresight seen = see();
  ASSERT_THAT(seen.leaving, SizeIs(1));
  EXPECT_EQ(seen.leaving[0].model, "old");
  EXPECT_THAT(seen.leaving[0].why, HasSubstr("idle for 3.6e+03 s"));
  EXPECT_THAT(seen.leaving[0].gain, ElementsAre(Pair("CUDA0", testing::Ge(3_GiB))));
  ASSERT_THAT(seen.staying, SizeIs(1));
  EXPECT_EQ(seen.staying[0].model, "fresh");
  EXPECT_THAT(seen.staying[0].why, HasSubstr("used 0.1 times a second"));
  EXPECT_EQ(seen.devices[0].missing_bytes, 2_GiB);
  EXPECT_THAT(seen.assumed, IsEmpty());
  now.configuration.models[0].pinned = true;
  seen = see();
  ASSERT_THAT(seen.leaving, SizeIs(1));
  EXPECT_EQ(seen.leaving[0].model, "fresh");
  EXPECT_EQ(seen.leaving[0].level, "offload") << "the shallowest that frees enough";
  EXPECT_THAT(seen.leaving[0].left, ElementsAre(Pair("CUDA0", 512_MiB)));
  EXPECT_EQ(seen.devices[0].after_bytes, 4_GiB + 512_MiB + 3_GiB);
  EXPECT_EQ(seen.staying[0].why, "is pinned");
}

TEST_F(Foresight, WhoWorksIsWaitedFor) {
  read(three_models);
  have("old", model_state::ready, 4_GiB).leases = 2;
  have("fresh", model_state::ready, 4_GiB).leases = 1;
  const foresight seen = see();
  EXPECT_EQ(seen.outcome, plan_outcome::busy);
  ASSERT_THAT(seen.leaving, SizeIs(1));
  EXPECT_THAT(seen.leaving[0].why, HasSubstr("use it, which ends first"));
  EXPECT_THAT(seen.words, HasSubstr("CUDA0 lacks 2 GiB"));
}

TEST_F(Foresight, WhatNeverFitsMovesNobody) {
  read(three_models);
  have("old", model_state::ready, 4_GiB);
  now.state->devices[0].foreign_bytes = 7_GiB;
  const foresight seen = see();
  EXPECT_EQ(seen.outcome, plan_outcome::impossible);
  EXPECT_THAT(seen.leaving, IsEmpty());
  EXPECT_THAT(seen.words, HasSubstr("other programs 7 GiB"));
}

TEST_F(Foresight, ASleeperTakesWhatItLacks) {
  read(three_models);
  have("fresh", model_state::asleep, 512_MiB).level = "0:offload";
  const foresight seen = see("fresh");
  EXPECT_EQ(seen.devices[0].asked_bytes, 4_GiB - 512_MiB);
  now.state->models[0].level = "nap";
  EXPECT_THAT(error_of([&] { (void)see("fresh"); }).what(), HasSubstr("asleep at 'nap'"));
}

TEST_F(Foresight, ModelsThatTheConfigurationDoesNotHaveStay) {
  read(three_models);
  have("stranger", model_state::ready, 8_GiB);
  have("wanted", model_state::unloaded, 0);
  const foresight seen = see();
  EXPECT_EQ(seen.outcome, plan_outcome::impossible);
  ASSERT_THAT(seen.staying, SizeIs(1));
  EXPECT_EQ(seen.staying[0].why, "is not in the configuration");
}

TEST_F(Foresight, WhatIsReadyNeedsNothing) {
  read(three_models);
  have("wanted", model_state::ready, 3_GiB);
  const foresight seen = see();
  EXPECT_TRUE(seen.is_ready);
  EXPECT_EQ(lull::plan::to_json(seen)["outcome"], "ready");
}

TEST_F(Foresight, OfAGroupOneIsInAtATime) {
  read(std::string(three_models) + "groups:\n  pair: {members: [old, wanted]}\n");
  have("old", model_state::ready, 1_GiB).holds["group pair"] = 1;
  now.state->devices.push_back({"group pair", 1, 0, 0, 1});
  const foresight seen = see();
  ASSERT_THAT(seen.leaving, SizeIs(1));
  EXPECT_EQ(seen.leaving[0].model, "old");
}

TEST_F(Foresight, WhatWasMeasuredCountsBeforeWhatWasSaid) {
  read(three_models);
  auto& wanted = have("wanted", model_state::unloaded, 0);
  wanted.measured = true;
  wanted.estimate = {{"CUDA0", 5_GiB}};
  const foresight seen = see();
  EXPECT_THAT(seen.need, ElementsAre(Pair("CUDA0", 5_GiB)));
  EXPECT_THAT(seen.need_known_by, HasSubstr("measured"));
}

TEST_F(Foresight, AModelOfWhichNobodyKnowsIsLookedAtInItsFile) {
  const lull::test::scratch_folder folder;
  const std::string file = (folder.path() / "m.gguf").string();
  gguf::write_model(file, {.total_bytes = 4_MiB,
                           .blocks = 4,
                           .context_length = 1024,
                           .embedding_length = 512,
                           .heads = 8,
                           .kv_heads = 8});
  const std::string begin =
      "devices: [CUDA0]\nmodels:\n  m: {proxy: \"http://127.0.0.1:9001\", cmd: ";
  read(begin + "llama-server -m " + file + " -c 2048}\n");
  const std::uint64_t all = see("m").need.at("CUDA0");
  EXPECT_NEAR(static_cast<double>(all), static_cast<double>(512_MiB + 4_MiB + 2048 * 4 * 2048),
              static_cast<double>(2_MiB));
  EXPECT_THAT(see("m").need_known_by, HasSubstr("the header of " + file));
  read(begin + "llama-server -m " + file + " -c 4096}\n");
  EXPECT_EQ(see("m").need.at("CUDA0"), all + 2048 * 4 * 2048);
  read(begin + "llama-server -m " + file + " -c many}\n");
  EXPECT_THAT(error_of([&] { (void)see("m"); }).what(), HasSubstr("'-c many': is no whole number"));
  read(begin + "llama-server -m /nowhere.gguf}\n");
  EXPECT_THAT(error_of([&] { (void)see("m"); }).what(), HasSubstr("/nowhere.gguf"));
  read(begin + "vllm serve something}\n");
  EXPECT_THAT(error_of([&] { (void)see("m"); }).what(), HasSubstr("nobody says what model 'm'"));
}

TEST_F(Foresight, SaysWhatIsNotThere) {
  read(three_models);
  EXPECT_THAT(error_of([&] { (void)see("other"); }).what(),
              HasSubstr("no model 'other'; there are old, fresh, wanted"));
  now.devices.clear();
  EXPECT_THAT(error_of([&] { (void)see(); }).what(), HasSubstr("'CUDA0': is not there"));
}

TEST(EngineOptions, AreFoundInAnyOfTheirForms) {
  const auto found = lull::plan::engine_options_of(
      {"numactl", "llama-server", "--model", "a.gguf", "--ctx-size=8192", "-np", "4", "-ngl", "20",
       "-ctk", "q8_0", "--cache-type-v", "BF16", "--n-cpu-moe", "3", "-ts", "3,1", "--port", "1"});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->model_file, "a.gguf");
  EXPECT_EQ(found->use.context_tokens, 8192U);
  EXPECT_EQ(found->use.slots, 4U);
  EXPECT_EQ(found->use.device_layers, 20U);
  EXPECT_EQ(found->use.key_type, 8U);
  EXPECT_EQ(found->use.value_type, 30U);
  EXPECT_EQ(found->use.host_expert_layers, 3U);
  EXPECT_THAT(found->split, ElementsAre(3, 1));
  EXPECT_FALSE(lull::plan::engine_options_of({"vllm", "serve", "a"})) << "no file";
  EXPECT_FALSE(lull::plan::engine_options_of({"s", "-m", "a", "-ngl", "all"})->use.device_layers);
}

TEST(SnapshotJson, SurvivesBeingWrittenAndRead) {
  lull::budget_snapshot all;
  all.devices = {{"CUDA0", 8_GiB, 1_GiB, 5, 6}};
  lull::budget_model_snapshot model;
  model.name = "m";
  model.state = model_state::asleep;
  model.level = "offload";
  model.holds = {{"HOST", 3}};
  model.estimate = {{"CUDA0", 4}};
  model.measured = true;
  model.leases = 1;
  model.waiting = 2;
  model.wake_times = {1500ms, 9s};
  model.priority = -3;
  model.pinned = true;
  model.kept_for = 2s;
  model.idle = 3s;
  model.uses_per_second = 0.25;
  all.models = {model};
  const std::string text = lull::plan::to_json(all).dump();
  const auto back = lull::plan::parse_snapshot(text, "state.json");
  EXPECT_EQ(lull::plan::to_json(back).dump(), text);
  EXPECT_EQ(back.models.at(0).idle, 3s);
}

TEST(SnapshotJson, SaysWhereItIsWrong) {
  const auto why = [](const char* text) {
    return std::string(
        error_of([&] { (void)lull::plan::parse_snapshot(text, "state.json"); }).what());
  };
  EXPECT_THAT(why("{\n\"devices\": [\n}"), HasSubstr("state.json:3: is no JSON"));
  EXPECT_THAT(why("[]"), HasSubstr("state.json: : is no object"));
  EXPECT_THAT(why(R"({"models": [{"name": "a", "state": "gone"}]})"),
              HasSubstr("state.json: models[0].state: 'gone' is none"));
  EXPECT_THAT(why(R"({"models": [{}]})"), HasSubstr("models[0].name: is missing"));
  EXPECT_THAT(why(R"({"models": [{"name": "a", "holds_bytes": {"CUDA0": -1}}]})"),
              HasSubstr("models[0].holds_bytes.CUDA0: is no count"));
  EXPECT_THAT(why(R"({"devices": 7})"), HasSubstr("devices: is no list"));
  EXPECT_THAT(why(R"({"models": [{"name": "a", "wake_ms": 7}]})"),
              HasSubstr("models[0].wake_ms: is no list"));
  EXPECT_THAT(why(R"({"models": [{"name": "a", "wake_ms": [7, -1]}]})"),
              HasSubstr("models[0].wake_ms[1]: is no span"));
}

#ifdef LULL_TEST_SIMGPU

class PlanCommand : public testing::Test {
 protected:
  PlanCommand() {
    std::ofstream(folder.path() / "serve.yaml") << three_models;
    std::ofstream(folder.path() / "state.json") << R"({"devices": [{"name": "CUDA0",
      "capacity_bytes": 8589934592, "foreign_bytes": 0}], "models": [{"name": "old",
      "state": "ready", "holds_bytes": {"CUDA0": 4294967296}, "idle_ms": 5000}]})";
  }
  lull::test::shell_result run(const std::string& arguments, const char* scenario = "devices=1") {
    return lull::test::run_shell("cd " + folder.path().string() + " && env SIMGPU=" + scenario +
                                 " SIMGPU_VENDORS=cuda LD_LIBRARY_PATH=" LULL_TEST_SIMGPU
                                 ":$LD_LIBRARY_PATH " LULL_CLI " plan --config serve.yaml " +
                                 arguments + " 2>&1");
  }
  lull::test::scratch_folder folder;
};

TEST_F(PlanCommand, SaysInATableAndInJsonWhoWouldLeave) {
  auto [code, output] = run("--load wanted");
  EXPECT_EQ(code, 0) << output;
  EXPECT_THAT(output, HasSubstr("It fits: nobody leaves."));
  EXPECT_THAT(output, HasSubstr("assumed: nothing is loaded"));
  const auto table = run("--load fresh --state state.json");
  EXPECT_EQ(table.exit_code, 0) << table.output;
  EXPECT_THAT(table.output, testing::ContainsRegex("old +auto|old +stop"));
  const auto json = run("--load fresh --state state.json --json");
  EXPECT_EQ(json.exit_code, 0);
  const auto parsed = nlohmann::json::parse(json.output);
  EXPECT_EQ(parsed["outcome"], "planned");
  EXPECT_EQ(parsed["leaving"][0]["model"], "old");
  EXPECT_EQ(parsed["devices"][0]["missing_bytes"], 1_GiB);
}

TEST_F(PlanCommand, EndsWithWhatCameOfIt) {
  EXPECT_EQ(run("--load wanted", "devices=1,foreign=6GiB").exit_code, 4);
  std::ofstream(folder.path() / "busy.json") << R"({"devices": [{"name": "CUDA0",
    "capacity_bytes": 8589934592}], "models": [{"name": "old", "state": "ready", "leases": 1,
    "holds_bytes": {"CUDA0": 5368709120}}]})";
  EXPECT_EQ(run("--load wanted --state busy.json").exit_code, 3);
  EXPECT_EQ(run("--load nobody").exit_code, 1);
  EXPECT_EQ(run("").exit_code, 2);
  EXPECT_EQ(run("--help").exit_code, 0);
  const auto [code, output] = run("--load wanted --state none.json");
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("none.json: cannot be read"));
  std::ofstream(folder.path() / "serve.yaml") << "models:\n  a: {cmd: x, prio: 3}\n";
  const auto wrong = run("--load a");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.output, HasSubstr("lull: serve.yaml:2:"));
  EXPECT_THAT(wrong.output, HasSubstr("prio"));
}

#endif

}  // namespace
