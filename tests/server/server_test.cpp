#include <lull/error.hpp>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "file_text.hpp"
#include "server_fixture.hpp"
#include "support/eventually.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using lull::test::eventually;
using nlohmann::json;
using testing::HasSubstr;

class Server : public server_test {
 protected:
  static void send_completion(const raw_connection& over, const std::string& body) {
    over.send(
        fmt::format("POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
  }
  /// A sample of /metrics that has the model's name as its only label.
  int counter(const std::string& name) {
    const std::string text = client().Get("/metrics")->body;
    const std::string sample = "\n" + name + "{model=\"m\"} ";
    const auto at = text.find(sample);
    return at == std::string::npos ? -1 : std::stoi(text.substr(at + sample.size()));
  }
};

TEST_F(Server, AnswersAreTheSameAfterEverySleep) {
  start();
  const std::string first = answer("one");
  const std::string second = answer("two");
  EXPECT_NE(first, second);
  for (const lull::sleep_level level : {lull::sleep_level::offload, lull::sleep_level::discard}) {
    const auto slept = post(client(), "/sleep", {{"level", std::string(to_string(level))}});
    ASSERT_EQ(slept->status, 200) << slept->body;
    const json report = json::parse(slept->body);
    EXPECT_TRUE(report.at("succeeded"));
    EXPECT_EQ(report.at("devices").at(0).at("used_after_bytes"), 0);
    EXPECT_TRUE(get("/props").at("is_sleeping"));
    EXPECT_EQ(answer("one"), first) << to_string(level);
    EXPECT_EQ(answer("two"), second) << to_string(level);
    EXPECT_FALSE(get("/props").at("is_sleeping"));
  }
}

TEST_F(Server, OneWrongByteChangesTheAnswer) {
  start();
  const std::string right = answer("one");
  stop();
  const auto header = gguf::read_header(model_);
  for (const auto* tensor : {&header.tensors.front(), &header.tensors.back()}) {
    std::fstream file(model_, std::ios::binary | std::ios::in | std::ios::out);
    const auto at = static_cast<std::streamoff>(tensor->offset + tensor->size_bytes - 1);
    file.seekg(at);
    const auto before = static_cast<char>(file.get());
    file.seekp(at);
    file.put(static_cast<char>(before ^ 1));
    file.close();
    start();
    EXPECT_NE(answer("one"), right) << tensor->name;
    stop();
    file.open(model_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(at);
    file.put(before);
  }
}

TEST_F(Server, AStreamSaysTheSameInPieces) {
  start();
  const std::string whole = answer("stream");
  const auto result =
      post(client(), "/completion", {{"prompt", "stream"}, {"n_predict", 12}, {"stream", true}});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/event-stream");
  std::string joined;
  int events = 0;
  bool stopped = false;
  for (std::size_t at = 0; (at = result->body.find("data: ", at)) != std::string::npos;) {
    const std::size_t end = result->body.find("\n\n", at);
    const json event = json::parse(result->body.substr(at + 6, end - at - 6));
    joined += event.at("content").get<std::string>();
    stopped = event.at("stop");
    ++events;
    at = end;
  }
  EXPECT_EQ(joined, whole);
  EXPECT_EQ(events, 13);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(seen().leases, 0u);
}

TEST_F(Server, AClientThatLeavesInTheMiddleGivesItsLeaseBack) {
  start();
  auto impatient = connect();
  httplib::Request request;
  request.method = "POST";
  request.path = "/completion";
  request.set_header("Content-Type", "application/json");
  request.body = json{{"prompt", "x"}, {"n_predict", 4096}, {"stream", true}}.dump();
  request.content_receiver = [](const char*, std::size_t, std::uint64_t, std::uint64_t) {
    return false;
  };
  EXPECT_FALSE(impatient.send(request));
  impatient.stop();
  while (seen().leases != 0) std::this_thread::yield();
  EXPECT_EQ(post(client(), "/sleep", json::object())->status, 200);
}

TEST_F(Server, ObserversNeitherWakeNorPostponeTheSleep) {
  example::server_options options;
  options.sleep_idle = 1h;
  start(options);
  answer("one");
  const auto idle_before = seen().idle;
  for (const char* path : {"/health", "/props", "/models", "/metrics"}) {
    EXPECT_EQ(client().Get(path)->status, 200) << path;
  }
  EXPECT_GT(seen().idle, idle_before) << "the idle time runs on";
  post(client(), "/sleep", json::object());
  for (const char* path : {"/health", "/props", "/models", "/metrics"}) {
    EXPECT_EQ(client().Get(path)->status, 200) << path;
  }
  EXPECT_EQ(seen().state, lull::sleep_state::asleep);
  EXPECT_EQ(get("/models").at("data").at(0).at("status"), "sleeping");
}

TEST_F(Server, FallsAsleepWhileItIsObservedAllTheTime) {
  example::server_options options;
  options.sleep_idle = 200ms;
  start(options);
  answer("one");
  const auto give_up = std::chrono::steady_clock::now() + 30s;
  while (seen().state != lull::sleep_state::asleep) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "observers keep it awake";
    for (const char* path : {"/health", "/props", "/models", "/metrics"}) {
      EXPECT_EQ(client().Get(path)->status, 200) << path;
    }
  }
  EXPECT_EQ(seen().counters.wakes, 0u);
}

TEST_F(Server, FallsAsleepByItself) {
  example::server_options options;
  options.sleep_idle = 20ms;
  start(options);
  while (seen().state != lull::sleep_state::asleep) std::this_thread::yield();
  EXPECT_FALSE(answer("wakes it").empty());
}

TEST_F(Server, ObserversAnswerWhileAWakeTakesTwoSeconds) {
  example::server_options options;
  options.wake_delay = 2s;
  start(options);
  post(client(), "/sleep", json::object());
  const auto begun = std::chrono::steady_clock::now();
  auto woken = std::async(std::launch::async, [this] {
    auto own = connect();
    return post(own, "/completion", {{"prompt", "x"}})->status;
  });
  while (seen().state != lull::sleep_state::waking) std::this_thread::yield();
  std::map<std::string, std::chrono::nanoseconds> slowest;
  int rounds = 0;
  for (; seen().state == lull::sleep_state::waking && rounds < 100; ++rounds) {
    for (const char* path : {"/health", "/props", "/models", "/metrics"}) {
      const auto asked = std::chrono::steady_clock::now();
      EXPECT_EQ(client().Get(path)->status, 200);
      slowest[path] = std::max(slowest[path],
                               std::chrono::nanoseconds(std::chrono::steady_clock::now() - asked));
    }
  }
  EXPECT_EQ(woken.get(), 200);
  const auto wake = std::chrono::steady_clock::now() - begun;
  EXPECT_GT(rounds, 5);
  EXPECT_GE(wake, 2s);
  for (const auto& [path, time] : slowest) {
    fmt::print("{:<10} slowest of {} while waking: {:.2f} ms\n", path, rounds,
               std::chrono::duration<double, std::milli>(time).count());
    EXPECT_LT(time, wake / 4) << path << " waited for the wake";
  }
}

TEST_F(Server, ManyCompletionsCauseOneWakeAndDoNotBlockObservers) {
  example::server_options options;
  options.wake_delay = 300ms;
  options.parallel = 64;
  start(options);
  const std::string expected = answer("same");
  post(client(), "/sleep", json::object());
  std::vector<std::future<std::string>> answers;
  for (int i = 0; i < 64; ++i) {
    answers.push_back(std::async(std::launch::async, [this] {
      auto own = connect();
      const auto result = post(own, "/completion", {{"prompt", "same"}, {"n_predict", 12}});
      return result ? json::parse(result->body).value("content", result->body)
                    : to_string(result.error());
    }));
  }
  while (seen().waiting < 20 && seen().state != lull::sleep_state::awake) {
    std::this_thread::yield();
  }
  EXPECT_EQ(client().Get("/health")->status, 200);
  for (auto& each : answers) EXPECT_EQ(each.get(), expected);
  EXPECT_EQ(seen().counters.wakes, 1u);
}

TEST_F(Server, AWakeThatFailsIsAnErrorAndTheServerLivesOn) {
  start();
  const std::string expected = answer("one");
  post(client(), "/sleep", {{"level", "discard"}});
  const fs::path away = model_.string() + ".away";
  fs::rename(model_, away);
  const auto failed = post(client(), "/completion", {{"prompt", "one"}});
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->status, 503);
  EXPECT_THAT(failed->body, HasSubstr("No such file"));
  EXPECT_EQ(client().Get("/health")->status, 200);
  EXPECT_EQ(seen().state, lull::sleep_state::asleep);
  fs::rename(away, model_);
  EXPECT_EQ(answer("one"), expected);
}

TEST_F(Server, AnotherFileInItsPlaceIsRefusedAtTheWake) {
  start();
  const std::string expected = answer("one");
  post(client(), "/sleep", {{"level", "discard"}});
  const fs::path away = model_.string() + ".away";
  fs::rename(model_, away);
  gguf::write_model(model_, {.total_bytes = std::uint64_t{8} << 20, .seed = 2, .blocks = 2});
  fs::last_write_time(model_, fs::last_write_time(away));
  ASSERT_EQ(fs::file_size(model_), fs::file_size(away));
  const auto refused = post(client(), "/completion", {{"prompt", "one"}});
  EXPECT_EQ(refused->status, 503);
  EXPECT_THAT(refused->body, HasSubstr("another file has taken its place"));
  fs::rename(away, model_);
  EXPECT_EQ(answer("one"), expected);
}

TEST_F(Server, GoesDownItsLadderAndAnswersTheSame) {
  example::server_options options;
  options.sleep_ladder = example::parse_ladder("trim:1ms,offload:2ms,discard:3ms");
  start(options);
  const std::string expected = answer("one");
  ASSERT_TRUE(eventually(
      [this] { return seen().state == lull::sleep_state::asleep && seen().plan == "discard"; }));
  EXPECT_EQ(get("/props").at("sleep_ladder"), "trim:1ms,offload:2ms,discard:3ms");
  EXPECT_EQ(answer("one"), expected);
}

TEST_F(Server, AModelThatIsLoadedAnewGoesDeeperToo) {
  example::server_options options;
  options.mode = example::sleep_mode::reload;
  start(options);
  const std::string expected = answer("one");
  for (const char* const level : {"trim", "discard"}) {
    ASSERT_EQ(post(client(), "/sleep", {{"level", level}})->status, 200) << level;
  }
  EXPECT_EQ(seen().counters.deepenings, 1u);
  EXPECT_TRUE(server_->model().engine().memory().regions().empty());
  EXPECT_EQ(answer("one"), expected);
}

TEST(SleepLadder, IsReadWithItsUnits) {
  const auto steps = example::parse_ladder("trim:0s,offload:1.5s,discard:10m,reset:1h");
  EXPECT_EQ(example::to_string(steps), "trim:0ms,offload:1500ms,discard:600000ms,reset:3600000ms");
  for (const char* const wrong :
       {"", ",", "offload", "offload:", "offload:30", "offload:s", "offload:-1s", "offload:nans",
        "offload:1e300h", "offload:30s,", "offload:30 s", ":30s", "deep:30s", "offload:30d"}) {
    EXPECT_THROW(example::parse_ladder(wrong), lull::error) << wrong;
  }
}

TEST_F(Server, WhatIsOffloadedNeedsNoFile) {
  start();
  const std::string expected = answer("one");
  post(client(), "/sleep", {{"level", "offload"}});
  fs::remove(model_);
  EXPECT_EQ(answer("one"), expected);
}

TEST_F(Server, ARequestThatCannotWaitLongEnoughTimesOut) {
  example::server_options options;
  options.wake_delay = 400ms;
  options.request_timeout = 50ms;
  start(options);
  post(client(), "/sleep", json::object());
  EXPECT_EQ(status_of("/completion", R"({"prompt": "x"})"), 504);
  while (seen().state != lull::sleep_state::awake) std::this_thread::yield();
  EXPECT_EQ(seen().leases, 0u);
}

TEST_F(Server, ABadModelOrPortIsAClearError) {
  start();
  example::server_options taken;
  taken.files = {{"m", model_}};
  taken.port = server_->port();
  EXPECT_THROW(example::server(registry_.find("HOST"), taken), std::system_error);
  stop();
  std::ofstream(model_, std::ios::trunc) << "no model";
  EXPECT_THROW(start(), gguf::format_error);
  std::ofstream(model_, std::ios::trunc) << file_text{}.start(0, 0).bytes;
  EXPECT_THROW(start(), gguf::model_error);
}

TEST_F(Server, AStopDoesNotWaitForAWake) {
  example::server_options options;
  options.wake_delay = 60s;
  options.parallel = 1;
  start(options);
  post(client(), "/sleep", json::object());
  std::vector<std::future<int>> statuses;
  // One waits for the wake, the other for the slot.
  for (int i = 0; i < 2; ++i) {
    statuses.push_back(std::async(std::launch::async, [this] {
      auto own = connect();
      const auto result = post(own, "/completion", {{"prompt", "x"}});
      return result ? result->status : 0;  // 0: it came when nobody was accepted any more
    }));
  }
  while (seen().state != lull::sleep_state::waking) std::this_thread::yield();
  server_->stop();
  std::vector<int> received;
  for (auto& status : statuses) {
    ASSERT_EQ(status.wait_for(30s), std::future_status::ready) << "a client waits for the wake";
    received.push_back(status.get());
  }
  EXPECT_THAT(received, testing::Contains(503));
  EXPECT_THAT(received, testing::Each(testing::AnyOf(0, 503)));
}

TEST_F(Server, AClientThatLeavesDuringAWakeIsGivenUp) {
  example::server_options options;
  options.wake_delay = 300ms;
  start(options);
  post(client(), "/sleep", json::object());
  const auto before = counter("server_tokens_total");
  {
    const auto connection = connect_raw();
    send_completion(connection, R"({"prompt":"x","n_predict":4})");
    // Not only waited for: what nobody wants is not begun.
    ASSERT_TRUE(eventually([this] { return seen().state == lull::sleep_state::waking; }));
  }
  const auto left_at = std::chrono::steady_clock::now();
  ASSERT_TRUE(eventually([this] { return seen().waiting == 0; }));
  EXPECT_LT(std::chrono::steady_clock::now() - left_at, 250ms);
  ASSERT_TRUE(eventually([this] { return seen().state == lull::sleep_state::awake; }));
  EXPECT_EQ(counter("server_tokens_total"), before) << "computed for nobody";
  EXPECT_EQ(counter("server_abandoned_total"), 1);
}

TEST_F(Server, AWakeThatNobodyWantsAnyMoreIsNotBegun) {
  example::server_options options;
  options.mode = example::sleep_mode::reload;
  options.word_delay = 300ms;  // a sleep waits for the word, and a wake for the sleep
  start(options);
  auto slow = std::async(std::launch::async, [this] {
    auto own = connect();
    return post(own, "/completion", {{"prompt", "x"}, {"n_predict", 1}})->status;
  });
  ASSERT_TRUE(eventually([this] { return seen().leases == 1; }));
  auto slept = std::async(std::launch::async, [this] {
    auto own = connect();
    return post(own, "/sleep", json::object())->status;
  });
  ASSERT_TRUE(eventually([this] { return seen().state == lull::sleep_state::draining; }));
  {
    const auto connection = connect_raw();
    send_completion(connection, R"({"prompt":"y"})");
    ASSERT_TRUE(eventually([this] { return seen().waiting == 1; }));
  }
  EXPECT_EQ(slow.get(), 200);
  EXPECT_EQ(slept.get(), 200);
  EXPECT_EQ(seen().state, lull::sleep_state::asleep);
  EXPECT_EQ(seen().counters.wakes, 0u);
}

TEST_F(Server, AClientThatLeavesTheLineIsGivenUp) {
  example::server_options options;
  options.parallel = 1;
  options.word_delay = 5ms;
  start(options);
  const auto first = connect_raw();
  send_completion(first, R"({"prompt":"x","n_predict":4096,"stream":true})");
  ASSERT_TRUE(eventually([this] { return seen().leases == 1; }));
  {
    const auto second = connect_raw();
    send_completion(second, R"({"prompt":"y"})");
    ASSERT_TRUE(eventually([this] { return seen().leases == 2; }));
  }
  const auto left_at = std::chrono::steady_clock::now();
  ASSERT_TRUE(eventually([this] { return seen().leases == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - left_at, 250ms);
}

TEST_F(Server, WhatIsComputedForNobodyStopsAtTheNextWord) {
  example::server_options options;
  options.word_delay = 5ms;
  start(options);
  for (const char* body :
       {R"({"prompt":"x","n_predict":4096})", R"({"prompt":"x","n_predict":4096,"stream":true})"}) {
    {
      const auto connection = connect_raw();
      send_completion(connection, body);
      ASSERT_TRUE(eventually([this] { return seen().leases == 1; }));
    }
    const auto left_at = std::chrono::steady_clock::now();
    ASSERT_TRUE(eventually([this] { return seen().leases == 0; })) << body;
    EXPECT_LT(std::chrono::steady_clock::now() - left_at, 1s) << body;
  }
  EXPECT_EQ(counter("server_abandoned_total"), 2);
  EXPECT_LT(counter("server_tokens_total"), 4096);
}

TEST_F(Server, ALineThatIsTooSlowTimesOut) {
  example::server_options options;
  options.parallel = 1;
  options.word_delay = 5ms;
  options.request_timeout = 100ms;
  start(options);
  const auto first = connect_raw();
  send_completion(first, R"({"prompt":"x","n_predict":4096,"stream":true})");
  ASSERT_TRUE(eventually([this] { return seen().leases == 1; }));
  const auto second = post(client(), "/completion", {{"prompt", "y"}});
  EXPECT_EQ(second->status, 504);
  EXPECT_THAT(second->body, HasSubstr("waiting for a free slot"));
}

TEST_F(Server, SlotsAreComputedInTurn) {
  example::server_options options;
  options.parallel = 2;
  options.word_delay = 2ms;
  start(options);
  auto longer = std::async(std::launch::async, [this] {
    auto own = connect();
    return post(own, "/completion", {{"prompt", "x"}, {"n_predict", 1000}})->status;
  });
  ASSERT_TRUE(eventually([this] { return seen().leases == 1; }));
  EXPECT_FALSE(answer("short").empty());
  EXPECT_EQ(seen().leases, 1u) << "the long one is still computed";
  EXPECT_EQ(longer.get(), 200);
}

TEST_F(Server, SleepsAtOnceWhenToldTo) {
  example::server_options options;
  options.sleep_idle = 0ms;
  start(options);
  EXPECT_FALSE(answer("one").empty());
  EXPECT_TRUE(eventually([this] { return seen().state == lull::sleep_state::asleep; }));
  EXPECT_FALSE(answer("one").empty());
}

TEST_F(Server, AReloadUnloadsAndLoads) {
  example::server_options options;
  options.mode = example::sleep_mode::reload;
  start(options);
  const std::string expected = answer("one");
  const auto slept = post(client(), "/sleep", json::object());
  ASSERT_EQ(slept->status, 200) << slept->body;
  EXPECT_THAT(slept->body, HasSubstr("unload"));
  EXPECT_EQ(registry_.find("HOST").memory().used_by_process_bytes, 0u);
  EXPECT_TRUE(server_->model().engine().memory().regions().empty());
  EXPECT_EQ(answer("one"), expected);
  const auto refused = post(client(), "/sleep", {{"level", "offload"}});
  EXPECT_EQ(refused->status, 400);
  EXPECT_THAT(refused->body, HasSubstr("keeps no contents"));
  EXPECT_EQ(answer("one"), expected) << "it is still there";
}

TEST_F(Server, AReloadThatFailsLeavesNothingAndIsTriedAgain) {
  example::server_options options;
  options.mode = example::sleep_mode::reload;
  start(options);
  const std::string expected = answer("one");
  post(client(), "/sleep", json::object());
  const fs::path away = model_.string() + ".away";
  fs::rename(model_, away);
  EXPECT_EQ(post(client(), "/completion", {{"prompt", "one"}})->status, 503);
  EXPECT_EQ(registry_.find("HOST").memory().used_by_process_bytes, 0u);
  fs::rename(away, model_);
  EXPECT_EQ(answer("one"), expected);
}

TEST_F(Server, AReloadTakesAnotherFileForAnotherModel) {
  example::server_options options;
  options.mode = example::sleep_mode::reload;
  start(options);
  const std::string before = answer("one");
  post(client(), "/sleep", json::object());
  gguf::write_model(model_, {.total_bytes = std::uint64_t{4} << 20, .seed = 2, .blocks = 3});
  const std::string after = answer("one");
  EXPECT_FALSE(after.empty());
  EXPECT_NE(after, before);
  EXPECT_EQ(get("/models").at("data").at(0).at("meta").at("n_tensors"), 3 + 3 * 9);
}

TEST_F(Server, NothingSleepsUnderAComputation) {
  example::server_options options;
  options.mode = example::sleep_mode::reload;
  options.sleep_idle = 1ms;
  options.parallel = 3;
  start(options);
  const std::string expected = answer("same");
  std::vector<std::jthread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      auto own = connect();
      for (int round = 0; round < 15; ++round) {
        const auto result = post(own, "/completion", {{"prompt", "same"}, {"n_predict", 12}});
        ASSERT_TRUE(result);
        EXPECT_EQ(json::parse(result->body).value("content", result->body), expected);
        if (i == 0) post(own, "/sleep", json::object());
      }
    });
  }
  clients.clear();
  EXPECT_GT(seen().counters.sleeps, 5u);
}

TEST_F(Server, AStopBeforeTheRunIsNotLost) {
  example::server_options options;
  options.files = {{"m", model_}};
  options.port = 0;
  example::server server(registry_.find("HOST"), options);
  server.stop();
  server.stop();
  server.run();  // must return
}

TEST_F(Server, AServerThatNeverRanGivesItsPortBack) {
  example::server_options options;
  options.files = {{"m", model_}};
  options.port = 0;
  {
    const example::server first(registry_.find("HOST"), options);
    options.port = first.port();
  }
  EXPECT_NO_THROW(example::server(registry_.find("HOST"), options));
}

}  // namespace
