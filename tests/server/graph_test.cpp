// The completions of the example server, through its captured graphs.

#include <lull/bytes.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/metrics.hpp"
#include "server_fixture.hpp"
#include "stand_in/graph_runner.hpp"

namespace {

using namespace lull::literals;
using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;

class ServerGraphs : public server_test {
 protected:
  static example::server_options with(const lull::graph_limits& limits) {
    example::server_options options;
    options.graphs = limits;
    return options;
  }
  /// For tests of many requests, each of which reads the whole model.
  void make_model_small() { gguf::write_model(model_, {.total_bytes = 1_MiB, .blocks = 2}); }
  lull::graph_cache_stats stats() { return server_->model().engine().graphs().stats(); }
  std::string metrics() { return client().Get("/metrics")->body; }
};

TEST_F(ServerGraphs, ASecondPromptOfTheSameLengthIsAHit) {
  start(with({}));
  const std::string first = answer("same");
  EXPECT_EQ(stats().captures, 1U);
  EXPECT_EQ(stats().hits, 0U);
  EXPECT_EQ(answer("same"), first);
  EXPECT_EQ(stats().captures, 1U);
  EXPECT_EQ(stats().hits, 1U);
  EXPECT_NE(answer("Same"), first) << "the graph is the same, its input is not";
  EXPECT_EQ(stats().hits, 2U);
  answer(std::string(17, 'x'));
  EXPECT_EQ(stats().captures, 2U) << "longer than the bucket";
  EXPECT_EQ(stats().handles, 0U);
}

TEST_F(ServerGraphs, AnswersAreThoseWithoutGraphs) {
  const std::vector<std::string> prompts{"", "one", std::string(300, 'y'),
                                         std::string(100000, 'z')};
  std::vector<std::string> with_graphs;
  start(with({}));
  for (const std::string& prompt : prompts) with_graphs.push_back(answer(prompt));
  EXPECT_EQ(stats().captures, 3U) << "the first two share a bucket";
  stop();

  start(with({.bytes = 4096}));  // below the smallest graph
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(answer(prompts[i]), with_graphs[i]) << prompts[i].size();
  }
  EXPECT_EQ(stats().captures, 0U);
  EXPECT_EQ(stats().rejected, prompts.size());
}

TEST_F(ServerGraphs, BoundsHoldUnderManyPrompts) {
  constexpr std::uint64_t most_entries = 4;
  constexpr std::uint64_t most_bytes = 24_MiB;
  make_model_small();
  start(with({.entries = most_entries, .bytes = most_bytes}));
  std::set<std::string> answers;
  for (int i = 0; i < 200; ++i) {
    // Lengths from 10 to some 5000 bytes, in no order, so that all buckets take turns.
    answers.insert(answer(fmt::format("{:>{}}", i, 10 + i * 2477 % 5000)));
    EXPECT_LE(stats().entries, most_entries);
    EXPECT_LE(stats().bytes, most_bytes);
  }
  EXPECT_EQ(answers.size(), 200U);
  EXPECT_LE(stats().peak_entries, most_entries);
  EXPECT_LE(stats().peak_bytes, most_bytes);
  EXPECT_GT(stats().captures, 9U) << "there are more buckets than entries";
  EXPECT_GT(stats().evicted(lull::graph_eviction::entries), 0U);
  EXPECT_GT(stats().evicted(lull::graph_eviction::bytes), 0U);
}

TEST_F(ServerGraphs, ClientsAtOnceGetTheSameAnswers) {
  make_model_small();
  start(with({}));
  std::vector<std::string> expected;
  const auto prompt = [](int i) { return std::string(static_cast<std::size_t>(1 << i), 'p'); };
  constexpr int lengths = 8;
  for (int i = 0; i < lengths; ++i) expected.push_back(answer(prompt(i)));
  stop();

  start(with({.entries = 3}));
  std::vector<std::jthread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      auto own = connect();
      for (int round = 0; round < 25; ++round) {
        const int which = (round + client) % lengths;
        const auto result =
            post(own, "/completion", {{"prompt", prompt(which)}, {"n_predict", 12}});
        ASSERT_TRUE(result);
        EXPECT_EQ(json::parse(result->body).at("content"),
                  expected[static_cast<std::size_t>(which)]);
      }
    });
  }
  clients.clear();
  EXPECT_LE(stats().peak_entries, 3U);
  EXPECT_EQ(seen().leases, 0U);
}

