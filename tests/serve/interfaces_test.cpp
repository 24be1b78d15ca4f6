// The routes that people have already.

#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class Interfaces : public router_test {
 protected:
  void one_that_sleeps() {
    add("a", {.keys = "ladder: [offload, stop]\naliases: [nick]"});
    start();
  }
  static json of_list(const json& list, const std::string& name) {
    for (const json& each : list) {
      if (each.value("id", each.value("model", "")) == name) return each;
    }
    return {};
  }
};

TEST_F(Interfaces, ModelsAreListedForOpenAiWithTheStatesOfLlamaCpp) {
  one_that_sleeps();
  const auto status = [&](const char* path) {
    return of_list(get(path).body.at("data"), "a").at("status").at("value");
  };
  EXPECT_EQ(get("/v1/models").body.at("object"), "list");
  EXPECT_EQ(status("/models"), "unloaded");
  ASSERT_EQ(ask("a").status, 200);
  EXPECT_EQ(status("/models"), "loaded");
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  EXPECT_EQ(status("/v1/models"), "sleeping");
  EXPECT_EQ(get("/v1/models/nick").body.at("id"), "a");
  EXPECT_EQ(get("/v1/models/x").status, 404);
}

TEST_F(Interfaces, LlamaCppsRoutesLoadAndUnload) {
  one_that_sleeps();
  EXPECT_EQ(post("/models/load", R"({"model":"nick"})").body.at("success"), true);
  EXPECT_TRUE(becomes("a", "ready"));
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").body.at("success"), true);
  EXPECT_EQ(state_of("a"), "stopped");
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200) << "it is, already";
  EXPECT_EQ(post("/models/load", R"({"model":"x"})").status, 404);
  EXPECT_EQ(post("/models/load", "[").status, 200) << "there is but one model";
}

TEST_F(Interfaces, LlamaSwapsRoutesTellAndUnload) {
  one_that_sleeps();
  EXPECT_TRUE(get("/running").body.at("running").empty());
  ASSERT_EQ(ask("a").status, 200);
  const json running = of_list(get("/running").body.at("running"), "a");
  EXPECT_EQ(running.at("state"), "ready");
  EXPECT_THAT(running.at("cmd").get<std::string>(), HasSubstr("upstream.py"));
  EXPECT_EQ(get("/unload").raw, "OK");
  EXPECT_EQ(state_of("a"), "stopped");
  ASSERT_EQ(ask("a").status, 200);
  EXPECT_EQ(post("/api/models/unload/nick").status, 200);
  EXPECT_EQ(state_of("a"), "stopped");
}

TEST_F(Interfaces, VllmsRoutesSleepAndWakeByQueryAndByBody) {
  one_that_sleeps();
  EXPECT_EQ(get("/upstream/a/is_sleeping").body.at("is_sleeping"), true);
  ASSERT_EQ(post("/upstream/a/wake_up").status, 200);
  EXPECT_EQ(state_of("a"), "ready");
  EXPECT_EQ(get("/upstream/a/is_sleeping").body.at("is_sleeping"), false);
  EXPECT_EQ(post("/upstream/a/wake_up").status, 200) << "it is awake";
  EXPECT_EQ(post("/upstream/a/sleep?level=1").status, 200);
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(post("/upstream/a/sleep?level=1").status, 200) << "it sleeps";
  EXPECT_EQ(times("a POST /sleep"), 1);
  ASSERT_EQ(post("/wake_up?model=a").status, 200);
  EXPECT_EQ(post("/sleep", R"({"model":"a","level":1})").status, 200);
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(post("/sleep", R"({"model":"a","level":7})").status, 400);
  EXPECT_EQ(get("/upstream/a/health").status, 200);
}

TEST_F(Interfaces, ASleepDuringALoadIsAConflict) {
  add("a", {.options = "--ready-when " + gate("go"), .keys = "ladder: [offload, stop]"});
  start();
  auto loading = ask_later("a");
  ASSERT_TRUE(becomes("a", "starting"));
  EXPECT_EQ(post("/sleep?model=a").status, 409);
  open_gate("go");
  EXPECT_EQ(loading.get().status, 200);
}

TEST_F(Interfaces, ASleepWaitsForWorkAndABusyModelIsAConflictInTheEnd) {
  add("a", {.keys = "ladder: [offload, stop]\nunloadTimeout: 200ms"});
  start();
  auto working = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  EXPECT_EQ(post("/sleep?model=a").status, 409);
  EXPECT_EQ(state_of("a"), "ready");
  open_gate("go");
  EXPECT_EQ(working.get().status, 200);
}

