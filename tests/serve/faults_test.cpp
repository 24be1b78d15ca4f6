// What goes wrong with servers, with clients and with the router itself.

#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;

class Faults : public router_test {};

TEST_F(Faults, ARequestToAServerThatDiesGetsItsLastLinesAndTheNextStartsItAgain) {
  add("a", {.options = "--last-words 'CUDA out of memory'"});
  start();
  const auto dead = ask("a", {{"die", true}});
  EXPECT_EQ(dead.status, 502);
  EXPECT_THAT(dead.raw, HasSubstr("CUDA out of memory"));
  EXPECT_THAT(dead.raw, HasSubstr("exited with code 3"));
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(times("a start"), 2);
}

TEST_F(Faults, AServerThatDiesInTheMiddleOfAStreamEndsItShort) {
  add("a");
  start();
  raw_connection client(port_);
  const std::string body =
      body_for("a", {{"stream", true}, {"events", 3}, {"gates", gate("event")}, {"die_at", 1}});
  open_gate("event1");
  client.send(
      fmt::format("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                  "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                  body.size(), body));
  const std::string all = client.receive_all();
  EXPECT_THAT(all, HasSubstr("data: 0"));
  EXPECT_FALSE(all.ends_with("0\r\n\r\n")) << "the client can tell that it is not whole";
  EXPECT_TRUE(becomes("a", "failed"));  // what is sent to it before that is answered with 502
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Faults, AServerThatIsKilledWhileIdleIsStartedAgainByTheNextRequest) {
  add("a");
  start();
  const int id = ask("a").body.at("pid");
  ::kill(id, SIGKILL);
  EXPECT_TRUE(becomes("a", "failed"));
  EXPECT_THAT(model("a").at("last_error").get<std::string>(), HasSubstr("signal 9"));
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Faults, WhatAKilledServerHeldIsThereForAnother) {
  two_of_which_one_fits();
  start();
  auto working = ask_later("a", {{"gate", gate("never")}});
  ASSERT_TRUE(noted("a POST"));
  auto waiting = ask_later("b");
  ASSERT_TRUE(eventually([&] { return model("b").at("waiting") == 1; }));
  ::kill(model("a").at("pid"), SIGKILL);
  EXPECT_EQ(working.get().status, 502);
  EXPECT_EQ(waiting.get().status, 200);
}

