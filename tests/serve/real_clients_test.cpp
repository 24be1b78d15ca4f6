// Clients that people have: curl, promtool.

#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "gguf/writer.hpp"
#include "serve/exposition.hpp"
#include "serve/router_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// What a command writes, and how it ended.
struct ran {
  std::string output;
  int status = -1;
};
ran run(const std::string& command) {
  ran result;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> text{};
  while (const std::size_t count = std::fread(text.data(), 1, text.size(), pipe)) {
    result.output.append(text.data(), count);
  }
  const int ended = ::pclose(pipe);
  result.status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
  return result;
}

bool is_installed(const std::string& program) {
  return run("command -v " + program).status == 0;
}

class RealClients : public router_test {
 protected:
  [[nodiscard]] std::string curl(const std::string& options, const std::string& path) const {
    return fmt::format("curl -sS --max-time 60 {} http://127.0.0.1:{}{}", options, port_, path);
  }
};

TEST_F(RealClients, CurlGetsAStreamPieceByPiece) {
  if (!is_installed("curl")) GTEST_SKIP() << "no curl here";
  add("a");
  start();
  for (int i = 1; i < 3; ++i) open_gate("step" + std::to_string(i));
  const json body{{"model", "a"}, {"stream", true}, {"gates", gate("step")}};
  const ran got = run(curl("-N -H 'Content-Type: application/json' -d '" + body.dump() + "'",
                           "/v1/chat/completions"));
  EXPECT_EQ(got.status, 0);
  EXPECT_EQ(got.output, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
}

TEST_F(RealClients, TheHeaderComesBeforeTheFirstPiece) {
  add("a");
  start();
  bool has_header = false;
  httplib::Request asked;
  asked.method = "POST";
  asked.path = "/v1/chat/completions";
  asked.set_header("Content-Type", "application/json");
  asked.body = body_for("a", {{"stream", true}, {"header_first", true}, {"gates", gate("step")}});
  asked.response_handler = [&](const httplib::Response& answer) {
    has_header = answer.status == 200;
    for (int i = 0; i < 3; ++i) open_gate("step" + std::to_string(i));
    return true;
  };
  std::string text;
  asked.content_receiver = [&](const char* bytes, std::size_t count, std::uint64_t, std::uint64_t) {
    text.append(bytes, count);
    return true;
  };
  httplib::Client client = connect();
  client.set_read_timeout(std::chrono::seconds{20});
  EXPECT_TRUE(client.send(asked));
  EXPECT_TRUE(has_header);
  EXPECT_EQ(text, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
}

TEST_F(RealClients, CurlUploadsAFileAsAFormAndAsItIs) {
  if (!is_installed("curl")) GTEST_SKIP() << "no curl here";
  add("a");
  start();
  const std::string path = (scratch_.path() / "upload").string();
  std::ofstream(path) << std::string(3 << 20, 'x');
  const std::string sum = run("sha256sum " + path).output.substr(0, 64);
  // Chunked, and with "Expect: 100-continue", as curl sends what is large.
  const ran chunked =
      run(curl("-T " + path + " -X POST -H 'Transfer-Encoding: chunked'", "/upstream/a/upload"));
  EXPECT_THAT(chunked.output, HasSubstr(sum));
  const ran form = run(curl("-F model=a -F file=@" + path, "/v1/audio/transcriptions"));
  EXPECT_THAT(form.output, HasSubstr("\"name\": \"a\""));
  EXPECT_EQ(form.status, 0);
}

/// Pages for Prometheus, of the router and of the example server.
class Metrics : public RealClients {
 protected:
  /// A model in each state that lasts, and one whose name has to be escaped.
  void models_in_all_states() {
    add("ready");
    add("asleep", {.keys = "sleep: routes"});
    add("stopped");
    add("starting", {.options = "--ready-when " + gate("never")});
    add(R"('o"d\d')", {.keys = "cmd: /bin/false"});
    start();
    ASSERT_EQ(ask("ready").status, 200);
    ASSERT_EQ(ask("asleep").status, 200);
    ASSERT_EQ(post("/sleep?model=asleep").status, 200);
    ASSERT_EQ(ask(R"(o"d\d)").status, 502);
    ASSERT_EQ(post("/models/load", R"({"model":"starting"})").status, 200);
    for (const char* const state : {"ready", "asleep", "stopped", "starting"}) {
      ASSERT_TRUE(becomes(state, state));
    }
    ASSERT_EQ(state_of(R"(o"d\d)"), "failed");
  }
  void example_server() {
    const std::string file = (scratch_.path() / "model.gguf").string();
    gguf::write_model(file, {.total_bytes = std::uint64_t{4} << 20, .blocks = 2});
    given_model what;
    what.keys = fmt::format(
        "cmd: {} --model e={} --device HOST --port {} --kv-size 0 --offload-dir {}\nladder: "
        "discard",
        LULL_EXAMPLE_SERVER, file, what.port, scratch_.path().string());
    add("e", what);
    start();
    ASSERT_EQ(post("/completion", R"({"model":"e","prompt":"x","n_predict":1})").status, 200);
  }
  /// @return what it says, less what is known: one name is vLLM's, and has a colon
  [[nodiscard]] std::vector<std::string> promtool_remarks(const std::string& page) const {
    const std::string path = (scratch_.path() / "metrics").string();
    std::ofstream(path) << page;
    const ran checked = run("promtool check metrics < " + path);
    std::vector<std::string> remarks;
    std::istringstream lines(checked.output);
    for (std::string line; std::getline(lines, line);) {
      if (line != "vllm:engine_sleep_state metric names should not contain ':'") {
        remarks.push_back(line);
      }
    }
    constexpr int remarked = 3;
    if (checked.status != 0 && checked.status != remarked) {
      remarks.push_back("status " + std::to_string(checked.status));
    }
    return remarks;
  }
};

TEST_F(Metrics, OfTheRouterAreAsPrometheusWantsThem) {
  ASSERT_NO_FATAL_FAILURE(models_in_all_states());
  const std::string page = get("/metrics").raw;
  EXPECT_THAT(page, HasSubstr("lull_time_to_first_byte_seconds_bucket"));
  EXPECT_THAT(page, HasSubstr(R"(lull_model_state{model="o\"d\\d",state="failed"} 1)"));
  EXPECT_THAT(exposition_mistakes(page), IsEmpty());
}

TEST_F(Metrics, OfTheExampleServerAreAsPrometheusWantsThem) {
  ASSERT_NO_FATAL_FAILURE(example_server());
  EXPECT_THAT(exposition_mistakes(get("/upstream/e/metrics").raw), IsEmpty());
  ASSERT_EQ(post("/sleep?model=e&level=discard").status, 200);
  EXPECT_EQ(get("/upstream/e/metrics").status, 200);
}

TEST_F(Metrics, PromtoolHasNothingToSay) {
  if (!is_installed("promtool")) {
    GTEST_SKIP() << "no promtool here (Debian: prometheus); our own reader checks all the same";
  }
  ASSERT_NO_FATAL_FAILURE(models_in_all_states());
  EXPECT_THAT(promtool_remarks(get("/metrics").raw), IsEmpty());
  EXPECT_THAT(promtool_remarks("wrong\n"), Not(IsEmpty()));
}

TEST_F(Metrics, PromtoolHasNothingToSayOfTheExampleServer) {
  if (!is_installed("promtool")) GTEST_SKIP() << "no promtool here (Debian: prometheus)";
  ASSERT_NO_FATAL_FAILURE(example_server());
  EXPECT_THAT(promtool_remarks(get("/upstream/e/metrics").raw), IsEmpty());
}

TEST(Exposition, IsReadStrictly) {
  const std::string head = "# HELP a_total Some.\n# TYPE a_total counter\n";
  EXPECT_THAT(exposition_mistakes(head + "a_total{x=\"1\\n\"} 5\n"), IsEmpty());
  for (const char* const wrong :
       {"a_total 5", "a_total{x=\"1\" 5\n", "a_total{x=1} 5\n", "a_total -1\n", "b 5\n",
        "a_total 5\na_total 6\n", "a_total five\n", "# TYPE a_total gauge\n", "\n"}) {
    EXPECT_FALSE(exposition_mistakes(head + wrong).empty()) << wrong;
  }
  const std::string histogram = "# HELP h Some.\n# TYPE h histogram\n";
  EXPECT_THAT(exposition_mistakes(histogram + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
                                              "h_sum 3\nh_count 2\n"),
              IsEmpty());
  EXPECT_FALSE(exposition_mistakes(histogram + "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\n"
                                               "h_sum 3\nh_count 2\n")
                   .empty());
}

}  // namespace
}  // namespace lull::test