TEST_F(Interfaces, AnUnloadBreaksOffWhatDoesNotEnd) {
  add("a", {.keys = "unloadTimeout: 200ms"});
  start();
  auto working = ask_later("a", {{"gate", gate("never")}});
  ASSERT_TRUE(noted("a POST"));
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  EXPECT_EQ(working.get().status, 502);
  EXPECT_EQ(state_of("a"), "stopped");
}

TEST_F(Interfaces, AnUnloadEndsALoad) {
  add("a", {.options = "--never-ready"});
  start();
  auto loading = ask_later("a");
  ASSERT_TRUE(eventually([&] { return times("a start") == 1; }));
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  EXPECT_EQ(loading.get().status, 503);
}

TEST_F(Interfaces, ThePageIsThereAndItsStateIsStreamedAsItChanges) {
  one_that_sleeps();
  EXPECT_THAT(get("/ui/").raw, HasSubstr("<html"));
  EXPECT_EQ(get("/ui/nothing.js").status, 404);
  raw_connection page(port_);
  page.send("GET /ui/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::string got;
  const auto hears = [&](const std::string& words) {
    while (got.find(words) == std::string::npos) {
      const std::string more = page.receive_some();
      if (more.empty()) return false;
      got += more;
    }
    return true;
  };
  EXPECT_TRUE(hears(R"("state":"stopped")"));
  EXPECT_EQ(post("/ui/models/a/load").status, 200);
  EXPECT_TRUE(hears(R"("state":"ready")")) << got;
  EXPECT_EQ(post("/ui/models/a/sleep").status, 200);
  EXPECT_TRUE(hears(R"("state":"asleep")"));
  EXPECT_EQ(post("/ui/models/a/pin").status, 200);
  EXPECT_TRUE(hears(R"("pinned":true)"));
  EXPECT_EQ(post("/ui/models/a/stop").status, 200);
  EXPECT_EQ(state_of("a"), "stopped");
  EXPECT_EQ(post("/ui/models/a/dance").status, 404);
}

TEST_F(Interfaces, EventsAndLogsAreStreamedAsLlamaSwapDoes) {
  add("a", {.options = "--chatty 200"});
  start();
  raw_connection events(port_);
  events.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  raw_connection logs(port_);
  logs.send("GET /logs/stream/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_EQ(ask("a").status, 200);
  std::string got;
  while (got.find(R"(\"state\":\"ready\")") == std::string::npos) got += events.receive_some();
  EXPECT_THAT(got, HasSubstr("modelStatus"));
  std::string heard;
  while (heard.find("xxx") == std::string::npos) heard += logs.receive_some();
}

TEST_F(Interfaces, FiguresAreForPrometheus) {
  one_that_sleeps();
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(post("/sleep?model=a").status, 200);
  ASSERT_EQ(ask("a").status, 200);
  const std::string page = get("/metrics").raw;
  for (const char* const line :
       {"lull_model_state{model=\"a\",state=\"ready\"} 1",
        "vllm:engine_sleep_state{engine=\"0\",model_name=\"a\",sleep_state=\"awake\"} 1",
        "lull_time_to_first_byte_seconds_count{model=\"a\",path=\"cold\"} 1",
        "lull_time_to_first_byte_seconds_count{model=\"a\",path=\"hot\"} 1",
        "lull_time_to_first_byte_seconds_count{model=\"a\",path=\"offload\"} 1",
        "lull_requests_total{model=\"a\",code=\"200\"} 3",
        "lull_device_capacity_bytes{device=\"HOST\",UUID=\"\"} 1073741824"}) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

TEST_F(Interfaces, TheConfigurationIsReadAgainOnSighup) {
  add("a", {.keys = "ladder: [offload, stop]"});
  start();
  ASSERT_EQ(ask("a").status, 200);
  const int id = model("a").at("pid");
  add("b");
  write_config();
  router_->send_signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return ask("b").status == 200; }));
  EXPECT_EQ(model("a").at("pid"), id) << "what did not change goes on";
  // What the books know of it changes too.
  const std::string before = models_;
  models_.replace(models_.find("[offload, stop]"), 15, "[stop]");
  write_config();
  const std::size_t said = log().size();
  router_->send_signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return log().find("read again", said) != std::string::npos; }));
  EXPECT_EQ(post("/sleep?model=a").status, 400) << "it has no such level any more";
  models_ = before;
  std::ofstream(config_) << "models: [";
  router_->send_signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return log().find("serve.yaml:1") != std::string::npos; })) << log();
  EXPECT_EQ(ask("b").status, 200) << "what was there is left as it was";
  models_ = models_.substr(models_.find("  b:"));
  write_config();
  router_->send_signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return ask("a").status == 404; }));
  EXPECT_TRUE(eventually([&] { return !is_alive(id); }));
}

}  // namespace