TEST_F(ServerGraphs, ASleepReturnsTheirMemory) {
  start(with({}));
  const std::string before = answer(std::string(5000, 'x'));
  EXPECT_EQ(stats().bytes, 16_MiB);
  const std::uint64_t resident = example::resident_bytes();
  const auto slept = post(client(), "/sleep", json::object());
  ASSERT_EQ(slept->status, 200) << slept->body;
  EXPECT_EQ(registry_.find("HOST").memory().used_by_process_bytes, 0U);
  // 8 MiB of weights, 1 MiB of KV cache, and the graph. Threads that come and go meanwhile have
  // memory too, and the thread sanitizer some of its own, so that half of it must do.
  EXPECT_LE(example::resident_bytes(), resident - 25_MiB / 2);
  const json first_step = json::parse(slept->body).at("steps").at(0);
  EXPECT_EQ(first_step.at("name"), "destroy graphs") << "before the memory that they use";
  EXPECT_EQ(stats().entries, 0U);
  EXPECT_EQ(stats().returned_bytes, 16_MiB);
  EXPECT_EQ(stats().evicted(lull::graph_eviction::cleared), 1U);
  EXPECT_EQ(answer(std::string(5000, 'x')), before);
  EXPECT_EQ(stats().captures, 2U);
}

TEST_F(ServerGraphs, ATrimReturnsThemAndNothingElse) {
  start(with({}));
  answer(std::string(5000, 'x'));
  const lull::device host = registry_.find("HOST");
  const auto held = host.memory().used_by_process_bytes;
  const auto slept = post(client(), "/sleep", {{"level", "trim"}});
  ASSERT_EQ(slept->status, 200) << slept->body;
  EXPECT_EQ(stats().returned_bytes, 16_MiB);
  EXPECT_GE(held, 9_MiB);
  EXPECT_EQ(host.memory().used_by_process_bytes, held) << "weights and KV cache stay";
}

TEST_F(ServerGraphs, IdleOnesGoWithoutALookup) {
  start(with({.idle_time = 200ms}));
  answer("one");
  const auto give_up = std::chrono::steady_clock::now() + 30s;
  while (stats().entries != 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "nobody sweeps";
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(stats().evicted(lull::graph_eviction::idle), 1U);
  EXPECT_EQ(seen().state, lull::sleep_state::awake);
}

TEST_F(ServerGraphs, MetricsAndPropsTellWithoutWaking) {
  start(with({.entries = 7, .idle_time = 90s}));
  answer("one");
  answer("two");
  for (const char* sample :
       {"lull_graph_cache_captures_total{model=\"m\",cache=\"graphs\"} 1\n",
        "lull_graph_cache_hits_total{model=\"m\",cache=\"graphs\"} 1\n",
        "lull_graph_cache_evictions_total{model=\"m\",cache=\"graphs\",cause=\"idle\"} 0\n",
        "lull_graph_cache_entries{model=\"m\",cache=\"graphs\"} 1\n",
        "lull_graph_cache_bytes{model=\"m\",cache=\"graphs\"} 1048576\n"}) {
    EXPECT_THAT(metrics(), HasSubstr(sample));
  }
  post(client(), "/sleep", json::object());
  EXPECT_THAT(
      metrics(),
      HasSubstr("lull_graph_cache_returned_bytes_total{model=\"m\",cache=\"graphs\"} 1048576\n"));
  EXPECT_EQ(seen().state, lull::sleep_state::asleep);

  const json limits = get("/props").at("graph_cache");
  EXPECT_EQ(limits.at("entries"), 7);
  EXPECT_TRUE(limits.at("bytes").is_null());
  EXPECT_EQ(limits.at("idle_seconds"), 90.0);
}

TEST(GraphBuckets, ArePowersOfTwoWithinBounds) {
  EXPECT_EQ(example::bucket_for(0), 16U);
  EXPECT_EQ(example::bucket_for(16), 16U);
  EXPECT_EQ(example::bucket_for(17), 32U);
  EXPECT_EQ(example::bucket_for(4096), 4096U);
  EXPECT_EQ(example::bucket_for(UINT64_MAX), 4096U);
  EXPECT_EQ(example::workspace_for(16), 1_MiB);
  EXPECT_EQ(example::workspace_for(512), 2_MiB);
  EXPECT_EQ(example::workspace_for(4096), 16_MiB);
}

}  // namespace
