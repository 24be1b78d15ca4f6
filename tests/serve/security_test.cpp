// Who is kept out, and what nobody may take too much of.

#include "serve/router_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using lull::test::router_test;
using testing::HasSubstr;
using testing::Not;

class Security : public router_test {};

TEST_F(Security, ChangesNeedTheTokenAndRequestsForModelsDoNot) {
  add("a");
  set("token: \"long-enough-secret\"");
  start();
  EXPECT_EQ(ask("a").status, 200);
  for (const char* const path : {"/models/unload", "/sleep?model=a", "/wake_up?model=a", "/unload",
                                 "/api/models/unload", "/ui/models/a/stop", "/upstream/a/sleep"}) {
    EXPECT_EQ(post(path, R"({"model":"a"})").status, 401) << path;
  }
  EXPECT_EQ(get("/unload").status, 401);
  EXPECT_EQ(get("/logs").status, 401);
  EXPECT_EQ(state_of("a"), "ready");
  EXPECT_EQ(
      post("/models/unload", R"({"model":"a"})", {{"Authorization", "Bearer long-enough-secret"}})
          .status,
      200);
  EXPECT_EQ(state_of("a"), "stopped");
}

TEST_F(Security, APathThatIsWrittenOtherwiseIsNoWayAroundTheToken) {
  add("a", {.keys = "ladder: [offload, stop]"});
  set("token: \"long-enough-secret\"");
  start();
  ASSERT_EQ(ask("a").status, 200);
  for (const char* const path :
       {"/upstream/a/%73leep", "/upstream/a//sleep", "/upstream/a/./sleep",
        "/upstream/a/x/../sleep", "/upstream/a/%2E/sleep", "/upstream/%61/sleep",
        "/%73leep?model=a", "//sleep?model=a", "/v1/../sleep?model=a", "/models/unloa%64",
        "/ui/models/%61/stop"}) {
    EXPECT_EQ(post(path, R"({"model":"a"})").status, 401) << path;
  }
  EXPECT_NE(post("/%75pstream/a/sleep").status, 200);
  EXPECT_EQ(times("a POST /sleep"), 0);
  EXPECT_EQ(state_of("a"), "ready");
  EXPECT_EQ(get("/upstream/a/v1%2Fx?y=%20").body.at("path"), "/v1%2Fx?y=%20")
      << "and what is sent on is as it came";
}

TEST_F(Security, BeyondThisMachineATokenIsRequired) {
  add("a");
  write_config();
  lull::process_options how;
  how.arguments = {LULL_SERVE, "--config", config_.string(), "--listen", "0.0.0.0:0"};
  how.output = how.errors = lull::child_stream::null;
  lull::process refused(how);
  const auto ended = refused.wait(lull::steady_clock().deadline_in(10s));
  ASSERT_TRUE(ended);
  EXPECT_NE(ended->value, 0);
}

TEST_F(Security, PagesOfOtherSitesAreTurnedAway) {
  add("a");
  start();
  EXPECT_EQ(post("/models/load", R"({"model":"a"})", {{"Origin", "http://evil.example"}}).status,
            403);
  EXPECT_EQ(post("/v1/completions", body_for("a"), {{"Origin", "http://evil.example"}}).status,
            403);
  httplib::Client client = connect();
  const auto rebound = client.Get("/ui/state", {{"Host", "evil.example"}});
  EXPECT_EQ(rebound->status, 403);
  const auto image = client.Get("/unload", {{"Sec-Fetch-Site", "cross-site"}});
  EXPECT_EQ(image->status, 403);
}

TEST_F(Security, HeadersAndBodiesHaveAnEnd) {
  add("a");
  set("limits: {header_size: 4KiB, body_size: 64KiB}");
  start();
  raw_connection long_header(port_);
  long_header.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(6000, 'x') +
                   "\r\n\r\n");
  EXPECT_THAT(long_header.receive_all(), HasSubstr("431"));
  const auto endless = post("/v1/completions", "{\"x\":\"" + std::string(200000, 'x') + "\"}");
  EXPECT_EQ(endless.status, 413);
  raw_connection nonsense(port_);
  nonsense.send("\x16\x03\x01 this is no HTTP\r\n\r\n");
  EXPECT_THAT(nonsense.receive_all(), HasSubstr("400"));
  EXPECT_EQ(get("/health").status, 200);
}

TEST_F(Security, OneWhoSendsNoHeaderInTimeIsDisconnected) {
  add("a");
  set("limits: {header_time: 200ms}");
  start();
  raw_connection slow(port_);
  slow.send("GET /health HTTP/1.1\r\nHo");
  EXPECT_EQ(slow.receive_all(), "");
}

TEST_F(Security, NoMoreThanSoManyAreConnected) {
  add("a");
  set("limits: {connections: 2}");
  start();
  const raw_connection first(port_);
  first.send("GET /ui/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_FALSE(first.receive_some().empty());
  {
    const raw_connection second(port_);
    second.send("GET /ui/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_FALSE(second.receive_some().empty());
    const raw_connection third(port_);
    EXPECT_THAT(third.receive_all(), HasSubstr("503"));
  }
  EXPECT_TRUE(eventually([&] { return get("/health").status == 200; }));
}

}  // namespace
