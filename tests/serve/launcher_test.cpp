// Instances that are made, watched and taken away as llm-d's controller does it.

#include <csignal>

#include "gguf/writer.hpp"
#include "serve/launcher_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::launcher_test;
using nlohmann::json;
using testing::HasSubstr;

class Launcher : public launcher_test {
 protected:
  const int port_a_ = free_port();
  const int port_b_ = free_port();
};

TEST_F(Launcher, AnInstanceIsMadeServesSleepsWakesAndGoes) {
  launch();
  EXPECT_EQ(get(all).body.at("revision"), 0);
  const json asked = body(at(port_a_, "a"), {{"env_vars", {{"GREETING", "hello"}}},
                                             {"annotations", {{"isc-name", "some"}}}});
  const auto made = put("a", asked);
  ASSERT_EQ(made.status, 201) << made.raw;
  EXPECT_EQ(made.body.at("status"), "running");
  EXPECT_EQ(made.body.at("instance_id"), "a");
  EXPECT_EQ(made.body.at("revision"), 1);
  EXPECT_EQ(made.body.at("options"), asked.at("options"));
  EXPECT_EQ(made.body.at("env_vars"), asked.at("env_vars"));
  EXPECT_EQ(made.body.at("annotations"), asked.at("annotations"));
  ASSERT_TRUE(wakes(port_a_));
  const auto answer =
      at_door(port_a_, "POST", "/v1/completions", R"({"model": "x", "variables": ["GREETING"]})");
  ASSERT_EQ(answer.status, 200) << answer.raw;
  EXPECT_EQ(answer.body.at("variables").at("GREETING"), "hello");
  EXPECT_EQ(at_door(port_a_, "POST", "/sleep").status, 200);
  EXPECT_EQ(times("a POST /sleep?level=1"), 1);
  EXPECT_EQ(at_door(port_a_, "GET", "/is_sleeping").body.at("is_sleeping"), true);
  EXPECT_EQ(get(one("a")).body.at("status"), "running");
  EXPECT_EQ(get(one("a")).body.at("state"), "asleep");
  EXPECT_EQ(at_door(port_a_, "POST", "/wake_up").status, 200);
  EXPECT_TRUE(is_awake(port_a_));
  EXPECT_EQ(at_door(port_a_, "GET", "/health").status, 200);
  const int id = model("a").at("pid");
  const auto gone = remove(one("a"));
  EXPECT_EQ(gone.status, 200) << gone.raw;
  EXPECT_EQ(gone.body.at("status"), "stopped");
  EXPECT_EQ(gone.body.at("instance_id"), "a");
  EXPECT_FALSE(is_alive(id));
  EXPECT_EQ(get(one("a")).status, 404);
  EXPECT_EQ(remove(one("a")).status, 404);
  EXPECT_EQ(at_door(port_a_, "GET", "/health").status, 0) << "nobody listens any more";
  EXPECT_EQ(put("a", asked).status, 201) << "the same again";
}

TEST_F(Launcher, WithoutANameOneIsGiven) {
  launch();
  const auto made = post(all, body(at(port_a_, "a")).dump());
  ASSERT_EQ(made.status, 201) << made.raw;
  const std::string id = made.body.at("instance_id");
  EXPECT_EQ(id.size(), 36U);
  EXPECT_EQ(get(one(id)).body.at("instance_id"), id);
  const json ids = get(std::string(all) + "?detail=False").body;
  EXPECT_EQ(ids.at("instance_ids"), json::array({id}));
  EXPECT_EQ(ids.at("count"), 1);
  const json list = get(all).body;
  EXPECT_EQ(list.at("total_instances"), 1);
  EXPECT_EQ(list.at("running_instances"), 1);
  EXPECT_EQ(list.at("revision"), 1);
  EXPECT_EQ(get(std::string(all) + "?detail=maybe").status, 422);
}

