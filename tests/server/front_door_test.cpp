// The front door by itself: what clients can do to it, and to each other.

#include "http/front_door.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raw_connection.hpp"
#include "support/eventually.hpp"
#include "support/rss.hpp"

namespace {

using namespace std::chrono_literals;
using lull::test::eventually;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

/// Answers GET at once, and keeps the replies to all else.
class FrontDoor : public testing::Test {
 protected:
  ~FrontDoor() override { stop(); }

  void start(http::front_door_options options = {}) {
    door_.emplace(
        std::move(options),
        [this](http::request&& asked, http::reply&& to) {
          if (asked.method == "GET" || asked.method == "HEAD") {
            to.send({.type = "text/plain", .body = "here"});
          } else {
            const std::lock_guard lock(mutex_);
            kept_.push_back(std::move(to));
          }
        },
        [](int status, const std::string& reason) {
          return http::answer{.status = status, .body = reason};
        });
    thread_ = std::jthread([this](const std::stop_token& stopped) { door_->run(stopped); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }
  raw_connection connect() const { return raw_connection(door_->port()); }
  std::string get() const {
    const auto connection = connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    return connection.receive_all();
  }
  std::size_t kept() {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }
  /// A connection whose request has been handed over and not answered yet.
  raw_connection connect_and_post() {
    const std::size_t before = kept();
    auto connection = connect();
    connection.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return kept() > before; }));
    return connection;
  }

  std::mutex mutex_;
  std::deque<http::reply> kept_;
  std::optional<http::front_door> door_;
  std::jthread thread_;
};

