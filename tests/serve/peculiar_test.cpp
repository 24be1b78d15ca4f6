// Clients and servers that speak HTTP in ways that are rare, old, broken, or meant to confuse.

#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Peculiar : public router_test {
 protected:
  static std::string post_of(const std::string& body, const std::string& fields = "",
                             const std::string& version = "1.1") {
    return fmt::format(
        "POST /v1/completions HTTP/{}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "{}Content-Length: {}\r\n\r\n{}",
        version, fields, body.size(), body);
  }
  [[nodiscard]] std::string answer_to(const std::string& text) const {
    const raw_connection client(port_);
    client.send(text);
    return client.receive_all();
  }
  /// Model "a", which has been asked once.
  void one_that_is_ready() {
    add("a");
    start();
    ASSERT_EQ(ask("a").status, 200);
  }
};

// Clients that send nothing more.

TEST_F(Peculiar, AClientThatHasClosedItsSideGetsItsAnswer) {
  add("a");
  start();
  for (const char* const version : {"1.1", "1.0"}) {
    const raw_connection client(port_);
    client.send(post_of(body_for("a", {{"gate", gate(version)}}), "", version));
    client.end_sending();
    EXPECT_TRUE(eventually([&] { return model("a").at("active") == 1; }));
    open_gate(version);
    EXPECT_THAT(client.receive_all(), HasSubstr("\"name\": \"a\"")) << version;
  }
  EXPECT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
}

TEST_F(Peculiar, OneThatHasClosedItsSideMayWaitForALoad) {
  add("a", {.options = "--ready-when " + gate("go")});
  start();
  const raw_connection client(port_);
  client.send(post_of(body_for("a")) + post_of(body_for("a")));
  client.end_sending();
  EXPECT_TRUE(eventually([&] { return model("a").at("waiting") == 1; }));
  open_gate("go");
  EXPECT_THAT(client.receive_all(), HasSubstr("\"name\": \"a\""));
  EXPECT_TRUE(noted("a POST /v1/completions", 2)) << "what it had asked for before is answered too";
}

TEST_F(Peculiar, OneThatHasClosedItsSideGetsAllOfAStream) {
  one_that_is_ready();
  for (int number = 1; number < 3; ++number) open_gate(fmt::format("event{}", number));
  const raw_connection client(port_);
  client.send(post_of(body_for("a", {{"stream", true}, {"events", 3}, {"gates", gate("event")}})));
  client.end_sending();
  const std::string all = client.receive_all();
  EXPECT_THAT(all, HasSubstr("data: 2"));
  EXPECT_TRUE(all.ends_with("0\r\n\r\n")) << all;
}

TEST_F(Peculiar, OneThatClosesItsSideAndThenLeavesTakesItsRequestWithIt) {
  one_that_is_ready();
  {
    const raw_connection client(port_);
    client.send(post_of(body_for("a", {{"gate", gate("never")}})));
    client.end_sending();
    EXPECT_TRUE(noted("a POST /v1/completions"));
    EXPECT_THAT(client.receive_some(), StartsWith("HTTP/1.1 100"));
    EXPECT_EQ(model("a").at("active"), 1);
    client.reset_when_closed();
  }
  EXPECT_TRUE(noted("a client gone"));
  EXPECT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
}

TEST_F(Peculiar, OneWhoLeavesAStreamThatIsSilentIsNoticedAtItsNextPiece) {
  one_that_is_ready();
  {
    const raw_connection client(port_);
    client.send(
        post_of(body_for("a", {{"stream", true}, {"events", 1000}, {"gates", gate("event")}})));
    std::string got;
    while (got.find("data: 0") == std::string::npos) got += client.receive_some();
  }
  for (int number = 1; number < 1000; ++number) open_gate(fmt::format("event{}", number));
  EXPECT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
  EXPECT_EQ(ask("a").status, 200);
}

// Old clients.

TEST_F(Peculiar, AnOldClientGetsAStreamThatEndsWithItsConnection) {
  one_that_is_ready();
  for (int number = 1; number < 3; ++number) open_gate(fmt::format("event{}", number));
  const std::string body =
      body_for("a", {{"stream", true}, {"events", 3}, {"gates", gate("event")}});
  const std::string all = answer_to(post_of(body, "", "1.0"));
  EXPECT_TRUE(all.ends_with("\r\n\r\ndata: 0\n\ndata: 1\n\ndata: 2\n\n")) << all;
  EXPECT_THAT(all, Not(HasSubstr("Transfer-Encoding")));
}

