// More models than fit: who comes, who sleeps, who is refused.

#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;

class Memory : public router_test {
 protected:
  /// Room for two of the three.
  void three_models(const std::string& keys = "") {
    set_capacity("250MiB");
    for (const char* const name : {"a", "b", "c"}) {
      add(name, {.options = "--hold 41943040", .keys = keys});
    }
  }
};

TEST_F(Memory, TheOneThatWasUsedLeastRecentlyLeavesForAnother) {
  three_models("ladder: stop");
  start();
  // What was given counts until a load was measured: 100 MiB, and really some 50 MiB.
  for (const char* const name : {"a", "b", "c"}) ASSERT_EQ(ask(name).status, 200) << name;
  EXPECT_EQ(state_of("c"), "ready");
  const json held = model("c").at("holds").at("HOST");
  EXPECT_GT(held.get<std::uint64_t>(), 40U << 20);
  EXPECT_LT(held.get<std::uint64_t>(), 90U << 20) << "as measured";
}

TEST_F(Memory, WhatAServerTakesWithItsFirstRequestIsBookedAndExpectedTheNextTime) {
  set_capacity("250MiB");
  add("a", {.options = "--hold 20971520 --grow 41943040", .keys = "ladder: stop"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  const auto holds = [&] { return model("a").at("holds").at("HOST").get<std::uint64_t>() >> 20; };
  EXPECT_TRUE(eventually([&] { return holds() >= 60; })) << holds();
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  EXPECT_EQ(post("/models/load", R"({"model":"a"})").status, 200);
  ASSERT_TRUE(becomes("a", "ready"));
  EXPECT_GE(holds(), 60U) << "before it has taken it again";
}

TEST_F(Memory, WhatDoesNotFitTogetherTakesTurns) {
  two_of_which_one_fits();
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("b").status, 200);
  EXPECT_EQ(state_of("a"), "stopped");
  ASSERT_EQ(ask("a").status, 200);
  EXPECT_EQ(state_of("b"), "stopped");
  EXPECT_EQ(times("a start"), 2);
}

TEST_F(Memory, OneThatWorksIsNotPutAwayForAnother) {
  two_of_which_one_fits();
  start();
  auto working = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  auto waiting = ask_later("b");
  ASSERT_TRUE(eventually([&] { return model("b").at("waiting") == 1; }));
  ASSERT_TRUE(eventually([&] {  // the books are asked a moment after it has come
    const json all = state().at("waiting");
    return !all.empty() && !all.at(0).at("why").get<std::string>().empty();
  }));
  const json why = state().at("waiting").at(0);
  EXPECT_EQ(why.at("model"), "b");
  EXPECT_THAT(why.at("why").get<std::string>(), HasSubstr("HOST"));
  EXPECT_EQ(state_of("a"), "ready");
  open_gate("go");
  EXPECT_EQ(working.get().status, 200);
  EXPECT_EQ(waiting.get().status, 200);
}

TEST_F(Memory, OneThatCanSleepByItsServersRoutesDoesAndIsWokenByARequest) {
  set_capacity("120MiB");
  add("a", {.options = "--hold 62914560", .keys = "ladder: [offload, stop]"});
  add("b", {.options = "--hold 41943040", .keys = "ladder: stop"});
  start();
  const auto first = ask("a");
  ASSERT_EQ(first.status, 200);
  ASSERT_EQ(ask("b").status, 200);
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(model("a").at("level"), "offload");
  EXPECT_EQ(times("a POST /sleep?level=1"), 1);
  const auto again = ask("a");
  ASSERT_EQ(again.status, 200) << again.raw;
  EXPECT_EQ(again.body.at("pid"), first.body.at("pid")) << "it is the same process";
  EXPECT_EQ(times("a POST /wake_up"), 1);
  EXPECT_EQ(times("a asked while asleep"), 0);
}

TEST_F(Memory, AServerWithoutSuchRoutesIsStoppedInstead) {
  set_capacity("120MiB");
  add("a", {.options = "--hold 62914560 --no-sleep", .keys = "ladder: [auto, stop]"});
  add("b", {.options = "--hold 62914560", .keys = "ladder: stop"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("b").status, 200);
  EXPECT_TRUE(becomes("a", "stopped"));
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Memory, WhatCanNeverFitIsRefusedAtOnceWithTheSum) {
  set_capacity("250MiB");
  add("stays", {.options = "--hold 62914560", .keys = "pinned: true"});
  add("large", {.memory = "240MiB"});
  start();
  ASSERT_EQ(ask("stays").status, 200);
  const auto answer = ask("large");
  EXPECT_EQ(answer.status, 507);
  EXPECT_THAT(answer.raw, HasSubstr("can never fit: HOST lacks"));
  EXPECT_THAT(answer.raw, HasSubstr("240 MiB"));
  EXPECT_EQ(times("large start"), 0);
}

TEST_F(Memory, APinnedModelStays) {
  set_capacity("120MiB");
  add("a", {.options = "--hold 62914560", .keys = "pinned: true\nladder: stop"});
  add("b", {.options = "--hold 62914560", .keys = "ladder: stop"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  EXPECT_EQ(ask("b").status, 507);
  EXPECT_EQ(post("/ui/models/a/unpin").status, 200);
  EXPECT_EQ(ask("b").status, 200);
  EXPECT_EQ(state_of("a"), "stopped");
}

TEST_F(Memory, AnIdleModelGoesDownItsLadder) {
  add("a", {.keys = "ladder: \"offload:50ms,stop:400ms\""});
  start();
  ASSERT_EQ(ask("a").status, 200);
  EXPECT_TRUE(noted("a POST /sleep?level=1"));
  EXPECT_TRUE(becomes("a", "stopped"));
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(times("a start"), 2);
}

TEST_F(Memory, OneWhoWaitsTooLongIsToldWhy) {
  set_capacity("120MiB");
  add("a", {.options = "--hold 62914560", .keys = "ladder: stop"});
  add("b", {.options = "--hold 62914560", .keys = "max_wait: 200ms\nladder: stop"});
  start();
  auto working = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  const auto refused = ask("b");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.raw, HasSubstr("HOST"));
  open_gate("go");
  EXPECT_EQ(working.get().status, 200);
}

TEST_F(Memory, MembersOfAGroupTakeTurnsThoughThereIsRoomForAll) {
  for (const char* const name : {"a", "b"}) add(name, {.keys = "ladder: stop"});
  add("other", {.keys = "ladder: stop"});
  set("groups:\n  one: {swap: true, exclusive: false, members: [a, b]}\n"
      "  stays: {swap: false, exclusive: false, persistent: true, members: [other]}");
  start();
  ASSERT_EQ(ask("other").status, 200);
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("b").status, 200);
  EXPECT_EQ(state_of("a"), "stopped");
  EXPECT_EQ(state_of("other"), "ready");
}

TEST_F(Memory, WhoIsMeantToBeThereFromTheStartIs) {
  add("a");
  set("hooks: {on_startup: {preload: [a]}}");
  start();
  EXPECT_TRUE(becomes("a", "ready"));
}

}  // namespace
