// What a fleet sees of a router: probes, the books as a document, the figures, and how it ends.

#include <algorithm>
#include <csignal>
#include <limits>

#include "serve/exposition.hpp"
#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

class Probes : public router_test {
 protected:
  [[nodiscard]] answered ready(const std::string& query = "") const {
    return get("/health/ready" + query);
  }
};

TEST_F(Probes, AModelThatWasNotLoadedOrSleepsIsReadyAndIsNeitherLoadedNorWokenForIt) {
  add("a", {.keys = "ladder: [offload, stop]"});
  start();
  EXPECT_EQ(get("/health/live").status, 200);
  EXPECT_EQ(ready().status, 200);
  auto of_a = ready("?model=a");
  EXPECT_EQ(of_a.status, 200) << of_a.raw;
  EXPECT_EQ(of_a.body.at("state"), "stopped");
  EXPECT_EQ(of_a.body.at("plan").at("outcome"), "planned");
  EXPECT_EQ(times("a start"), 0);
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  of_a = ready("?model=a");
  EXPECT_EQ(of_a.status, 200) << of_a.raw;
  EXPECT_EQ(of_a.body.at("level"), "offload");
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(times("a POST /wake_up"), 0);
}

TEST_F(Probes, AModelThatCanNotComeBesideWhatIsPinnedIsNotReadyAndTheRouterIs) {
  set_capacity("120MiB");
  for (const char* const name : {"a", "b"}) {
    add(name, {.options = "--hold 62914560", .keys = "ladder: [offload, stop]"});
  }
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("b").status, 200);
  ASSERT_EQ(state_of("a"), "asleep") << "the test is about one that sleeps";
  EXPECT_EQ(ready("?model=a").status, 200) << "b can leave for it";
  EXPECT_EQ(ready("?model=a").body.at("plan").at("puts_away").at(0).at("model"), "b");
  ASSERT_EQ(post("/ui/models/b/pin").status, 200);
  const auto of_a = ready("?model=a");
  EXPECT_EQ(of_a.status, 503);
  EXPECT_THAT(of_a.body.at("why"), HasSubstr("HOST lacks"));
  EXPECT_EQ(ready("?model=b").status, 200);
  EXPECT_EQ(ready().status, 200);
  ASSERT_EQ(post("/ui/models/b/unpin").status, 200);
  EXPECT_EQ(ready("?model=a").status, 200);
}

TEST_F(Probes, AModelIsNotReadyWhileItIsNotStartedAgainAndIsAfterThat) {
  add("a", {.options = "--exit-when " + gate("bad")});
  open_gate("bad");
  start();
  // The first failure is followed by no pause, each later one by a longer one.
  ASSERT_TRUE(eventually([&] {
    static_cast<void>(ask("a"));
    return ready("?model=a").status == 503;
  }));
  EXPECT_EQ(ready().status, 503) << "there is no other";
  EXPECT_TRUE(eventually([&] { return ready("?model=a").status == 200; }));
  EXPECT_EQ(ready().status, 200) << "or nobody would ask for it ever again";
}

