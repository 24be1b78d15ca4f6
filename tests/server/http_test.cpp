#include <algorithm>
#include <future>
#include <map>
#include <sstream>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server_fixture.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;
using Http = server_test;

TEST_F(Http, TooManyWaitingCompletionsAreTurnedAwayAtOnce) {
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

TEST_F(Http, BadRequestsAreExplained) {
  start();
  for (const char* body :
       {"", "{", "[]", "7", R"({"prompt": 1})", R"({"prompt": "x", "n_predict": 0})",
        R"({"prompt": "x", "n_predict": 4097})", R"({"prompt": "x", "n_predict": 1.5})",
        R"({"prompt": "x", "n_predict": 4294967297})",
        R"({"prompt": "x", "n_predict": 18446744073709551615})",
        R"({"prompt": "x", "stream": "yes"})", R"({"n_predict": 1})"}) {
    EXPECT_EQ(status_of("/completion", body), 400) << body;
  }
  EXPECT_EQ(status_of("/sleep", R"({"level": "deep"})"), 400);
  EXPECT_EQ(status_of("/sleep", R"({"level": "rebirth"})"), 400);
  EXPECT_EQ(status_of("/nowhere", "{}"), 404);
  EXPECT_EQ(status_of("/completion", "{\"prompt\": \"\xff\"}"), 400);
  EXPECT_EQ(seen().leases, 0u);
}

TEST_F(Http, TheOnlyModelAnswersToAnyName) {
  start();
  EXPECT_EQ(status_of("/completion", R"({"prompt": "x", "model": "as a router calls it"})"), 200);
  EXPECT_EQ(get("/props?model=other").at("model"), "m");
}

TEST_F(Http, MetricsAreWellFormed) {
  start();
  answer("one");
  const std::string text = client().Get("/metrics")->body;
  EXPECT_THAT(text, HasSubstr("lull_state{model=\"m\",state=\"awake\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("server_completions_total{model=\"m\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("lull_region_bytes{model=\"m\",tag=\"weights\",where=\"resident\"} "));
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

TEST_F(Http, APostWithoutABodyIsAnswered) {
  start();
  // As `curl -X POST` sends it: no Content-Length.
  for (const char* path : {"/sleep", "/wake"}) {
    auto connection = connect_raw();
    connection.send(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path));
    EXPECT_THAT(connection.receive_all(), StartsWith("HTTP/1.1 200 ")) << path;
  }
  EXPECT_EQ(seen().counters.sleeps, 1u);
  EXPECT_EQ(seen().counters.wakes, 1u);
  auto connection = connect_raw();
  connection.send("POST /completion HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(connection.receive_all(), HasSubstr("'prompt' is missing"));
}

TEST_F(Http, AWrongMethodSaysWhichIsRight) {
  start();
  const auto posted = client().Post("/health", "{}", "application/json");
  EXPECT_EQ(posted->status, 405);
  EXPECT_EQ(posted->get_header_value("Allow"), "GET");
  const auto got = client().Get("/completion");
  EXPECT_EQ(got->status, 405);
  EXPECT_EQ(got->get_header_value("Allow"), "POST");
  EXPECT_THAT(got->body, HasSubstr("/completion takes POST, not GET"));
  EXPECT_EQ(client().Head("/health")->status, 200);
  EXPECT_EQ(client().Get("/nowhere")->status, 404);
}

TEST_F(Http, BodiesHaveALimitWhateverTheirEncoding) {
  start();
  const std::string long_prompt = json{{"prompt", std::string(100'000, 'a')}}.dump();
  // What `curl -d` says of any body. A completion changes nothing that a page could not see.
  EXPECT_EQ(client().Post("/completion", long_prompt, "application/x-www-form-urlencoded")->status,
            200);
  const std::string too_long = json{{"prompt", std::string(5 << 20, 'a')}}.dump();
  EXPECT_EQ(client().Post("/completion", too_long, "application/json")->status, 413);
  const auto chunked = client().Post(
      "/completion",
      [&](std::size_t offset, httplib::DataSink& sink) {
        const std::size_t part = std::min<std::size_t>(64 << 10, too_long.size() - offset);
        if (part == 0) {
          sink.done();
          return true;
        }
        return sink.write(too_long.data() + offset, part);
      },
      "application/json");
  EXPECT_EQ(chunked->status, 413);
  EXPECT_THAT(chunked->body, HasSubstr("larger than"));
}

TEST_F(Http, AFormIsNoRequest) {
  start();
  const httplib::MultipartFormDataItems items{{"prompt", "x", "", ""}};
  EXPECT_EQ(client().Post("/completion", items)->status, 400);
  EXPECT_EQ(client().Post("/sleep", items)->status, 415);
}

TEST_F(Http, APageOfAnotherSiteCanNeitherSleepNorWake) {
  start();
  const auto status_for = [this](const char* path, const httplib::Headers& headers) {
    return client().Post(path, headers, "", "application/json")->status;
  };
  for (const char* path : {"/sleep", "/wake", "/wake_up", "/completion"}) {
    EXPECT_EQ(status_for(path, {{"Origin", "http://evil.example"}}), 403) << path;
    EXPECT_EQ(status_for(path, {{"Host", "evil.example"}}), 403) << path;
  }
  EXPECT_EQ(client().Post("/sleep", "{}", "text/plain")->status, 415) << "as a page's form can";
  EXPECT_EQ(client().Get("/props", {{"Host", "evil.example"}})->status, 403) << "rebound names";
  EXPECT_EQ(seen().counters.sleeps, 0u);
  EXPECT_EQ(status_for("/sleep", {{"Origin", fmt::format("http://127.0.0.1:{}", server_->port())}}),
            200);
}

TEST_F(Http, WithATokenNothingIsChangedWithoutIt) {
  example::server_options options;
  options.token = "secret";
  start(options);
  for (const char* path : {"/sleep", "/wake", "/wake_up", "/completion"}) {
    const auto refused = client().Post(path, "{}", "application/json");
    EXPECT_EQ(refused->status, 401) << path;
    EXPECT_EQ(refused->get_header_value("WWW-Authenticate"), "Bearer");
  }
  EXPECT_EQ(client().Get("/health")->status, 200);
  EXPECT_EQ(client()
                .Post("/sleep", {{"Authorization", "Bearer secret"}}, "{}", "application/json")
                ->status,
            200);
}

TEST_F(Http, BeyondThisMachineATokenIsRequired) {
  example::server_options options;
  options.files = {{"m", model_}};
  options.port = 0;
  options.host = "0.0.0.0";
  EXPECT_THROW(example::server(registry_.find("HOST"), options), lull::error);
  options.token = "secret";
  EXPECT_NO_THROW(example::server(registry_.find("HOST"), options));
}

TEST_F(Http, VllmsRoutesAreThere) {
  start();
  const auto sleeps = [this] { return get("/is_sleeping").at("is_sleeping").get<bool>(); };
  const auto posts = [this](const char* path) { return client().Post(path)->status; };
  EXPECT_FALSE(sleeps());
  EXPECT_EQ(posts("/sleep?level=1"), 200);
  EXPECT_TRUE(sleeps());
  EXPECT_EQ(posts("/sleep?level=1"), 200) << "a repeat does nothing";
  EXPECT_EQ(seen().counters.sleeps, 1u);
  EXPECT_EQ(posts("/wake_up?tags=weights&tags=kv_cache"), 200);
  EXPECT_FALSE(sleeps());
  EXPECT_EQ(posts("/wake_up"), 200);
  EXPECT_EQ(status_of("/sleep", R"({"level": 2})"), 200);
  EXPECT_EQ(seen().plan, "discard");
  EXPECT_EQ(status_of("/wake_up", R"({"tags": ["weights"]})"), 200);
  for (const char* path : {"/sleep?level=0", "/sleep?level=3", "/sleep?level=", "/sleep?level=nan",
                           "/sleep?tags=what", "/wake_up?tags=what"}) {
    EXPECT_EQ(posts(path), 400) << path;
  }
  for (const char* body : {R"({"level": 1e400})", R"({"level": 1.5})", R"({"level": true})",
                           R"({"tags": "kv"})", R"({"tags": [1]})"}) {
    EXPECT_EQ(status_of("/sleep", body), 400) << body;
  }
  EXPECT_EQ(client().Get("/health")->status, 200);
}

TEST_F(Http, TagsAloneAreDiscarded) {
  start();
  const std::string expected = answer("one");
  const auto slept = client().Post("/sleep?level=1&tags=kv_cache");
  ASSERT_EQ(slept->status, 200) << slept->body;
  EXPECT_EQ(json::parse(slept->body).at("plan"), "discard kv");
  EXPECT_EQ(json::parse(slept->body).at("devices").at(0).at("discarded_bytes"), 1 << 20);
  EXPECT_GT(json::parse(slept->body).at("devices").at(0).at("used_after_bytes"), 1 << 20);
  EXPECT_EQ(answer("one"), expected);
}

TEST_F(Http, ADeeperSleepThanTheOneThatIsThereNeedsNoWake) {
  start();
  const std::string expected = answer("one");
  EXPECT_EQ(status_of("/sleep", R"({"level": "trim"})"), 200);
  const auto tags = client().Post("/sleep?tags=kv");
  EXPECT_EQ(tags->status, 200) << tags->body;
  EXPECT_EQ(json::parse(tags->body).at("plan"), "discard kv");
  EXPECT_THAT(client().Get("/metrics")->body,
              HasSubstr("lull_sleep_level{model=\"m\",level=\"discard kv\"} 1"));
  EXPECT_EQ(status_of("/sleep", R"({"level": "offload"})"), 200);
  EXPECT_EQ(get("/props").at("sleep_level"), "offload");
  const auto deeper = post(client(), "/sleep", {{"level", "discard"}});
  EXPECT_EQ(deeper->status, 200) << deeper->body;
  const json report = json::parse(deeper->body);
  EXPECT_EQ(report.at("transition"), "deepen");
  EXPECT_EQ(report.at("plan"), "discard");
  const std::string metrics = client().Get("/metrics")->body;
  EXPECT_THAT(metrics, HasSubstr("lull_sleep_level{model=\"m\",level=\"discard\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("lull_sleep_level{model=\"m\",level=\"offload\"} 0"));
  EXPECT_THAT(metrics, HasSubstr("\nlull_deepenings_total{model=\"m\"} 3\n"));
  const auto shallower = post(client(), "/sleep", {{"level", "offload"}});
  EXPECT_EQ(shallower->status, 200) << "it sleeps deeper than that";
  EXPECT_EQ(get("/props").at("sleep_level"), "discard");
  EXPECT_EQ(seen().counters.wakes, 0u);
  EXPECT_EQ(answer("one"), expected);
}

TEST_F(Http, ALevelThatTheDeviceLacksIsRefusedAlsoWhileAsleep) {
  start();
  EXPECT_EQ(status_of("/sleep", R"({"level": "offload"})"), 200);
  const auto refused = post(client(), "/sleep", {{"level", "reset"}});
  EXPECT_EQ(refused->status, 400);
  EXPECT_THAT(refused->body, HasSubstr("the nearest that would do is 'discard'"));
  EXPECT_EQ(get("/props").at("sleep_level"), "offload");
}

TEST_F(Http, HeadersWithoutEndAreCutOff) {
  start();
  const auto connection = connect_raw();
  connection.send("GET /health HTTP/1.1\r\nA: " + std::string(20000, 'x'));
  EXPECT_THAT(connection.receive_all(), StartsWith("HTTP/1.1 431 "));
}

TEST_F(Http, ClientsThatKeepTheirConnectionsOpenDoNotStarveObservers) {
  example::server_options options;
  options.wake_delay = 3s;
  options.most_waiting = 2;
  start(options);
  post(client(), "/sleep", json::object());
  const std::string body = R"({"prompt":"x"})";
  // More than there are threads; all but two are turned away, and none hangs up.
  std::vector<raw_connection> crowd;
  for (int i = 0; i < 300; ++i) {
    crowd.push_back(connect_raw());
    crowd.back().send(
        fmt::format("POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
  }
  while (seen().waiting == 0) std::this_thread::yield();
  EXPECT_EQ(client().Get("/health")->status, 200);
  EXPECT_EQ(seen().state, lull::sleep_state::waking) << "the answer took as long as the wake";
  int turned_away = 0;
  for (auto& connection : crowd) {
    if (connection.receive_all().starts_with("HTTP/1.1 503 ")) ++turned_away;
  }
  EXPECT_EQ(turned_away, 298);
}

TEST_F(Http, AModelWhoseNameIsNotUtf8IsShownAllTheSame) {
  const fs::path plain = model_;
  model_ = plain.string() + "\xff\".gguf";
  fs::rename(plain, model_);
  start();
  EXPECT_THAT(get("/props").at("model_path").get<std::string>(), HasSubstr("lull-server-"));
  EXPECT_EQ(get("/models").at("data").size(), 1u);
}

}  // namespace
