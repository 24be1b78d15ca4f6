// Several models in one server, on a device that does not hold all of them.

#include <atomic>
#include <future>
#include <map>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server_fixture.hpp"
#include "support/eventually.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using lull::test::eventually;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t model_bytes = std::uint64_t{2} << 20;
constexpr std::uint64_t device_bytes = std::uint64_t{8} << 20;

/// Models of 2 MiB and a cache of 1 MiB, and what is rounded up, on a device of 8 MiB: two fit.
class Models : public server_test {
 protected:
  Models() : server_test("8MiB") {
    for (const char* const name : {"a", "b", "c"}) {
      options_.files.push_back({name, file_of(name)});
      gguf::write_model(file_of(name), {.total_bytes = model_bytes, .seed = seed_++, .blocks = 1});
    }
    options_.memory_margin = 0;
  }
  ~Models() override {
    stop();
    for (const example::model_file& each : options_.files) fs::remove(each.path);
  }
  fs::path file_of(const std::string& name) const {
    return model_.parent_path() / fmt::format("lull-models-{}-{}.gguf", ::getpid(), name);
  }

  json request_for(const std::string& model, int words = 8) const {
    return {{"model", model}, {"prompt", "same"}, {"n_predict", words}};
  }
  std::string ask(const std::string& model) {
    const auto result = post(client(), "/completion", request_for(model));
    if (!result || result->status != 200) {
      ADD_FAILURE() << model << ": " << (result ? result->body : "no answer");
      return {};
    }
    return json::parse(result->body).at("content");
  }
  /// A completion that goes on until the result is destroyed.
  raw_connection begin_long(const std::string& model) {
    raw_connection connection = connect_raw();
    const std::string body = request_for(model, 4096).dump();
    connection.send(
        fmt::format("POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
    EXPECT_TRUE(eventually([&] { return leases(model) == 1; }));
    return connection;
  }
  std::uint32_t leases(const std::string& model) {
    return server_->model(model).sleeper().observe().leases;
  }
  json facts(const std::string& model) {
    const json all = get("/models");
    for (const json& each : all.at("data")) {
      if (each.at("id") == model) return each;
    }
    return {};
  }
  std::vector<std::string> put_to_sleep() {
    const json all = get("/models");
    std::vector<std::string> names;
    for (const json& each : all.at("put_to_sleep")) names.push_back(each.at("model"));
    return names;
  }
  std::uint64_t used() const { return *registry_.find("HOST").memory().used_by_process_bytes; }

  std::uint64_t seed_ = 1;
  example::server_options options_;
};

TEST_F(Models, ThreeShareADeviceThatHoldsTwo) {
  start(options_);
  std::map<std::string, std::string> first;
  for (const char* const name : {"a", "b", "c"}) first[name] = ask(name);
  EXPECT_NE(first["a"], first["b"]);
  EXPECT_NE(first["b"], first["c"]);
  ASSERT_EQ(put_to_sleep().size(), 1U);
  const std::string gone = put_to_sleep().front();
  EXPECT_NE(gone, "c");
  EXPECT_EQ(facts(gone).at("status"), "sleeping");
  const std::string stayed = gone == "a" ? "b" : "a";
  EXPECT_EQ(ask(stayed), first[stayed]);
  EXPECT_EQ(put_to_sleep().size(), 1U) << "it was there";
  EXPECT_EQ(ask(gone), first[gone]);
  EXPECT_EQ(put_to_sleep().size(), 2U);

  const json why = get("/models").at("put_to_sleep").at(0);
  EXPECT_EQ(why.at("level"), "discard");
  EXPECT_GT(why.at("freed_bytes"), model_bytes);
  EXPECT_THAT(why.at("why"), HasSubstr("model 'c' comes in: HOST lacks "));
  EXPECT_THAT(client().Get("/metrics")->body, HasSubstr("\nlull_budget_evictions_total 2\n"));
}

TEST_F(Models, WhatIsOffloadedForAnotherComesBackWithoutItsFile) {
  options_.sleep_level = lull::sleep_level::offload;
  options_.most_loaded = 1;
  start(options_);
  const std::string first = ask("a");
  ask("b");
  EXPECT_EQ(get("/models").at("put_to_sleep").at(0).at("level"), "offload");
  fs::remove(file_of("a"));
  EXPECT_EQ(ask("a"), first);
}

TEST_F(Models, ARequestGoesToTheModelThatItNames) {
  start(options_);
  const auto unnamed = post(client(), "/completion", {{"prompt", "same"}, {"n_predict", 8}});
  ASSERT_EQ(unnamed->status, 200);
  EXPECT_EQ(json::parse(unnamed->body).at("content"), ask("a")) << "the first";
  const auto unknown = post(client(), "/completion", request_for("d"));
  EXPECT_EQ(unknown->status, 404);
  EXPECT_THAT(unknown->body, HasSubstr("there is no model 'd'; there is a, b, c"));
  EXPECT_EQ(status_of("/completion", R"({"prompt": "x", "model": 7})"), 400);
  EXPECT_EQ(status_of("/sleep", R"({"model": "d"})"), 404);
  for (const char* const path : {"/props?model=d", "/is_sleeping?model=d"}) {
    EXPECT_EQ(client().Get(path)->status, 404) << path;
  }
}

TEST_F(Models, ObserversTellWhatIsThereAndLoadNothing) {
  start(options_);
  EXPECT_EQ(facts("a").at("status"), "loaded") << "the first is loaded at once";
  EXPECT_TRUE(facts("a").at("measured"));
  EXPECT_GT(facts("a").at("holds_bytes"), model_bytes);
  EXPECT_LE(facts("a").at("holds_bytes"), used());
  EXPECT_EQ(facts("a").at("holds_bytes"), facts("a").at("estimated_bytes"));
  for (const char* const path :
       {"/health", "/props?model=b", "/models", "/v1/models", "/metrics", "/is_sleeping?model=b"}) {
    EXPECT_EQ(client().Get(path)->status, 200) << path;
  }
  const json other = facts("b");
  EXPECT_EQ(other.at("status"), "unloaded");
  EXPECT_EQ(other.at("holds_bytes"), 0);
  EXPECT_FALSE(other.at("measured"));
  EXPECT_EQ(other.at("estimated_bytes"),
            other.at("meta").at("size").get<std::uint64_t>() + (1 << 20));
  EXPECT_EQ(get("/props?model=b").at("model"), "b");
  EXPECT_THAT(client().Get("/metrics")->body, HasSubstr("lull_wakes_total{model=\"b\"} 0\n"));
  const json device = get("/models").at("device");
  EXPECT_EQ(device.at("capacity_bytes"), device_bytes);
  EXPECT_EQ(device.at("models_hold_bytes"), facts("a").at("holds_bytes"));
}

TEST_F(Models, AreSleptAndWokenOneByOneOrAll) {
  start(options_);
  ask("b");
  const auto sleeps = [this](const std::string& query) {
    return get("/is_sleeping" + query).at("is_sleeping").get<bool>();
  };
  const auto posts = [this](const char* path) { return client().Post(path)->status; };
  EXPECT_EQ(posts("/sleep?model=b"), 200);
  EXPECT_TRUE(sleeps("?model=b"));
  EXPECT_FALSE(sleeps("?model=a"));
  EXPECT_FALSE(sleeps("")) << "one of them is awake";
  EXPECT_EQ(posts("/sleep"), 200);
  EXPECT_TRUE(sleeps(""));
  EXPECT_EQ(used(), 0U);
  EXPECT_EQ(status_of("/wake_up", R"({"model": "b"})"), 200);
  EXPECT_FALSE(sleeps("?model=b"));
  EXPECT_TRUE(sleeps("?model=a"));
  EXPECT_EQ(posts("/wake_up"), 200) << "all, of which two stay";
  EXPECT_LE(used(), device_bytes);
  EXPECT_EQ(put_to_sleep().size(), 1U);
}

TEST_F(Models, ABusyOneIsLeftAlone) {
  options_.word_delay = 10ms;
  start(options_);
  ask("b");
  const raw_connection computing = begin_long("a");
  ask("c");
  EXPECT_THAT(put_to_sleep(), ElementsAre("b")) << "though a is older";
  EXPECT_EQ(leases("a"), 1U);
}

TEST_F(Models, WhoWaitsForRoomIsToldWhyThereIsNone) {
  options_.word_delay = 10ms;
  options_.request_timeout = 100ms;
  start(options_);
  const raw_connection one = begin_long("a");
  ask("b");
  const raw_connection other = begin_long("b");
  const auto late = post(client(), "/completion", request_for("c"));
  EXPECT_EQ(late->status, 504);
  EXPECT_THAT(late->body, HasSubstr("no room for model 'c' in time: HOST lacks"));
}

TEST_F(Models, AClientThatLeavesWhileItWaitsForRoomIsGivenUp) {
  options_.word_delay = 10ms;
  start(options_);
  const raw_connection one = begin_long("a");
  ask("b");
  const raw_connection other = begin_long("b");
  {
    const raw_connection leaving = connect_raw();
    leaving.send("POST /wake?model=c HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ASSERT_TRUE(eventually([this] { return facts("c").at("waiting") == 1; }));
  }
  EXPECT_TRUE(eventually([this] { return facts("c").at("waiting") == 0; }));
  EXPECT_EQ(facts("c").at("status"), "unloaded");
}

TEST_F(Models, OneThatCanNeverFitIsRefusedAndNobodyLeavesForIt) {
  options_.files.push_back({"d", file_of("d")});
  gguf::write_model(file_of("d"), {.total_bytes = 5 * model_bytes, .blocks = 1});
  start(options_);
  ask("b");
  const auto refused = post(client(), "/completion", request_for("d"));
  EXPECT_EQ(refused->status, 503);
  EXPECT_THAT(refused->body, HasSubstr("model 'd' can never fit: HOST lacks"));
  EXPECT_THAT(put_to_sleep(), ElementsAre());
}

TEST_F(Models, AreBoundedByTheirNumberToo) {
  options_.most_loaded = 1;
  start(options_);
  const std::string first = ask("a");
  ask("b");
  EXPECT_THAT(put_to_sleep(), ElementsAre("a"));
  EXPECT_EQ(ask("a"), first);
}

TEST_F(Models, AModelThatSleepsByItselfKeepsItsPlaceUntilItIsNeeded) {
  options_.sleep_idle = 1ms;
  start(options_);
  const std::string first = ask("a");
  ask("b");
  ASSERT_TRUE(eventually([this] { return used() == 0; }));
  EXPECT_EQ(facts("a").at("status"), "sleeping");
  EXPECT_EQ(facts("a").at("holds_bytes"), 0);
  ask("c");
  EXPECT_EQ(ask("a"), first);
}

TEST_F(Models, OneWhoseFileIsGoneFailsAloneAndIsTriedAgain) {
  start(options_);
  fs::rename(file_of("b"), file_of("away"));
  const auto failed = post(client(), "/completion", request_for("b"));
  EXPECT_EQ(failed->status, 503);
  EXPECT_THAT(failed->body, HasSubstr("No such file"));
  EXPECT_FALSE(ask("a").empty());
  fs::rename(file_of("away"), file_of("b"));
  EXPECT_FALSE(ask("b").empty());
}

TEST_F(Models, AnswersAreRightWhileTheyTakeTurns) {
  start(options_);
  const std::vector<std::string> names{"a", "b", "c"};
  std::map<std::string, std::string> expected;
  for (const std::string& name : names) expected[name] = ask(name);
  std::atomic<std::uint64_t> most{0};
  std::vector<std::jthread> clients;
  for (std::size_t i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      auto own = connect();
      for (std::size_t round = 0; round < 8; ++round) {
        const std::string& name = names[(i + round * (i + 1)) % names.size()];
        const auto result = post(own, "/completion", request_for(name));
        ASSERT_TRUE(result);
        EXPECT_EQ(json::parse(result->body).value("content", result->body), expected.at(name));
        most = std::max(most.load(), used());
      }
    });
  }
  clients.clear();
  EXPECT_LE(most, device_bytes);
  EXPECT_GT(put_to_sleep().size(), 2U);
}

TEST_F(Models, AStopEndsThoseWhoWaitForRoom) {
  options_.word_delay = 10ms;
  start(options_);
  const raw_connection one = begin_long("a");
  ask("b");
  const raw_connection other = begin_long("b");
  auto waiting = std::async(std::launch::async, [this] {
    auto own = connect();
    const auto result = post(own, "/completion", request_for("c"));
    return result ? result->status : 0;
  });
  ASSERT_TRUE(eventually([this] { return facts("c").at("waiting") == 1; }));
  server_->stop();
  EXPECT_EQ(waiting.get(), 503);
}

}  // namespace