TEST_F(Probes, WhoCannotWaitAsksForModelsThatComeInTime) {
  add("a", {.keys = "ladder: [offload, stop]"});
  start();
  EXPECT_EQ(ready("?model=a&within=1h").status, 503) << "nobody knows how long it takes";
  ASSERT_EQ(ask("a").status, 200);
  EXPECT_EQ(ready("?model=a&within=0").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  EXPECT_EQ(ready("?model=a&within=1h").status, 503) << "it was never seen to wake";
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  EXPECT_EQ(ready("?model=a&within=1h").status, 200);
  EXPECT_EQ(ready("?model=a&within=0").status, 503);
  EXPECT_EQ(ready("?model=a&within=soon").status, 400);
  EXPECT_EQ(ready("?model=nobody").status, 404);
}

TEST_F(Probes, ARouterIsReadyWhenTheModelsOfItsStartHaveCome) {
  add("a", {.options = "--ready-when " + gate("up")});
  set("hooks: {on_startup: {preload: [a]}}");
  start();
  EXPECT_EQ(ready().status, 503);
  EXPECT_EQ(get("/health/live").status, 200);
  open_gate("up");
  EXPECT_TRUE(eventually([&] { return ready().status == 200; }));
}

using Budget = router_test;

TEST_F(Budget, ItsDocumentAddsUpAndSaysWhatCouldBeFreed) {
  set_capacity("1GiB");
  add("a", {.options = "--hold 62914560", .keys = "ladder: [offload, stop]\naliases: [x]"});
  add("b", {.options = "--hold 62914560", .keys = "ladder: stop"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("b").status, 200);
  json all = get("/budget").body;
  EXPECT_EQ(all.at("version"), 1);
  EXPECT_FALSE(all.at("node").get<std::string>().empty());
  EXPECT_TRUE(all.at("ready"));
  EXPECT_FALSE(all.at("draining"));
  const auto of = [&](const std::string& name) {
    for (const json& each : all.at("models")) {
      if (each.at("name") == name) return each;
    }
    return json();
  };
  const auto bytes = [](const json& of_devices) { return of_devices.value("HOST", 0ULL); };
  const json host = all.at("devices").at(0);
  EXPECT_EQ(host.at("id"), "HOST");
  EXPECT_TRUE(host.at("uuid").is_null());
  EXPECT_EQ(host.at("capacity_bytes"), 1ULL << 30);
  const auto a_awake = bytes(of("a").at("bytes"));
  const auto b_awake = bytes(of("b").at("bytes"));
  EXPECT_GT(a_awake, 62914560U);
  EXPECT_EQ(bytes(of("a").at("awake_bytes")), a_awake);
  EXPECT_TRUE(of("a").at("awake_measured"));
  EXPECT_EQ(host.at("booked_bytes"), a_awake + b_awake);
  EXPECT_EQ(host.at("ticket_bytes"), 0);
  EXPECT_EQ(host.at("free_bytes"), (1ULL << 30) - host.at("margin_bytes").get<std::uint64_t>() -
                                       host.at("foreign_bytes").get<std::uint64_t>() - a_awake -
                                       b_awake);
  EXPECT_EQ(host.at("freeable_bytes"), a_awake + b_awake);
  const json offload = of("a").at("levels").at(0);
  EXPECT_EQ(offload.at("level"), "offload");
  EXPECT_FALSE(offload.at("measured"));
  EXPECT_TRUE(offload.at("back_ms").is_null()) << "it was never seen to wake";
  EXPECT_EQ(bytes(offload.at("frees_now")), a_awake - bytes(offload.at("bytes")));
  EXPECT_EQ(of("a").at("levels").at(1).at("level"), "stop");
  EXPECT_GE(of("a").at("levels").at(1).at("back_ms"), 0);
  EXPECT_EQ(of("a").at("aliases"), json({"x"}));

  ASSERT_EQ(post("/sleep?model=a").status, 200);
  ASSERT_TRUE(eventually([&] {
    all = get("/budget").body;
    return of("a").at("levels").at(0).at("measured") == true;
  }));
  EXPECT_EQ(of("a").at("state"), "asleep");
  EXPECT_EQ(of("a").at("level"), "offload");
  EXPECT_LT(bytes(of("a").at("bytes")), a_awake);
  EXPECT_EQ(of("a").at("bytes"), of("a").at("levels").at(0).at("bytes"));
  EXPECT_FALSE(of("a").at("levels").at(0).contains("frees_now"));
  EXPECT_EQ(of("a").at("levels").at(1).at("frees_now"), of("a").at("bytes"));
  EXPECT_TRUE(of("a").at("expected_ms").is_null());
  ASSERT_EQ(ask("a").status, 200);
  all = get("/budget?plans=true").body;
  EXPECT_EQ(of("a").at("expected_ms"), 0);
  EXPECT_GE(of("a").at("levels").at(0).at("back_ms"), 0);
  EXPECT_EQ(of("b").at("plan").at("outcome"), "planned");
}

TEST_F(Budget, WhatIsAtWorkOrPinnedFreesNothing) {
  add("a", {.options = "--hold 62914560", .keys = "ladder: stop"});
  start();
  auto working = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  json all = get("/budget").body;
  EXPECT_EQ(all.at("devices").at(0).at("freeable_bytes"), 0);
  EXPECT_FALSE(all.at("models").at(0).at("levels").at(0).contains("frees_now"));
  open_gate("go");
  ASSERT_EQ(working.get().status, 200);
  EXPECT_TRUE(eventually(
      [&] { return get("/budget").body.at("devices").at(0).at("freeable_bytes") > 62914560; }));
  ASSERT_EQ(post("/ui/models/a/pin").status, 200);
  EXPECT_EQ(get("/budget").body.at("devices").at(0).at("freeable_bytes"), 0);
}

TEST_F(Budget, AModelOnItsWayInHoldsATicket) {
  add("a", {.options = "--ready-when " + gate("up"), .memory = "100MiB"});
  start();
  auto waiting = ask_later("a");
  ASSERT_TRUE(noted("a start"));
  const json all = get("/budget").body;
  EXPECT_EQ(all.at("devices").at(0).at("ticket_bytes"), 100U << 20);
  EXPECT_EQ(all.at("models").at(0).at("state"), "starting");
  open_gate("up");
  EXPECT_EQ(waiting.get().status, 200);
}

using Figures = router_test;

TEST_F(Figures, ActuationsAreCountedByHowTheModelWasFound) {
  add("a", {.keys = "ladder: [offload, stop]"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  ASSERT_EQ(post("/wake_up?model=a").status, 200);
  const std::string page = get("/metrics").raw;
  EXPECT_THAT(lull::test::exposition_mistakes(page), IsEmpty());
  for (const char* const line : {"lull_actuation_seconds_count{model=\"a\",path=\"cold\"} 1",
                                 "lull_actuation_seconds_count{model=\"a\",path=\"hot\"} 1",
                                 "lull_actuation_seconds_count{model=\"a\",path=\"offload\"} 1",
                                 "lull_load_seconds_count{model=\"a\",path=\"cold\"} 1",
                                 "lull_load_seconds_count{model=\"a\",path=\"offload\"} 1",
                                 "lull_ready{} 1", "lull_model_ready{model=\"a\"} 1"}) {
    EXPECT_THAT(page, HasSubstr(line));
  }
  EXPECT_EQ(page.find("lull_load_seconds_count{model=\"a\",path=\"hot\"}"), std::string::npos);
}

class Drain : public router_test {
 protected:
  void tell_to_end() const { router_->send_signal(SIGTERM); }
  bool says_not_ready() const {
    return eventually([&] { return get("/health/ready").status == 503; });
  }
  /// Ends it. @return its exit code
  int code() {
    const auto ended = router_->wait(lull::steady_clock().deadline_in(60s));
    if (!ended) ADD_FAILURE() << "it does not end";
    wait_for_end();
    return ended ? ended->shell_code() : -1;
  }
};

TEST_F(Drain, WhatIsUnderWayEndsWhatIsNewIsRefusedAndThoseWhoLookAreAnswered) {
  add("a");
  start();
  auto working = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  const int id = model("a").at("pid");
  tell_to_end();
  ASSERT_TRUE(says_not_ready());
  EXPECT_THAT(get("/health/ready").body.at("why"), HasSubstr("ending"));
  EXPECT_EQ(get("/health/ready?model=a").status, 503);
  EXPECT_EQ(get("/health/live").status, 200);
  EXPECT_TRUE(get("/budget").body.at("draining"));
  const auto refused = ask("a");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.raw, HasSubstr("ending"));
  EXPECT_TRUE(refused.headers.count("Retry-After"));
  EXPECT_EQ(post("/models/load", R"({"model":"a"})").status, 503);
  EXPECT_EQ(post("/wake_up?model=a").status, 503);
  open_gate("go");
  EXPECT_EQ(working.get().status, 200);
  EXPECT_EQ(code(), 0);
  EXPECT_FALSE(is_alive(id));
}

TEST_F(Drain, ForATimeItServesAsBeforeSinceOthersHearOfItLate) {
  add("a");
  set("drain: {delay: 1h}");
  start();
  tell_to_end();
  ASSERT_TRUE(says_not_ready());
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(ask("a").headers.find("Connection")->second, "close");
  tell_to_end();
  EXPECT_EQ(code(), 0);
}

TEST_F(Drain, WhatDoesNotEndInTimeIsCutOffWhichTheExitCodeTells) {
  add("a");
  set("drain: {requests: 0}");
  start();
  auto working = ask_later("a", {{"gate", gate("never")}});
  ASSERT_TRUE(noted("a POST"));
  tell_to_end();
  EXPECT_EQ(code(), 3);
  EXPECT_EQ(working.get().status, 0);
}

TEST_F(Drain, ServersAreKilledWhenTheWholeTimeIsNearlyOver) {
  add("a", {.options = "--deaf", .keys = "unloadTimeout: 1h"});
  set("drain: {requests: 0, total: 2s}");
  start();
  ASSERT_EQ(ask("a").status, 200);
  const int id = model("a").at("pid");
  tell_to_end();
  EXPECT_EQ(code(), 0);
  EXPECT_FALSE(is_alive(id));
}

TEST_F(Drain, WhoTellsItTwiceDoesNotWaitForServersThatDoNotListen) {
  add("a", {.options = "--deaf", .keys = "unloadTimeout: 1h"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  const int id = model("a").at("pid");
  tell_to_end();
  ASSERT_TRUE(eventually([&] { return get("/health/live").status == 0; })) << "it stops servers";
  tell_to_end();
  EXPECT_EQ(code(), 0);
  EXPECT_FALSE(is_alive(id));
}

}  // namespace
