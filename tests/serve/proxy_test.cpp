// What comes through the router: requests and their answers, in pieces, both ways.

#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class Proxy : public router_test {};

TEST_F(Proxy, AModelIsStartedByItsFirstRequestAndAnswersTheNextOnes) {
  add("a");
  start();
  EXPECT_EQ(state_of("a"), "stopped");
  const auto first = ask("a");
  ASSERT_EQ(first.status, 200) << first.raw;
  EXPECT_EQ(first.body.at("name"), "a");
  EXPECT_EQ(state_of("a"), "ready");
  EXPECT_EQ(ask("a").body.at("pid"), first.body.at("pid"));
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Proxy, ARequestGoesToTheModelThatItsBodyNamesAndArrivesAsItWasSent) {
  add("a");
  add("b", {.keys = "aliases: [\"gpt-4\"]"});
  start();
  EXPECT_EQ(ask("a").body.at("name"), "a");
  EXPECT_EQ(ask("b").body.at("name"), "b");
  EXPECT_EQ(ask("gpt-4").body.at("name"), "b") << "by its alias";
  const auto unknown = ask("c");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.raw, HasSubstr("there are a, b"));
  EXPECT_EQ(post("/v1/embeddings", R"({"input":"x"})").status, 400);
  // The name comes after other members, some of which look like it.
  const std::string body =
      R"({"messages":[{"model":"c","x":"\"model\":\"c\""}],"model" : "\u0061"})";
  const auto late = post("/v1/completions", body);
  ASSERT_EQ(late.status, 200) << late.raw;
  EXPECT_EQ(late.body.at("name"), "a");
  EXPECT_EQ(late.body.at("asked"), json::parse(body));
}

TEST_F(Proxy, WhatIsLongComesInLargePieces) {
  add("a");
  start();
  const std::string body =
      body_for("a", {{"stream", true}, {"events", 1}, {"padding", 8 << 20}, {"gates", ""}});
  raw_connection client(port_);
  client.send(
      fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                  body.size(), body));
  const std::string all = client.receive_all();
  std::size_t sum = 0;
  std::size_t largest = 0;
  for (std::size_t at = all.find("\r\n\r\n") + 4; at < all.size();) {
    const std::size_t chunk = std::stoul(all.substr(at, 8), nullptr, 16);
    sum += chunk;
    largest = std::max(largest, chunk);
    at = all.find("\r\n", at) + 2 + chunk + 2;
  }
  EXPECT_GT(sum, std::size_t{8} << 20);
  EXPECT_GE(largest, std::size_t{16} << 10);
}

TEST_F(Proxy, AStreamComesPieceByPieceWhileTheServerWritesIt) {
  add("a");
  start();
  raw_connection client(port_);
  const std::string body =
      body_for("a", {{"stream", true}, {"events", 3}, {"gates", gate("event")}});
  client.send(
      fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                  "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                  body.size(), body));
  std::string got;
  for (int number = 0; number < 3; ++number) {
    // The server writes the next one when this one has arrived.
    while (got.find(fmt::format("data: {}", number)) == std::string::npos) {
      const std::string more = client.receive_some();
      ASSERT_FALSE(more.empty()) << got;
      got += more;
    }
    EXPECT_THAT(got, Not(HasSubstr(fmt::format("data: {}", number + 1))));
    open_gate(fmt::format("event{}", number + 1));
  }
  while (got.find("\r\n0\r\n\r\n") == std::string::npos) got += client.receive_some();
  EXPECT_THAT(got, HasSubstr("text/event-stream"));
}

TEST_F(Proxy, AnUploadIsPassedOnWhileItComes) {
  add("a");
  start();
  const std::string data(std::size_t{2} << 20, 'x');
  httplib::Client client = connect();
  std::size_t at = 0;
  const auto chunked = client.Post(
      "/upstream/a/upload",
      [&](std::size_t, httplib::DataSink& sink) {
        const std::size_t piece = std::min<std::size_t>(data.size() - at, 100000);
        sink.write(data.data() + at, piece);
        at += piece;
        if (at == data.size()) sink.done();
        return true;
      },
      "application/octet-stream");
  ASSERT_TRUE(chunked);
  EXPECT_EQ(json::parse(chunked->body).at("bytes"), data.size()) << chunked->body;
  const auto whole = client.Post("/upstream/a/upload", data, "application/octet-stream");
  ASSERT_TRUE(whole);
  EXPECT_EQ(json::parse(whole->body).at("bytes"), data.size());
}

TEST_F(Proxy, AFormNamesItsModelInAPart) {
  add("a");
  start();
  httplib::Client client = connect();
  const auto heard = client.Post(
      "/v1/audio/transcriptions",
      httplib::MultipartFormDataItems{{"file", std::string(300000, 'w'), "a.wav", "audio/wav"},
                                      {"model", "a", "", ""}});
  ASSERT_TRUE(heard);
  EXPECT_EQ(heard->status, 200) << heard->body;
}

TEST_F(Proxy, OneWhoAsksBeforeItSendsIsTold) {
  add("a");
  start();
  const std::string body = body_for("a");
  raw_connection client(port_);
  client.send(
      fmt::format("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                  "Content-Type: application/json\r\nExpect: 100-continue\r\n"
                  "Content-Length: {}\r\n\r\n",
                  body.size()));
  EXPECT_THAT(client.receive_some(), HasSubstr("100 Continue"));
  client.send(body);
  EXPECT_THAT(client.receive_some(), HasSubstr("200 OK"));
}

TEST_F(Proxy, AnAnswerThatEndsWithItsConnectionEndsForTheClientToo) {
  add("a");
  start();
  ASSERT_EQ(ask("a").status, 200);
  const auto answer = get("/upstream/a/to-the-end");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.raw, "until I close");
  raw_connection old(port_);
  old.send("GET /upstream/a/to-the-end HTTP/1.0\r\n\r\n");
  const std::string all = old.receive_all();
  EXPECT_TRUE(all.ends_with("\r\n\r\nuntil I close")) << all;
}

