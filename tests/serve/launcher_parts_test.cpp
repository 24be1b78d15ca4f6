// What a request for an instance says, and what is made of it.

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launcher_events.hpp"
#include "launcher_log.hpp"
#include "launcher_request.hpp"
#include "support/scratch_folder.hpp"

namespace lull::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class Call>
std::string complaint(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& wrong) {
    return wrong.what();
  }
  return "";
}

std::string complaint_about(const std::string& body) {
  return complaint([&] { static_cast<void>(parse_instance(body)); });
}

TEST(LauncherRequest, HasOptionsAndPerhapsTheRest) {
  const instance_request least = parse_instance(R"({"options": "--model a", "unknown": 1})");
  EXPECT_EQ(least.options, "--model a");
  EXPECT_TRUE(least.gpu_uuids.empty());
  const instance_request all = parse_instance(
      R"({"options": "", "gpu_uuids": ["GPU-1", "GPU-0"], "env_vars": {"A": "b"},
          "annotations": {"isc-name": "x"}})");
  EXPECT_THAT(all.gpu_uuids, ElementsAre("GPU-1", "GPU-0"));
  EXPECT_EQ(all.env_vars.at("A"), "b");
  EXPECT_EQ(all.annotations.at("isc-name"), "x");
  EXPECT_TRUE(parse_instance(R"({"options": "", "gpu_uuids": null})").gpu_uuids.empty());
}

TEST(LauncherRequest, OfAWrongTypeSaysWhatWouldBeRight) {
  EXPECT_THAT(complaint_about("{"), HasSubstr("no JSON"));
  EXPECT_THAT(complaint_about("[]"), HasSubstr("an object with 'options'"));
  EXPECT_THAT(complaint_about("{}"), HasSubstr("'options' is missing"));
  EXPECT_THAT(complaint_about(R"({"options": 1})"), HasSubstr("'options' is to be a string"));
  EXPECT_THAT(complaint_about(R"({"options": "a\u0000b"})"), HasSubstr("a byte 0"));
  EXPECT_THAT(complaint_about(R"({"options": "", "gpu_uuids": "GPU-1"})"), HasSubstr("a list"));
  EXPECT_THAT(complaint_about(R"({"options": "", "gpu_uuids": [1]})"), HasSubstr("a string"));
  EXPECT_THAT(complaint_about(R"({"options": "", "gpu_uuids": ["a", "a"]})"), HasSubstr("twice"));
  EXPECT_THAT(complaint_about(R"({"options": "", "env_vars": {"A": 1}})"),
              HasSubstr("'env_vars.A' is to be a string"));
  EXPECT_THAT(complaint_about(R"({"options": "", "env_vars": {"A=B": "1"}})"),
              HasSubstr("'A=B' is no name"));
  EXPECT_THAT(complaint_about(R"({"options": "", "annotations": ["a"]})"), HasSubstr("an object"));
}

TEST(LauncherRequest, OptionsKeepTheQuotesThatAreInsideAWord) {
  EXPECT_THAT(split_options("  --model a\t--json {\"a\":1}\n"),
              ElementsAre("--model", "a", "--json", "{\"a\":1}"));
  EXPECT_THAT(split_options("--json '{\"a\": 1}' \"\" \"it's\""),
              ElementsAre("--json", "{\"a\": 1}", "", "it's"));
  EXPECT_THAT(split_options(" "), ElementsAre());
  EXPECT_THAT(complaint([] { static_cast<void>(split_options("--a 'b")); }),
              HasSubstr("the quote ' at its byte 4 is not closed"));
  EXPECT_THAT(complaint([] { static_cast<void>(split_options("'a'b")); }), HasSubstr("no blank"));
}

TEST(LauncherRequest, ThePortIsTakenOutAndTheLastOneCounts) {
  const auto take = [](const char* text) { return take_port(split_options(text)); };
  EXPECT_EQ(take("--model a").port, 8000);
  const served_options some = take("--port 1 --model a --host 0.0.0.0 --port=2 --host=::");
  EXPECT_EQ(some.port, 2);
  EXPECT_THAT(some.words, ElementsAre("--model", "a"));
  EXPECT_THAT(take("--portable 1").words, ElementsAre("--portable", "1"));
  for (const char* const wrong : {"--port", "--port 0", "--port 65536", "--port=x", "--host"}) {
    EXPECT_NE(complaint([&] { static_cast<void>(take(wrong)); }), "") << wrong;
  }
}

TEST(LauncherRequest, AnIdIsOnePartOfAPath) {
  check_instance_id("I0af_-x.~:i");
  for (const char* const wrong : {"", ".", "..", "a/b", "a b", "watch", "\xc3\xa4"}) {
    EXPECT_NE(complaint([&] { check_instance_id(wrong); }), "") << wrong;
  }
  EXPECT_NE(complaint([] { check_instance_id(std::string(201, 'a')); }), "");
}

