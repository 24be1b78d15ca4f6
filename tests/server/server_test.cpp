#include "server/server.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gguf/writer.hpp"

namespace {

namespace fs = std::filesystem;
using namespace lull::literals;
using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;

/// A server of this process on a free port, and a small model that goes with it.
class Server : public testing::Test {
 protected:
  Server() { gguf::write_model(model_, {.total_bytes = 8_MiB, .blocks = 2}); }
  ~Server() override {
    stop();
    fs::remove(model_);
  }

  void start(example::server_options options = {}) {
    options.model = model_;
    options.port = 0;
    options.kv_bytes = 1_MiB;
    server_.emplace(registry_.find("HOST"), std::move(options));
    thread_ = std::thread([this] { server_->run(); });
  }
  void stop() {
    if (!server_) return;
    client_.reset();
    server_->stop();
    thread_.join();
    server_.reset();
  }

  httplib::Client connect() const {
    httplib::Client client("127.0.0.1", server_->port());
    client.set_read_timeout(60s);
    client.set_connection_timeout(10s);
    return client;
  }
  httplib::Client& client() {
    if (!client_) client_ = std::make_unique<httplib::Client>(connect());
    return *client_;
  }

  static httplib::Result post(httplib::Client& client, const std::string& path, const json& body) {
    return client.Post(path, body.dump(), "application/json");
  }
  std::string answer(const std::string& prompt) {
    const auto result = post(client(), "/completion", {{"prompt", prompt}, {"n_predict", 12}});
    if (!result || result->status != 200) {
      ADD_FAILURE() << (result ? result->body : "no answer");
      return {};
    }
    return json::parse(result->body).at("content");
  }
  json get(const std::string& path) {
    const auto result = client().Get(path);
    EXPECT_TRUE(result && result->status == 200) << path;
    return json::parse(result->body);
  }
  int status_of(const std::string& path, const std::string& body) {
    const auto result = client().Post(path, body, "application/json");
    EXPECT_TRUE(result);
    EXPECT_TRUE(json::parse(result->body).contains("error") || result->status == 200);
    return result->status;
  }
  lull::sleeper_snapshot seen() { return server_->sleeper().observe(); }

  lull::registry registry_{[] {
    lull::registry_options options;
    options.search = false;
    return options;
  }()};
  fs::path model_ = fs::path(testing::TempDir()) / fmt::format("lull-server-{}.gguf", ::getpid());
  std::optional<example::server> server_;
  std::thread thread_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(Server, AnswersAreTheSameAfterEverySleep) {
  start();
  const std::string first = answer("one");
  const std::string second = answer("two");
  EXPECT_NE(first, second);
  for (const lull::sleep_level level : lull::supported_levels()) {
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

TEST_F(Server, TooManyWaitingCompletionsAreTurnedAwayAtOnce) {
  example::server_options options;
  options.wake_delay = 300ms;
  options.parallel = 64;
  options.most_waiting = 1;
  start(options);
  post(client(), "/sleep", json::object());
  auto first = std::async(std::launch::async, [this] {
    auto own = connect();
    return post(own, "/completion", {{"prompt", "x"}})->status;
  });
  while (seen().waiting == 0) std::this_thread::yield();
  const auto second = post(client(), "/completion", {{"prompt", "y"}});
  EXPECT_EQ(second->status, 503);
  EXPECT_EQ(second->get_header_value("Retry-After"), "1");
  EXPECT_EQ(first.get(), 200);
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
  EXPECT_THAT(failed->body, HasSubstr("token_embd.weight"));
  EXPECT_EQ(client().Get("/health")->status, 200);
  EXPECT_EQ(seen().state, lull::sleep_state::asleep);
  fs::rename(away, model_);
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

TEST_F(Server, BadRequestsAreExplained) {
  start();
  for (const char* body :
       {"", "{", "[]", "7", R"({"prompt": 1})", R"({"prompt": "x", "n_predict": 0})",
        R"({"prompt": "x", "n_predict": 4097})", R"({"prompt": "x", "n_predict": 1.5})",
        R"({"prompt": "x", "stream": "yes"})", R"({"n_predict": 1})"}) {
    EXPECT_EQ(status_of("/completion", body), 400) << body;
  }
  EXPECT_EQ(status_of("/sleep", R"({"level": "deep"})"), 400);
  EXPECT_EQ(status_of("/sleep", R"({"level": "rebirth"})"), 400);
  EXPECT_EQ(status_of("/nowhere", "{}"), 404);
  EXPECT_EQ(status_of("/completion", "{\"prompt\": \"\xff\"}"), 400);
  EXPECT_EQ(seen().leases, 0u);
}

TEST_F(Server, MetricsAreWellFormed) {
  start();
  answer("one");
  const std::string text = client().Get("/metrics")->body;
  EXPECT_THAT(text, HasSubstr("lull_state{state=\"awake\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("server_completions_total 1\n"));
  EXPECT_THAT(text, HasSubstr("lull_region_bytes{tag=\"weights\",where=\"resident\"} "));
  std::map<std::string, int> families;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) ++families[line.substr(7, line.find(' ', 7) - 7)];
    if (line.starts_with('#')) continue;
    const auto value = line.rfind(' ');
    ASSERT_NE(value, std::string::npos) << line;
    EXPECT_EQ(families.count(line.substr(0, line.find_first_of("{ "))), 1u) << line;
    EXPECT_NO_THROW(static_cast<void>(std::stod(line.substr(value + 1)))) << line;
  }
  for (const auto& [name, times] : families) EXPECT_EQ(times, 1) << name;
}

TEST_F(Server, ABadModelOrPortIsAClearError) {
  start();
  example::server_options taken;
  taken.model = model_;
  taken.port = server_->port();
  EXPECT_THROW(example::server(registry_.find("HOST"), taken), lull::error);
  stop();
  std::ofstream(model_, std::ios::trunc) << "no model";
  EXPECT_THROW(start(), gguf::format_error);
}

}  // namespace
