#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "demo/level_run.hpp"
#include "demo/server_client.hpp"
#include "demo/turns_run.hpp"

namespace {

using lull::demo::judge;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

lull::demo::level_result good_run() {
  lull::demo::sleep_cycle cycle;
  cycle.awake_bytes = 1100;
  cycle.asleep_bytes = 100;
  cycle.awake_again_bytes = 1100;
  cycle.answers_equal = true;
  cycle.wakes = 1;
  cycle.graph_bytes = 10;
  cycle.graph_bytes_returned = 10;
  lull::demo::level_result result;
  result.cycles = {cycle};
  return result;
}

TEST(Judge, ApprovesOfAGoodRun) {
  EXPECT_THAT(judge(good_run(), 1000), IsEmpty());
}

TEST(Judge, FindsEveryFault) {
  const auto faults = [](auto spoil) {
    auto run = good_run();
    spoil(run);
    return judge(run, 1000);
  };
  EXPECT_THAT(faults([](auto& run) { run.cycles[0].asleep_bytes = 151; }),
              ElementsAre(HasSubstr("94.9 %")));
  EXPECT_THAT(faults([](auto& run) { run.cycles[0].answers_equal = false; }),
              ElementsAre(HasSubstr("differ")));
  EXPECT_THAT(faults([](auto& run) { run.cycles[0].wakes = 2; }),
              ElementsAre(HasSubstr("2 wakes")));
  EXPECT_THAT(faults([](auto& run) { run.cycles[0].wakes_by_observing = 1; }),
              ElementsAre(HasSubstr("being observed")));
  EXPECT_THAT(faults([](auto& run) { run.cycles[0].graph_bytes_returned = 9; }),
              ElementsAre(HasSubstr("returned 9 B, of 10 B")));
  EXPECT_THAT(faults([](auto& run) {
                run.cycles[0].graph_bytes = 0;
                run.cycles[0].graph_bytes_returned = 0;
              }),
              ElementsAre(HasSubstr("no graph")));
  EXPECT_THAT(faults([](auto& run) { run.cycles.clear(); }), ElementsAre(HasSubstr("never slept")));
  EXPECT_THAT(faults([](auto& run) { run.observed.failures = 1; }),
              ElementsAre(HasSubstr("observer requests failed")));
}

TEST(Judge, FindsFaultsOfModelsThatTakeTurns) {
  const lull::demo::displaced_model a{"a", "discard", 100, "model 'c' comes in: HOST lacks 50 B"};
  lull::demo::turns_result good;
  good.limit_bytes = 250;
  good.turns = {{"a", true, {}, true, {}, {"a"}, 100},
                {"b", true, {}, true, {}, {"a", "b"}, 200},
                {"c", true, {}, true, {a}, {"b", "c"}, 200},
                {"b", false, {}, true, {}, {"b", "c"}, 200}};
  EXPECT_THAT(judge(good), IsEmpty());
  const auto faults = [&](auto spoil) {
    auto run = good;
    spoil(run.turns);
    return judge(run);
  };
  EXPECT_THAT(faults([](auto& turns) { turns[3].answer_equal = false; }),
              ElementsAre(HasSubstr("b answered other than at first")));
  EXPECT_THAT(faults([](auto& turns) { turns[2].held_bytes = 300; }),
              ElementsAre(HasSubstr("held 300 B of 250 B")));
  EXPECT_THAT(faults([](auto& turns) { turns[2].displaced.clear(); }),
              ElementsAre(HasSubstr("0 models went to sleep for c, expected 1")));
  EXPECT_THAT(faults([&](auto& turns) { turns[3].displaced = {a}; }),
              ElementsAre(HasSubstr("expected 0"), HasSubstr("was not there")));
}

TEST(Metric, IsFoundByItsWholeName) {
  const std::string text =
      "# HELP lull_wakes_total Wakes.\nlull_wakes 1\nlull_wakes_total 7\n"
      "lull_device_used_bytes{device=\"CUDA0\"} 12\n";
  EXPECT_EQ(lull::demo::metric(text, "lull_wakes_total"), 7);
  EXPECT_EQ(lull::demo::metric(text, "lull_device_used_bytes"), 12);
  EXPECT_ANY_THROW(static_cast<void>(lull::demo::metric(text, "lull_wake")));
}

TEST(Metric, IsSummedOverItsLabels) {
  const std::string text =
      "lull_graph_cache_evictions_total{cause=\"idle\"} 2\n"
      "lull_graph_cache_evictions_total{cause=\"cleared\"} 3\nlull_graph_cache_evictions 9\n";
  EXPECT_EQ(lull::demo::metric_sum(text, "lull_graph_cache_evictions_total"), 5);
  EXPECT_EQ(lull::demo::metric(text, "lull_graph_cache_evictions_total"), 2);
  EXPECT_ANY_THROW(static_cast<void>(lull::demo::metric_sum(text, "lull_graph_cache_evict")));
}

}  // namespace