TEST(LauncherRequest, AServerIsMadeOfItsTemplate) {
  model_config like;
  like.command = {"server", "${options}", "--port", "${PORT}", "--name=${MODEL_ID}"};
  like.environment = {"PORT_OF=${PORT}"};
  like.check_path = "/${MODEL_ID}/health";
  const model_config made =
      make_instance(like, "id", {"", {}, {{"A", "b"}}, {}}, {"--model", "${PORT}"}, 7);
  EXPECT_THAT(made.command,
              ElementsAre("server", "--model", "${PORT}", "--port", "7", "--name=id"));
  EXPECT_THAT(made.environment, ElementsAre("PORT_OF=7", "A=b"));
  EXPECT_EQ(made.check_path, "/id/health");
  EXPECT_EQ(made.upstream.text(), "127.0.0.1:7");
  EXPECT_EQ(made.name, "id");
}

TEST(LauncherRequest, AnUnknownGpuIsRefusedWithThoseThatThereAre) {
  EXPECT_THAT(complaint([] { static_cast<void>(find_by_uuid({}, {"GPU-1"})); }),
              HasSubstr("there is no GPU 'GPU-1'"));
  EXPECT_TRUE(find_by_uuid({}, {}).empty());
}

TEST(LauncherLog, GivesRangesOfWhatWasWritten) {
  const test::scratch_folder folder;
  launcher_log log(folder.path());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "nothing can be left of it";
  EXPECT_EQ(log.read({0, {}}), "");
  log.add("0123456789");
  log.add("abc");
  EXPECT_EQ(log.total_bytes(), 13U);
  EXPECT_EQ(log.read({0, {}}), "0123456789abc");
  EXPECT_EQ(log.read({8, 10}), "89a");
  EXPECT_EQ(log.read({12, 99}), "c");
  EXPECT_EQ(log.read({13, {}}), "");
}

TEST(LauncherLog, GivesUpTheBeginningOfALongOne) {
  const test::scratch_folder folder;
  launcher_log log(folder.path(), 1 << 20);
  std::string piece(64 << 10, 'x');
  for (char letter = 'a'; letter <= 'z'; ++letter) log.add(std::string(piece.size(), letter));
  EXPECT_EQ(log.total_bytes(), 26U * piece.size());
  EXPECT_GT(log.first_byte(), 0U);
  EXPECT_LE(log.total_bytes() - log.first_byte(), (1U << 20) + (1U << 18));
  EXPECT_EQ(log.read({0, {}}), "");
  const std::string rest = log.read({log.first_byte(), {}});
  EXPECT_EQ(rest.size(), launcher_log::answer_bytes) << "one answer's worth";
  EXPECT_EQ(log.read({log.total_bytes() - 1, {}}), "z");
}

TEST(LauncherLog, ReadsTheHeadersThatTheOriginalReads) {
  EXPECT_EQ(parse_range("bytes=3-5").first, 3U);
  EXPECT_EQ(parse_range("bytes=3-5").last, 5U);
  EXPECT_EQ(parse_range("bytes=3-").last, std::nullopt);
  for (const char* const wrong :
       {"", "bytes=", "bytes=-5", "bytes=5-3", "bytes=a-", "bytes=1-2,4-5", "lines=1-2", "bytes=1",
        "bytes=99999999999999999999-"}) {
    EXPECT_NE(complaint([&] { static_cast<void>(parse_range(wrong)); }), "") << wrong;
  }
}

/// A client who reads all.
class reading_stream : public stream {
 public:
  bool send(std::string_view text) override {
    text_ += text;
    return true;
  }
  void on_end(std::function<void()> told) override { told_ = std::move(told); }
  void end() { told_(); }
  [[nodiscard]] std::size_t lines() const {
    return static_cast<std::size_t>(std::count(text_.begin(), text_.end(), '\n'));
  }

 private:
  std::string text_;
  std::function<void()> told_;
};

TEST(LauncherEvents, SomeAreKeptForThoseWhoComeBack) {
  launcher_events events;
  const auto publish = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      events.publish("CREATED", {{"revision", events.next_revision()}});
    }
  };
  EXPECT_TRUE(events.reaches(0));
  EXPECT_FALSE(events.reaches(1)) << "that is still to come";
  publish(launcher_events::kept);
  EXPECT_TRUE(events.reaches(0));
  const auto early = std::make_shared<reading_stream>();
  events.watch(early, 0, {});
  EXPECT_EQ(early->lines(), launcher_events::kept);
  publish(1);
  EXPECT_EQ(early->lines(), launcher_events::kept + 1);
  EXPECT_FALSE(events.reaches(0)) << "the first is gone";
  EXPECT_TRUE(events.reaches(1));
  const auto late = std::make_shared<reading_stream>();
  events.watch(late, events.revision(), {});
  EXPECT_EQ(late->lines(), 0U);
  early->end();
  publish(2);
  EXPECT_EQ(early->lines(), launcher_events::kept + 1) << "it has gone";
  EXPECT_EQ(late->lines(), 2U);
  EXPECT_FALSE(events.reaches(-1));
}

}  // namespace
}  // namespace lull::serve