TEST_F(Faults, LooksNeitherStartNorWakeAModel) {
  add("a", {.keys = "ladder: [offload, stop]"});
  start();
  const auto look = [&] {
    for (const char* const path :
         {"/health", "/metrics", "/v1/models", "/models", "/running", "/ui/state", "/is_sleeping",
          "/upstream/a/health", "/upstream/a/is_sleeping", "/upstream/a/metrics",
          "/upstream/a/props", "/upstream/a/slots", "/slots?model=a", "/metrics?model=a",
          "/v1/models/a"}) {
      EXPECT_NE(get(path).status, 0) << path;
    }
  };
  look();
  EXPECT_EQ(state_of("a"), "stopped");
  ASSERT_EQ(ask("a").status, 200);
  EXPECT_EQ(get("/upstream/a/slots").status, 200) << "one that is ready is asked";
  EXPECT_EQ(get("/slots?model=a").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  look();
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(get("/upstream/a/slots").status, 503);
  EXPECT_EQ(get("/upstream/a/health").status, 200) << "one that sleeps can serve";
  EXPECT_EQ(times("a start"), 1);
  EXPECT_EQ(times("a POST /wake_up"), 0);
}

TEST_F(Faults, HoweverManyAskForOneThatIsNotThereItIsStartedOnce) {
  add("a", {.options = "--ready-when " + gate("go")});
  start();
  std::vector<std::future<answered>> clients;
  for (int count = 0; count < 8; ++count) clients.push_back(ask_later("a"));
  EXPECT_TRUE(eventually([&] { return model("a").at("waiting") == 8; }));
  EXPECT_EQ(state_of("a"), "starting");
  open_gate("go");
  for (auto& each : clients) EXPECT_EQ(each.get().status, 200);
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Faults, ThreeModelsThatAreAskedForAtOnceAllComeThoughTwoFit) {
  set_capacity("190MiB");
  for (const char* const name : {"a", "b", "c"}) {
    add(name, {.options = "--hold 62914560", .keys = "ladder: stop", .memory = "80MiB"});
  }
  start();
  std::vector<std::future<answered>> clients;
  for (const char* const name : {"a", "b", "c"}) clients.push_back(ask_later(name));
  for (auto& each : clients) EXPECT_EQ(each.get().status, 200);
}

TEST_F(Faults, AServerThatNeverGetsReadyIsGivenUpAndItsCallersAreTold) {
  add("a", {.options = "--never-ready", .keys = "healthCheckTimeout: 300ms"});
  start();
  auto other = ask_later("a");
  const auto answer = ask("a");
  EXPECT_EQ(answer.status, 502);
  EXPECT_THAT(answer.raw, HasSubstr("was not ready within 1 s"));
  EXPECT_EQ(other.get().status, 502);
  EXPECT_TRUE(becomes("a", "failed"));
}

TEST_F(Faults, AServerThatEndsAtItsStartIsStartedAgainLaterAndLater) {
  open_gate("broken");
  add("a", {.options = "--last-words 'no such model file' --exit-when " + gate("broken")});
  start();
  EXPECT_THAT(ask("a").raw, HasSubstr("no such model file"));
  ASSERT_TRUE(becomes("a", "failed"));
  EXPECT_EQ(ask("a").status, 502) << "the first time at once";
  ASSERT_TRUE(becomes("a", "failed"));
  const auto held_off = ask("a");
  EXPECT_EQ(held_off.status, 503);
  EXPECT_TRUE(held_off.headers.count("Retry-After"));
  EXPECT_THAT(held_off.raw, HasSubstr("no such model file"));
  EXPECT_EQ(times("a start"), 2);
  std::filesystem::remove(gate("broken"));
  EXPECT_TRUE(eventually([&] { return ask("a").status == 200; }));
}

TEST_F(Faults, AProgramThatIsNotThereIsSaidSo) {
  add("a", {.keys = "cmd: /nonexistent/server --port 1"});
  start();
  const auto answer = ask("a");
  EXPECT_EQ(answer.status, 502);
  EXPECT_THAT(answer.raw, HasSubstr("/nonexistent/server"));
}

TEST_F(Faults, WhatAServerWritesIsReadHoweverMuchItIs) {
  add("a", {.options = "--chatty 2000000"});
  start();
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_THAT(get("/logs").raw, HasSubstr("xxxx"));
}

TEST_F(Faults, APortThatAnotherProgramHasIsNotTakenForTheModels) {
  given_model taken;
  const int squatter = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(taken.port));
  ASSERT_EQ(::bind(squatter, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(squatter, 8), 0);
  add("a", taken);
  start();
  const auto answer = ask("a");
  EXPECT_EQ(answer.status, 502);
  EXPECT_THAT(answer.raw, HasSubstr("another program listens on"));
  EXPECT_EQ(times("a start"), 0);
  ::close(squatter);
  EXPECT_TRUE(eventually([&] { return ask("a").status == 200; }));
}

TEST_F(Faults, AServerThatOthersCouldReachIsRefusedUnlessThatIsMeant) {
  add("a", {.options = "--everywhere"});
  add("b", {.options = "--everywhere", .keys = "allow_remote: true"});
  start();
  const auto answer = ask("a");
  EXPECT_EQ(answer.status, 502);
  EXPECT_THAT(answer.raw, HasSubstr(fmt::format("listens on 0.0.0.0:{}", ports_["a"])));
  EXPECT_THAT(answer.raw, HasSubstr("allow_remote: true"));
  EXPECT_TRUE(becomes("a", "failed"));
  EXPECT_TRUE(model("a").at("pid").is_null()) << "it has ended";
  EXPECT_EQ(ask("b").status, 200);
}

TEST_F(Faults, AModelThatLoadsIsNotPutAwayForAnother) {
  set_capacity("120MiB");
  add("a", {.options = "--hold 62914560 --ready-when " + gate("go"), .keys = "ladder: stop"});
  add("b", {.options = "--hold 62914560", .keys = "ladder: stop"});
  start();
  auto first = ask_later("a");
  ASSERT_TRUE(becomes("a", "starting"));
  auto second = ask_later("b");
  ASSERT_TRUE(eventually([&] { return model("b").at("waiting") == 1; }));
  open_gate("go");
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(second.get().status, 200);
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Faults, ARequestForOneThatIsJustLeavingBringsItBackWhenItHasLeft) {
  set_capacity("120MiB");
  add("a", {.options = "--hold 62914560 --deaf", .keys = "ladder: stop\nunloadTimeout: 500ms"});
  add("b", {.options = "--hold 62914560", .keys = "ladder: stop"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  auto second = ask_later("b");
  ASSERT_TRUE(becomes("a", "leaving"));
  auto again = ask_later("a");
  EXPECT_EQ(again.get().status, 200) << "and not by the server that was told to end";
  EXPECT_EQ(second.get().status, 200);
  EXPECT_EQ(times("a start"), 2);
}

TEST_F(Faults, AServerThatIgnoresTheSignalIsKilled) {
  add("a", {.options = "--deaf", .keys = "unloadTimeout: 200ms"});
  start();
  const int id = ask("a").body.at("pid");
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  EXPECT_EQ(state_of("a"), "stopped");
  EXPECT_FALSE(is_alive(id));
}

TEST_F(Faults, AClientThatLeavesDuringALoadLeavesNothingBehind) {
  add("a", {.options = "--ready-when " + gate("go")});
  start();
  {
    raw_connection client(port_);
    const std::string body = body_for("a");
    client.send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
    ASSERT_TRUE(eventually([&] { return model("a").at("waiting") == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return model("a").at("waiting") == 0; }));
  open_gate("go");
  EXPECT_TRUE(becomes("a", "ready")) << "what was begun is there for the next one";
  EXPECT_EQ(times("a POST"), 0) << "nobody's request was sent";
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Faults, NobodyLeavesForAClientThatHasLeft) {
  two_of_which_one_fits();
  start();
  auto working = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  {
    raw_connection client(port_);
    const std::string body = body_for("b");
    client.send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
    ASSERT_TRUE(eventually([&] { return model("b").at("waiting") == 1; }));
  }
  ASSERT_TRUE(eventually([&] { return model("b").at("waiting") == 0; }));
  open_gate("go");
  EXPECT_EQ(working.get().status, 200);
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(times("b start"), 0);
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Faults, ARouterThatWasKilledIsFollowedByOneThatEndsWhatItLeft) {
  add("a");
  start();
  const int id = ask("a").body.at("pid");
  router_->send_signal(SIGKILL);
  router_->wait();
  wait_for_end();
  ASSERT_TRUE(is_alive(id)) << "the test is about a child that was left";
  log_.clear();
  start();
  EXPECT_FALSE(is_alive(id));
  EXPECT_EQ(ask("a").status, 200) << "its port is free";
}

TEST_F(Faults, OneThatIsToldToEndLetsRequestsComeToTheirEndAndLeavesNoChild) {
  add("a");
  start();
  auto working = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  const int id = model("a").at("pid");
  router_->send_signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return ask("a").status == 503; }));
  open_gate("go");
  EXPECT_EQ(working.get().status, 200);
  const auto ended = router_->wait(lull::steady_clock().deadline_in(30s));
  ASSERT_TRUE(ended);
  EXPECT_TRUE(ended->success()) << to_string(*ended);
  EXPECT_FALSE(is_alive(id));
  wait_for_end();
}

TEST_F(Faults, AWakeThatFindsNoMemoryLeavesItAsleepAndSaysWhenToComeAgain) {
  add("a", {.options = "--wake-status 503", .keys = "ladder: [offload, stop]"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  const auto refused = ask("a");
  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(refused.headers.count("Retry-After"));
  EXPECT_EQ(state_of("a"), "asleep");
}

TEST_F(Faults, AWakeThatFailsStopsTheServerAndTheNextRequestStartsIt) {
  add("a", {.options = "--wake-status 500", .keys = "ladder: [offload, stop]"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  EXPECT_EQ(ask("a").status, 502);
  EXPECT_TRUE(eventually([&] { return ask("a").status == 200; }));
  EXPECT_EQ(times("a start"), 2);
}

}  // namespace