TEST_F(Launcher, AllGoAtOnce) {
  launch();
  ASSERT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  ASSERT_EQ(put("b", body(at(port_b_, "b"))).status, 201);
  ASSERT_TRUE(wakes(port_b_));
  const auto gone = remove(all);
  EXPECT_EQ(gone.status, 200);
  EXPECT_EQ(gone.body.at("status"), "all_stopped");
  EXPECT_EQ(gone.body.at("total_stopped"), 2);
  EXPECT_EQ(gone.body.at("stopped_instances").size(), 2U);
  EXPECT_EQ(count(), 0U);
  EXPECT_EQ(remove(all).body.at("total_stopped"), 0);
}

TEST_F(Launcher, WhatIsWrongIsSaidAndChangesNothing) {
  add("known", {.keys = "aliases: [nick]"});
  launch();
  const json good = body(at(port_a_, "a"));
  ASSERT_EQ(put("a", good).status, 201);
  const auto refused = [&](int status, const std::string& id, const std::string& text,
                           const std::string& words) {
    httplib::Client client = connect();
    const auto got = of(client.Put(one(id), text, "application/json"));
    EXPECT_EQ(got.status, status) << id << ' ' << text << ' ' << got.raw;
    EXPECT_THAT(got.body.value("detail", ""), HasSubstr(words)) << text;
    EXPECT_EQ(got.body.at("error").at("code"), status) << "as other routes of the router";
  };
  const std::string other = body(at(port_b_, "b")).dump();
  refused(409, "a", other, "there is 'a' already");
  refused(409, "known", other, "there is a model 'known' already");
  refused(409, "nick", other, "there is a model 'nick' already");
  refused(409, "b", body(at(port_a_, "b")).dump(), "is that of instance 'a'");
  refused(409, "b", body(at(ports_["known"], "b")).dump(), "is that of the server of 'known'");
  refused(409, "b", body(at(port_, "b")).dump(), "cannot listen");
  refused(405, "watch", other, "PUT cannot be done here");
  refused(422, "a%20b", other, "an instance's id");
  refused(404, "a%2Fb", other, "there is no /v2/vllm/instances/a/b");
  refused(422, "b", "{", "no JSON");
  refused(422, "b", R"({"options": 1})", "'options' is to be a string");
  refused(422, "b", R"({"options": "--a 'b"})", "cannot be split");
  refused(422, "b", R"({"options": "--port x"})", "no port");
  refused(422, "b", body(at(port_b_, "b"), {{"gpu_uuids", {"GPU-none"}}}).dump(),
          "there is no GPU 'GPU-none'");
  refused(413, "b", json{{"options", std::string(70000, 'x')}}.dump(), "above 64 KiB");
  EXPECT_EQ(get(all).body.at("revision"), 1) << "no event";
  EXPECT_EQ(count(), 1U);
  EXPECT_EQ(get("/v1/models").body.at("data").size(), 2U);
  EXPECT_EQ(post(one("a"), "{}").status, 405);
  EXPECT_EQ(remove(one("watch")).status, 405);
  EXPECT_EQ(get(one("a") + "/nothing").status, 404);
  EXPECT_EQ(put("b", json::parse(other)).status, 201) << "the port is free all the while";
}

TEST_F(Launcher, OneThatCanNeverFitIsRefused) {
  set_capacity("100MiB");
  launch("memory: 200MiB");
  const auto refused = put("a", body(at(port_a_, "a")));
  EXPECT_EQ(refused.status, 507) << refused.raw;
  EXPECT_EQ(count(), 0U);
  EXPECT_EQ(at_door(port_a_, "GET", "/health").status, 0);
}

TEST_F(Launcher, OneThatLoadsIsNeitherAwakeNorAsleep) {
  launch();
  ASSERT_EQ(put("a", body(at(port_a_, "a", "--ready-when " + gate("go")))).status, 201);
  ASSERT_TRUE(noted("a start"));
  EXPECT_EQ(at_door(port_a_, "GET", "/is_sleeping").status, 503);
  EXPECT_EQ(at_door(port_a_, "GET", "/health").status, 503);
  EXPECT_EQ(at_door(port_a_, "POST", "/sleep").status, 409);
  EXPECT_EQ(get(one("a")).body.at("status"), "running");
  open_gate("go");
  EXPECT_TRUE(wakes(port_a_));
}

TEST_F(Launcher, OneThatIsLoadingIsDeletedAtOnce) {
  launch();
  ASSERT_EQ(put("a", body(at(port_a_, "a", "--never-ready"))).status, 201);
  ASSERT_TRUE(noted("a start"));
  const int id = model("a").at("pid");
  const watcher events(port_);
  EXPECT_EQ(remove(one("a")).status, 200);
  EXPECT_FALSE(is_alive(id));
  EXPECT_TRUE(events.hears("DELETED", "a"));
  EXPECT_THAT(events.text(), testing::Not(HasSubstr("STOPPED"))) << "it was told to";
  // And before there is a process at all, or just when there is one.
  for (int round = 0; round < 5; ++round) {
    ASSERT_EQ(put("b", body(at(port_b_, "b", "--never-ready"))).status, 201);
    EXPECT_EQ(remove(one("b")).status, 200);
  }
  EXPECT_EQ(count(), 0U);
}

TEST_F(Launcher, OneThatWaitsForMemoryIsDeletedToo) {
  set_capacity("100MiB");
  add("busy", {.options = "--hold 62914560", .memory = "60MiB"});
  launch("memory: 60MiB");
  auto working = ask_later("busy", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("busy POST"));
  ASSERT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  EXPECT_EQ(get(one("a")).body.at("state"), "waiting");
  EXPECT_EQ(at_door(port_a_, "GET", "/is_sleeping").status, 503);
  EXPECT_EQ(remove(one("a")).status, 200);
  EXPECT_EQ(count(), 0U);
  open_gate("go");
  EXPECT_EQ(working.get().status, 200);
  EXPECT_EQ(times("a start"), 0);
}

TEST_F(Launcher, OneThatEndsByItselfIsToldAndItsLogIsKept) {
  launch();
  const watcher events(port_);
  ASSERT_EQ(put("a", body(at(port_a_, "a", "--last-words 'no more'"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  EXPECT_EQ(at_door(port_a_, "POST", "/v1/completions", R"({"die": true})").status, 502);
  const auto stopped = events.hears("STOPPED", "a");
  ASSERT_TRUE(stopped) << events.text();
  EXPECT_EQ(stopped->at("status"), "stopped");
  EXPECT_EQ(stopped->at("exit_code"), 3);
  EXPECT_EQ(stopped->at("revision"), 2);
  const json seen = get(one("a")).body;
  EXPECT_EQ(seen.at("status"), "stopped");
  EXPECT_THAT(seen.at("reason").get<std::string>(), HasSubstr("no more"));
  EXPECT_EQ(get(all).body.at("running_instances"), 0);
  const auto log = get(one("a") + "/log");
  EXPECT_EQ(log.status, 200);
  EXPECT_THAT(log.raw, HasSubstr("no more"));
  EXPECT_EQ(at_door(port_a_, "GET", "/health").status, 0) << "nobody starts it again";
  EXPECT_EQ(ask("a").status, 404);
  EXPECT_EQ(times("a start"), 1);
  EXPECT_EQ(put("a", body(at(port_a_, "a"))).status, 409) << "until it is deleted";
  EXPECT_EQ(remove(one("a")).body.at("revision"), 3);
  EXPECT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  EXPECT_TRUE(wakes(port_a_));
}

TEST_F(Launcher, OneThatDoesNotComeUpOrIsKilledIsTold) {
  launch();
  const watcher events(port_);
  ASSERT_EQ(put("a", body(at(port_a_, "a", "--no-such-option"))).status, 201);
  const auto failed = events.hears("STOPPED", "a");
  ASSERT_TRUE(failed) << events.text();
  EXPECT_EQ(failed->at("exit_code"), 2);
  EXPECT_THAT(get(one("a") + "/log").raw, HasSubstr("--no-such-option"));
  ASSERT_EQ(put("b", body(at(port_b_, "b"))).status, 201);
  ASSERT_TRUE(wakes(port_b_));
  ::kill(model("b").at("pid").get<int>(), SIGKILL);
  const auto killed = events.hears("STOPPED", "b");
  ASSERT_TRUE(killed) << events.text();
  EXPECT_EQ(killed->at("exit_code"), -SIGKILL);
  EXPECT_EQ(remove(all).body.at("total_stopped"), 2);
}

TEST_F(Launcher, ALogIsGivenInRanges) {
  launch();
  ASSERT_EQ(put("a", body(at(port_a_, "a", "--chatty 3000"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  const auto range = [&](const std::string& wanted) {
    httplib::Client client = connect();
    return of(client.Get(one("a") + "/log", httplib::Headers{{"Range", wanted}}));
  };
  ASSERT_TRUE(eventually([&] { return get(one("a") + "/log").raw.size() >= 3100; }));
  const std::string whole = get(one("a") + "/log").raw;
  const auto part = range("bytes=100-199");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.raw, whole.substr(100, 100));
  EXPECT_EQ(part.headers.find("Content-Range")->second,
            fmt::format("bytes 100-199/{}", whole.size()));
  EXPECT_EQ(range("bytes=3000-").raw, whole.substr(3000));
  const auto beyond = range(fmt::format("bytes={}-", whole.size()));
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.headers.find("Content-Range")->second, fmt::format("bytes */{}", whole.size()));
  EXPECT_EQ(range("bytes=-5").status, 400);
  EXPECT_EQ(get(one("x") + "/log").status, 404);
}

TEST_F(Launcher, RevisionsGrowByOneWhoeverAsksAtOnce) {
  launch();
  const watcher events(port_, "?since=0");
  std::vector<std::thread> clients;
  std::vector<std::string> ports;
  for (int i = 0; i < 6; ++i) ports.push_back(std::to_string(free_port()));
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&, i] {
      const std::string id = fmt::format("i{}", i);
      const std::string& port = ports[static_cast<std::size_t>(i)];
      EXPECT_EQ(put(id, body("--never-ready --port " + port)).status, 201);
      EXPECT_EQ(remove(one(id)).status, 200);
    });
  }
  for (std::thread& each : clients) each.join();
  ASSERT_TRUE(eventually([&] { return events.events().size() >= 12; })) << events.text();
  std::uint64_t last = 0;
  for (const json& each : events.events()) {
    EXPECT_EQ(each.at("object").at("revision"), ++last);
  }
  EXPECT_EQ(get(all).body.at("revision"), last);
}

TEST_F(Launcher, AWatchBeginsWhereItIsToldTo) {
  launch();
  EXPECT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  EXPECT_EQ(remove(one("a")).status, 200);
  EXPECT_EQ(put("b", body(at(port_b_, "b"))).status, 201);
  const watcher now(port_);
  EXPECT_TRUE(now.hears("CREATED", "b"));
  EXPECT_EQ(now.events().size(), 1U) << now.text();
  EXPECT_EQ(now.type(), "application/x-ndjson");
  const watcher later(port_, "?since=1");
  EXPECT_TRUE(later.hears("CREATED", "b"));
  EXPECT_EQ(later.events().front().at("type"), "DELETED");
  EXPECT_EQ(later.events().size(), 2U);
  const watcher next(port_, "?since=3");
  EXPECT_EQ(remove(one("b")).status, 200);
  EXPECT_TRUE(next.hears("DELETED", "b"));
  EXPECT_EQ(next.events().size(), 1U);
  EXPECT_EQ(get(std::string(all) + "/watch?since=99").status, 410) << "of another launcher";
  EXPECT_EQ(get(std::string(all) + "/watch?since=-1").status, 410);
  EXPECT_EQ(get(std::string(all) + "/watch?since=x").status, 422);
}

TEST_F(Launcher, AWatchFromNowOnBeginsWithThoseThereAreTheOldestFirst) {
  launch();
  EXPECT_EQ(put("z", body(at(port_a_, "z"))).status, 201);
  EXPECT_EQ(put("a", body(at(port_b_, "a"))).status, 201);
  const watcher now(port_);
  ASSERT_TRUE(eventually([&] { return now.events().size() >= 2; })) << now.text();
  EXPECT_EQ(now.events()[0].at("object").at("instance_id"), "z");
  EXPECT_EQ(now.events()[1].at("object").at("instance_id"), "a");
}

TEST_F(Launcher, WhoDoesNotReadLosesTheWatchAndStallsNobody) {
  set("launcher: {cmd: 'sh -c ''exec sleep 1000'' ${PORT} ${options}', memory: 1MiB}");
  start();
  const raw_connection deaf(port_);
  deaf.send("GET /v2/vllm/instances/watch HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const watcher reads(port_);
  // Megabytes of events, more than sockets hold; but never as much at once as may be waiting.
  const json large{{"annotations", {{"x", std::string(60000, 'x')}}}};
  std::size_t made = 0;
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 10; ++i) {
      ASSERT_EQ(put(fmt::format("i{}", i), body(at(free_port(), "i"), large)).status, 201);
      ++made;
    }
    ASSERT_EQ(remove(all).body.at("total_stopped"), 10);
    ASSERT_TRUE(eventually([&] { return reads.lines() == 2 * made; })) << round;
  }
  EXPECT_LT(deaf.receive_all().size(), made * 2 * 60000) << "it was let go";
}

TEST_F(Launcher, AClientThatGoesInTheMiddleOfARequestLeavesNothing) {
  launch();
  {
    const raw_connection half(port_);
    half.send(
        "POST /v2/vllm/instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n"
        "{\"options\": \"--port ");
  }
  {
    const raw_connection whole(port_);
    const std::string text = body(at(port_a_, "a")).dump();
    whole.send(fmt::format("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                           one("a"), text.size(), text));
  }
  EXPECT_TRUE(eventually([&] { return get(one("a")).status == 200; })) << "it was all there";
  EXPECT_EQ(count(), 1U);
  EXPECT_TRUE(wakes(port_a_));
}

TEST_F(Launcher, InstancesAndModelsMakeRoomForEachOther) {
  set_capacity("120MiB");
  add("known",
      {.options = "--hold 62914560", .keys = "ladder: [offload, stop]", .memory = "80MiB"});
  launch("ladder: [offload, stop], memory: 80MiB");
  ASSERT_EQ(put("a", body(at(port_a_, "a", "--hold 62914560"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  ASSERT_EQ(ask("known").status, 200);
  EXPECT_EQ(get(one("a")).body.at("state"), "asleep");
  EXPECT_EQ(get(one("a")).body.at("status"), "running");
  EXPECT_EQ(at_door(port_a_, "GET", "/is_sleeping").body.at("is_sleeping"), true);
  EXPECT_EQ(at_door(port_a_, "POST", "/wake_up").status, 200);
  EXPECT_EQ(state_of("known"), "asleep");
  ASSERT_EQ(ask("known").status, 200);
  const auto answer = at_door(port_a_, "POST", "/v1/completions", R"({"model": "x"})");
  EXPECT_EQ(answer.status, 200) << "whoever comes wakes it: " << answer.raw;
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Launcher, OneThatWasStoppedToMakeRoomIsStartedByARequest) {
  launch("ladder: stop");
  ASSERT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  ASSERT_EQ(post("/models/unload", R"({"model": "a"})").status, 200);
  EXPECT_EQ(get(one("a")).body.at("status"), "running");
  EXPECT_EQ(get(one("a")).body.at("state"), "unloaded");
  EXPECT_EQ(at_door(port_a_, "GET", "/is_sleeping").body.at("is_sleeping"), true);
  EXPECT_EQ(at_door(port_a_, "POST", "/v1/completions", R"({"model": "x"})").status, 200);
  EXPECT_EQ(times("a start"), 2);
  EXPECT_EQ(get(all).body.at("revision"), 1);
}

TEST_F(Launcher, InstancesStayWhenTheConfigurationIsReadAgain) {
  launch();
  ASSERT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  add("new");
  write_config();
  router_->send_signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return get("/v1/models").body.at("data").size() == 2; }));
  EXPECT_EQ(at_door(port_a_, "POST", "/v1/completions", R"({"model": "x"})").status, 200);
  EXPECT_EQ(times("a start"), 1);
  EXPECT_EQ(remove(one("a")).status, 200);
}

TEST_F(Launcher, AKilledRouterLeavesInstancesThatTheNextOneEnds) {
  launch();
  ASSERT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  const int id = model("a").at("pid");
  router_->send_signal(SIGKILL);
  router_->wait();
  wait_for_end();
  EXPECT_TRUE(is_alive(id));
  start();
  EXPECT_FALSE(is_alive(id));
  EXPECT_EQ(count(), 0U) << "as a launcher that was started anew has none";
  EXPECT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
}

TEST_F(Launcher, TheTokenIsNeededForAllButTheMemory) {
  set("token: secret");
  launch();
  EXPECT_EQ(get(all).status, 401);
  EXPECT_EQ(get(std::string(all) + "/watch").status, 401);
  EXPECT_EQ(put("a", body(at(port_a_, "a"))).status, 401);
  EXPECT_EQ(remove(all).status, 401);
  EXPECT_EQ(get("/v1/dual-pods/accelerator-memory-usage").body, json::object()) << "no GPUs";
  httplib::Client client = connect();
  client.set_default_headers({{"Authorization", "Bearer secret"}});
  EXPECT_EQ(of(client.Put(one("a"), body(at(port_a_, "a")).dump(), "application/json")).status,
            201);
  ASSERT_TRUE(wakes(port_a_));
  EXPECT_EQ(at_door(port_a_, "POST", "/sleep").status, 401);
  EXPECT_EQ(at_door(port_a_, "POST", "/v1/completions", "{}").status, 200);
  client.set_default_headers({{"Authorization", "Bearer secret"}, {"Origin", "http://evil"}});
  EXPECT_EQ(of(client.Get(all)).status, 403);
}

TEST_F(Launcher, AnOpenOneNeedsNoneSinceTheControllerHasNone) {
  set("token: secret");
  launch("open: true, ladder: [offload, stop]");
  ASSERT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  EXPECT_EQ(at_door(port_a_, "POST", "/sleep").status, 200);
  EXPECT_EQ(post("/wake_up?model=a").status, 401) << "the router's own routes do";
  EXPECT_EQ(remove(one("a")).status, 200);
}

TEST_F(Launcher, APortOfAnInstanceLeadsNowhereElse) {
  set("token: secret");
  launch("open: true");
  ASSERT_EQ(put("a", body(at(port_a_, "a"))).status, 201);
  ASSERT_TRUE(wakes(port_a_));
  for (const char* const path : {"/../../unload", "/%2e%2e/%2e%2e/unload", "/../a%2f../../unload",
                                 "/../../v2/vllm/instances", "/../b/health"}) {
    const raw_connection client(port_a_);
    client.send(
        fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path));
    EXPECT_THAT(client.receive_all(), testing::StartsWith("HTTP/1.1 404")) << path;
  }
  EXPECT_EQ(state_of("a"), "ready");
}

TEST_F(Launcher, TheExampleServerIsAnInstanceToo) {
  const std::string file = (scratch_.path() / "a.gguf").string();
  gguf::write_model(file, {.total_bytes = std::uint64_t{16} << 20, .blocks = 2});
  set(fmt::format("launcher: {{cmd: '{} --port ${{PORT}} ${{options}}', memory: 64MiB}}",
                  LULL_EXAMPLE_SERVER));
  start();
  const auto made = put("a", body(fmt::format("--model {} --port {}", file, port_a_)));
  ASSERT_EQ(made.status, 201) << made.raw;
  ASSERT_TRUE(wakes(port_a_)) << get(one("a")).raw << get(one("a") + "/log").raw;
  EXPECT_EQ(at_door(port_a_, "POST", "/sleep").status, 200);
  EXPECT_EQ(at_door(port_a_, "GET", "/is_sleeping").body.at("is_sleeping"), true);
  EXPECT_EQ(at_door(port_a_, "POST", "/wake_up").status, 200);
  EXPECT_EQ(remove(one("a")).status, 200);
}

TEST_F(Launcher, AFlagIsEnoughForOne) {
  add("known");
  start({"--launcher"});
  EXPECT_EQ(get(all).body.at("total_instances"), 0);
  stop();
  start();
  EXPECT_EQ(get(all).status, 404);
}

}  // namespace