TEST_F(FrontDoor, AnswersAtOnce) {
  start();
  EXPECT_TRUE(door_->is_loopback());
  EXPECT_THAT(get(), testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\nhere")));
  const auto connection = connect();
  connection.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(connection.receive_all(),
              testing::AllOf(HasSubstr("Content-Length: 4\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(FrontDoor, AnswersLaterFromAnotherThread) {
  start();
  const auto connection = connect_and_post();
  kept_.front().send({.status = 503, .body = "later"});
  EXPECT_THAT(connection.receive_all(),
              testing::AllOf(StartsWith("HTTP/1.1 503 "), EndsWith("\r\n\r\nlater")));
}

TEST_F(FrontDoor, AnswersInPieces) {
  start();
  const auto connection = connect_and_post();
  kept_.front().begin("text/plain");
  kept_.front().write("one ");
  kept_.front().write("");
  kept_.front().write("two");
  kept_.front().end();
  EXPECT_THAT(connection.receive_all(), EndsWith("\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"));
}

TEST_F(FrontDoor, AReplyThatIsForgottenClosesTheConnection) {
  start();
  const auto connection = connect_and_post();
  kept_.clear();
  EXPECT_EQ(connection.receive_all(), "");
}

TEST_F(FrontDoor, AClientThatLeavesIsNoticed) {
  start();
  {
    const auto connection = connect_and_post();
    EXPECT_FALSE(kept_.front().unwanted().stop_requested());
  }
  const auto left_at = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([this] { return kept_.front().unwanted().stop_requested(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - left_at, 250ms);
  kept_.front().send({.body = "into the void"});
  EXPECT_THAT(get(), EndsWith("here"));
}

TEST_F(FrontDoor, AHeaderWithoutEndIsCutOff) {
  start();
  const std::uint64_t before = lull::test::resident_bytes();
  const auto connection = connect();
  connection.send("GET / HTTP/1.1\r\nA: ");
  const std::string part(std::size_t{1} << 20, 'x');
  try {
    for (int i = 0; i < 64; ++i) connection.send(part);
  } catch (
      const std::system_error&) {  // NOLINT(bugprone-empty-catch): it was cut off, as it should
  }
  EXPECT_THAT(connection.receive_all(), StartsWith("HTTP/1.1 431 "));
  EXPECT_LT(lull::test::resident_bytes(), before + (std::uint64_t{32} << 20));
}

TEST_F(FrontDoor, HeadersThatTrickleAreGivenUp) {
  http::front_door_options options;
  options.head_limit = 100ms;
  start(options);
  const auto connection = connect();
  connection.send("GET / HTTP/1.1\r\n");
  EXPECT_THAT(connection.receive_all(), StartsWith("HTTP/1.1 408 "));
}

TEST_F(FrontDoor, ABodyThatTricklesIsGivenUp) {
  http::front_door_options options;
  options.request_limit = 100ms;
  start(options);
  const auto connection = connect();
  connection.send("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{");
  EXPECT_THAT(connection.receive_all(), StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(kept(), 0u);
}

TEST_F(FrontDoor, ClientsThatTrickleDoNotKeepOthersOut) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  http::front_door_options options;
  options.most_connections = 500;
  start(options);
  std::vector<raw_connection> crowd;
  for (int i = 0; i < 530; ++i) {
    crowd.push_back(connect());
    crowd.back().send("GET / HT");
  }
  const auto asked_at = std::chrono::steady_clock::now();
  EXPECT_THAT(get(), EndsWith("here"));
  EXPECT_LT(std::chrono::steady_clock::now() - asked_at, 1s);
}

TEST_F(FrontDoor, AClientThatTakesNothingCostsNoThread) {
  http::front_door_options options;
  options.send_limit = 200ms;
  start(options);
  const auto connection = connect_and_post();
  kept_.front().begin("text/plain");
  const std::string piece(std::size_t{1} << 20, 'x');
  for (int i = 0; i < 16; ++i) kept_.front().write(piece);
  EXPECT_THAT(get(), EndsWith("here"));
  EXPECT_TRUE(eventually([this] { return kept_.front().unwanted().stop_requested(); }));
}

TEST_F(FrontDoor, AClientWithALargeBodyIsToldToGoOn) {
  start();
  const auto connection = connect();
  connection.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_THAT(connection.receive_some(), StartsWith("HTTP/1.1 100 Continue\r\n\r\n"));
  connection.send("{}");
  EXPECT_TRUE(eventually([this] { return kept() == 1; }));
}

TEST_F(FrontDoor, WhatIsTooLargeIsRefusedBeforeItComes) {
  start();
  const auto connection = connect();
  connection.send("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + std::string(100000, 'x'));
  EXPECT_THAT(connection.receive_all(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(FrontDoor, AStopLetsAnswersThatAreReadyThrough) {
  start();
  const auto connection = connect_and_post();
  std::stop_callback answer(kept_.front().unwanted(),
                            [this] { kept_.front().send({.status = 503, .body = "stopping"}); });
  stop();
  EXPECT_THAT(connection.receive_all(), EndsWith("stopping"));
}

TEST_F(FrontDoor, AStopDoesNotWaitForThoseWithoutAnAnswer) {
  start();
  const auto connection = connect_and_post();
  const auto stopped_at = std::chrono::steady_clock::now();
  stop();
  EXPECT_LT(std::chrono::steady_clock::now() - stopped_at, 5s);
  EXPECT_EQ(connection.receive_all(), "");
  kept_.front().send({.body = "too late"});
}

TEST_F(FrontDoor, APortThatIsTakenIsAnError) {
  start();
  http::front_door_options taken;
  taken.port = door_->port();
  EXPECT_THROW(http::front_door(taken, {}, {}), std::system_error);
  taken.host = "no such host.invalid";
  EXPECT_THROW(http::front_door(taken, {}, {}), std::runtime_error);
}

TEST_F(FrontDoor, KnowsWhetherOthersCanConnect) {
  http::front_door_options options;
  options.host = "0.0.0.0";
  EXPECT_FALSE(http::front_door(options, {}, {}).is_loopback());
  options.host = "localhost";
  EXPECT_TRUE(http::front_door(options, {}, {}).is_loopback());
}

TEST_F(FrontDoor, EmptiesOutAndWhoComesMeanwhileWaitsInTheQueue) {
  start();
  EXPECT_THAT(get(), EndsWith("here"));
  {
    const auto lingering = connect_and_post();
    int asked = 0;
    EXPECT_FALSE(door_->empty_out([&] { return ++asked > 5; })) << "it has no answer yet";
    EXPECT_THAT(get(), EndsWith("here")) << "all is as before";
  }
  ASSERT_TRUE(door_->empty_out([] { return false; }));
  const auto early = connect();
  early.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

  // The next program with the same socket.
  const int handed_over = ::fcntl(door_->listener(), F_DUPFD_CLOEXEC, 0);
  const int port = door_->port();
  stop();
  start({.listener = handed_over});
  EXPECT_EQ(door_->port(), port);
  EXPECT_TRUE(door_->is_loopback());
  EXPECT_THAT(early.receive_all(), EndsWith("here"));
}

TEST_F(FrontDoor, OpensAgain) {
  start();
  ASSERT_TRUE(door_->empty_out([] { return false; }));
  const auto early = connect();
  early.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  door_->open_again();
  EXPECT_THAT(early.receive_all(), EndsWith("here"));
}

}  // namespace