TEST_F(Proxy, SeveralRequestsFollowEachOtherOnOneConnection) {
  add("a");
  start();
  const std::string body = body_for("a");
  const std::string request = fmt::format(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
  raw_connection client(port_);
  client.send(request + request +
              "GET /health HTTP/1.1\r\nHost: localhost\r\n"
              "Connection: close\r\n\r\n");
  const std::string all = client.receive_all();
  std::size_t found = 0;
  for (std::size_t at = 0; (at = all.find("HTTP/1.1 200", at)) != std::string::npos; ++at) ++found;
  EXPECT_EQ(found, 3U) << all;
}

TEST_F(Proxy, AClientThatGoesTakesItsRequestWithIt) {
  add("a");
  start();
  ASSERT_EQ(ask("a").status, 200);
  {
    raw_connection client(port_);
    const std::string body = body_for("a", {{"gate", gate("never")}});
    client.send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
    EXPECT_TRUE(noted("a POST /v1/completions"));
    EXPECT_EQ(model("a").at("active"), 1);
  }
  EXPECT_TRUE(noted("a client gone"));
  EXPECT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Proxy, BothSidesOfAnUpgradedConnectionAreHeard) {
  add("a");
  start();
  raw_connection client(port_);
  client.send(
      "GET /upstream/a/v1/realtime HTTP/1.1\r\nHost: localhost\r\n"
      "Connection: Upgrade\r\nUpgrade: shout\r\n\r\n");
  EXPECT_THAT(client.receive_some(), HasSubstr("101"));
  client.send("hello");
  EXPECT_EQ(client.receive_some(), "HELLO");
  EXPECT_EQ(model("a").at("active"), 1) << "it is in use as long as the connection is";
  client.send("again");
  EXPECT_EQ(client.receive_some(), "AGAIN");
  { const raw_connection gone(std::move(client)); }
  EXPECT_TRUE(noted("a tunnel closed"));
  EXPECT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
}

TEST_F(Proxy, WhatIsBetweenTwoNeighboursOnlyIsNotPassedOn) {
  add("a");
  start();
  httplib::Client client = connect();
  const auto answer =
      client.Post("/v1/completions", {{"Connection", "x-mine"}, {"X-Mine", "1"}, {"X-Other", "2"}},
                  body_for("a"), "application/json");
  ASSERT_TRUE(answer);
  const json headers = json::parse(answer->body).at("headers");
  EXPECT_FALSE(headers.contains("X-Mine")) << headers;
  EXPECT_EQ(headers.at("X-Other"), "2");
  EXPECT_EQ(headers.at("Host"), fmt::format("127.0.0.1:{}", ports_["a"]));
  EXPECT_EQ(headers.at("X-Forwarded-For"), "127.0.0.1");
}

TEST_F(Proxy, MoreRequestsThanAModelTakesAreTurnedAway) {
  add("a", {.keys = "concurrencyLimit: 1"});
  start();
  auto first = ask_later("a", {{"gate", gate("go")}});
  ASSERT_TRUE(noted("a POST"));
  const auto second = ask("a");
  EXPECT_EQ(second.status, 429);
  EXPECT_TRUE(second.headers.count("Retry-After"));
  open_gate("go");
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(ask("a").status, 200);
}

}  // namespace