TEST_F(Peculiar, AnOldClientMayKeepItsConnection) {
  one_that_is_ready();
  const std::string request = post_of(body_for("a"), "Connection: keep-alive\r\n", "1.0");
  const std::string all = answer_to(request + post_of(body_for("a"), "", "1.0"));
  std::size_t found = 0;
  for (std::size_t at = 0; (at = all.find(" 200 OK", at)) != std::string::npos; ++at) ++found;
  EXPECT_EQ(found, 2U) << all;
}

// Bodies.

TEST_F(Peculiar, AnAnswerThatComesBeforeTheBodyWasReadIsPassedOn) {
  one_that_is_ready();
  const raw_connection client(port_);
  constexpr std::size_t length = std::size_t{64} << 20;
  client.send(
      fmt::format("POST /upstream/a/too-large HTTP/1.1\r\nHost: localhost\r\n"
                  "Content-Length: {}\r\n\r\n{}",
                  length, std::string(100000, 'x')));
  std::string got;
  while (got.find("too large") == std::string::npos) {
    const std::string more = client.receive_some();
    if (more.empty()) break;
    got += more;
  }
  EXPECT_THAT(got, StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(got, HasSubstr("too large"));
  try {
    client.send(std::string(100000, 'x'));  // it has not stopped yet
  } catch (const std::system_error&) {
  }
  EXPECT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Peculiar, OneWhoAsksBeforeAnUploadIsToldWhenTheModelIsThere) {
  one_that_is_ready();
  const raw_connection client(port_);
  client.send(
      "POST /upstream/a/upload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      "Content-Length: 5\r\n\r\n");
  EXPECT_THAT(client.receive_some(), StartsWith("HTTP/1.1 100"));
  client.send("hello");
  EXPECT_THAT(client.receive_some(), HasSubstr("\"bytes\": 5"));
}

TEST_F(Peculiar, FieldsAfterABodyEndThere) {
  one_that_is_ready();
  const std::string upload =
      "POST /upstream/a/upload HTTP/1.1\r\nHost: localhost\r\nTrailer: X-Sum\r\n"
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
  const std::string next = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  EXPECT_THAT(answer_to(upload + next), HasSubstr("\"status\":\"ok\""));
  open_gate("event1");
  const std::string body =
      body_for("a", {{"stream", true}, {"events", 2}, {"gates", gate("event")}, {"trailer", true}});
  const std::string all = answer_to(post_of(body) + next);
  EXPECT_THAT(all, HasSubstr("data: 1"));
  EXPECT_THAT(all, HasSubstr("\"status\":\"ok\""));
}

TEST_F(Peculiar, ABrokenBodyIsRefusedAndTheNextRequestToTheServerIsWhole) {
  one_that_is_ready();
  for (const char* const broken :
       {"zz\r\n", "5\r\nhelloXX\r\n0\r\n\r\n", "-1\r\n\r\n", "ffffffffffffffffff\r\n"}) {
    for (const char* const path : {"/upstream/a/upload", "/v1/completions"}) {
      const std::string all = answer_to(
          fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n{}",
                      path, broken));
      EXPECT_THAT(all, StartsWith("HTTP/1.1 400")) << path << " " << broken;
    }
  }
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
}

// Two that understand the same bytes otherwise.

TEST_F(Peculiar, WhereARequestEndsIsNeverAmbiguous) {
  one_that_is_ready();
  const int before = times("a POST");
  const std::string hidden = "POST /upstream/a/hidden HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string both = fmt::format("0\r\n\r\n{}", hidden);
  for (const std::string& fields :
       {fmt::format("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", both.size()),
        fmt::format("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", both.size()),
        fmt::format("Content-Length: 0\r\nContent-Length: {}\r\n", both.size()),
        std::string("Transfer-Encoding: xchunked\r\n"), std::string("Transfer-Encoding: gzip\r\n"),
        std::string("Transfer-Encoding: chunked, identity\r\n"),
        std::string("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        std::string("Transfer-Encoding : chunked\r\n"), std::string("Content-Length: +5\r\n"),
        std::string("Content-Length: 5x\r\n"), std::string("Content-Length: -1\r\n"),
        std::string("Content-Length: 99999999999999999999\r\n"),
        std::string("X: 1\rContent-Length: 5\r\n"), std::string("X\n y: 1\r\n"),
        std::string("Host: evil.example\r\n")}) {
    const std::string all = answer_to("POST /upstream/a/upload HTTP/1.1\r\nHost: localhost\r\n" +
                                      fields + "\r\n" + both);
    EXPECT_THAT(all, testing::AnyOf(StartsWith("HTTP/1.1 400"), StartsWith("HTTP/1.1 501")))
        << fields;
  }
  const std::string old =
      answer_to("POST /upstream/a/upload HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + both);
  EXPECT_THAT(old, StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(times("a POST"), before) << journal();
}

TEST_F(Peculiar, NamesPutNothingIntoHeaders) {
  models_ = "  \"a\\r\\nX-Evil: 1\":\n";
  add("b");
  models_.replace(models_.find("  b:\n"), 5, "");
  start();
  const answered answer = ask("a\r\nX-Evil: 1");
  EXPECT_EQ(answer.status, 200) << answer.raw;
  EXPECT_FALSE(answer.headers.count("X-Evil"));
  EXPECT_FALSE(answer.body.at("headers").contains("X-Evil"));
  const std::string all = answer_to(
      "GET /upstream/none%0d%0aX-Evil:%201/x HTTP/1.1\r\nHost: localhost\r\n"
      "Connection: close\r\n\r\n");
  EXPECT_THAT(all, StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(all, Not(HasSubstr("\r\nX-Evil")));
  EXPECT_EQ(get("/upstream/a%0d%0aX-Evil:%201/v1/x").status, 200);
  EXPECT_THAT(get("/metrics").raw, Not(HasSubstr("\nX-Evil")));
}

// Servers.

TEST_F(Peculiar, AConnectionThatTheServerClosesJustWhenItIsUsedAgainIsNoFailure) {
  one_that_is_ready();
  open_gate("once");
  EXPECT_EQ(ask("a", {{"hang_up", gate("once")}}).status, 200) << "it was asked again";
  EXPECT_EQ(times("a POST"), 3);
}

TEST_F(Peculiar, AServerThatHangsUpOnANewConnectionIsNotAskedTwice) {
  add("a");
  start();
  open_gate("once");
  const auto answer = ask("a", {{"hang_up", gate("once")}});
  EXPECT_EQ(answer.status, 502);
  EXPECT_THAT(answer.raw, HasSubstr("does not answer"));
  EXPECT_EQ(times("a POST"), 1);
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Peculiar, AnEndlessHeaderOfAServerEnds) {
  one_that_is_ready();
  const auto answer = ask("a", {{"endless_header", true}});
  EXPECT_EQ(answer.status, 502);
  EXPECT_TRUE(noted("a client gone"));
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(Peculiar, AnUpgradedConnectionKeepsItsModelFromSleeping) {
  add("a", {.keys = "ladder: [offload, stop]\nunloadTimeout: 200ms"});
  start();
  const std::string upgrade =
      "GET /upstream/a/v1/realtime HTTP/1.1\r\nHost: localhost\r\n"
      "Connection: Upgrade\r\nUpgrade: shout\r\n\r\n";
  {
    const raw_connection client(port_);
    client.send(upgrade);
    EXPECT_THAT(client.receive_some(), HasSubstr("101"));
    EXPECT_EQ(post("/sleep?model=a").status, 409);
    client.send("still");
    EXPECT_EQ(client.receive_some(), "STILL");
    client.end_sending();
    EXPECT_EQ(client.receive_all(), "") << "its end is passed on";
  }
  ASSERT_TRUE(eventually([&] { return model("a").at("active") == 0; }));
  EXPECT_EQ(post("/sleep?model=a").status, 200);
  const raw_connection again(port_);
  again.send(upgrade);
  EXPECT_THAT(again.receive_some(), HasSubstr("101")) << "it was woken for it";
  EXPECT_EQ(times("a POST /wake_up"), 1);
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  EXPECT_EQ(again.receive_all(), "") << "an unload ends it";
}

}  // namespace
