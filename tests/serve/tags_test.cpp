// Parts of a model that sleep and wake by their tags, as vLLM has them.

#include "serve/router_fixture.hpp"

namespace {

using lull::test::eventually;
using lull::test::router_test;
using testing::HasSubstr;

class Tags : public router_test {
 protected:
  void one_that_is_ready(const std::string& options = "", const std::string& ladder = "") {
    add("a", {.options = options,
              .keys = "ladder: [" + (ladder.empty() ? "offload, stop" : ladder) + "]"});
    start();
    ASSERT_EQ(ask("a").status, 200);
  }
  [[nodiscard]] bool is_sleeping() const {
    return get("/is_sleeping?model=a").body.at("is_sleeping");
  }
};

TEST_F(Tags, AreToldToTheServerAndTheModelSleepsUntilAllOfItIsBack) {
  one_that_is_ready();
  ASSERT_EQ(post("/sleep?model=a&level=1&tags=weights&tags=kv_cache").status, 200);
  EXPECT_EQ(times("a POST /sleep?tags=weights&tags=kv_cache"), 1);
  EXPECT_TRUE(is_sleeping());
  EXPECT_EQ(post("/upstream/a/wake_up", R"({"tags":["weights"]})").status, 200);
  EXPECT_EQ(times("a POST /wake_up?tags=weights"), 1);
  EXPECT_TRUE(is_sleeping());
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(get("/upstream/a/slots").status, 503) << "a look does not wake the rest";
  EXPECT_EQ(post("/wake_up?model=a&tags=kv_cache").status, 200);
  EXPECT_FALSE(is_sleeping());
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(times("a asked while asleep"), 0);
  EXPECT_EQ(times("a POST /collective_rpc"), 0) << "who wakes the weights by name fills them";
}

TEST_F(Tags, ARequestWakesWhatStillSleeps) {
  one_that_is_ready();
  ASSERT_EQ(post("/sleep", R"({"model":"a","tags":["weights","kv_cache"]})").status, 200);
  ASSERT_EQ(post("/wake_up", R"({"model":"a","tags":"kv_cache"})").status, 200);
  ASSERT_TRUE(is_sleeping());
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(times("a POST /collective_rpc"), 1) << "weights that sleep by their tag are empty then";
  EXPECT_FALSE(is_sleeping());
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Tags, OneThatIsPartlyAwakeMaySleepAgain) {
  one_that_is_ready();
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(post("/sleep?model=a&level=1").status, 200);
    ASSERT_EQ(post("/wake_up?model=a&tags=weights").status, 200);
    EXPECT_TRUE(is_sleeping());
  }
  EXPECT_EQ(times("a POST /sleep?level=1"), 2);
  EXPECT_EQ(post("/sleep?model=a&tags=weights").status, 200);
  EXPECT_EQ(post("/sleep?model=a&tags=weights").status, 200) << "it sleeps";
  EXPECT_EQ(times("a POST /sleep?tags=weights"), 1);
  EXPECT_EQ(post("/sleep?model=a&tags=kv_cache").status, 409);
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  EXPECT_EQ(state_of("a"), "stopped");
}

TEST_F(Tags, WhereOneThatIsPartlyAwakeEndsTheNextRequestStartsIt) {
  one_that_is_ready();
  ASSERT_EQ(post("/sleep?model=a&level=1").status, 200);
  ASSERT_EQ(post("/wake_up?model=a&tags=weights").status, 200);
  ::kill(model("a").at("pid"), SIGKILL);
  EXPECT_TRUE(becomes("a", "failed"));
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(times("a start"), 2);
}

TEST_F(Tags, WhereTheServerRefusesThemTheModelStaysAsItIs) {
  one_that_is_ready("--no-tags");
  const auto refused = post("/sleep?model=a&tags=weights");
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.raw, HasSubstr("there are no tags here"));
  EXPECT_EQ(state_of("a"), "ready");
  EXPECT_EQ(ask("a").status, 200);
  ASSERT_TRUE(eventually([&] { return post("/sleep?model=a").status == 200; }));
  EXPECT_EQ(post("/wake_up?model=a&tags=weights").status, 400);
  EXPECT_EQ(state_of("a"), "asleep");
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(times("a start"), 1);
}

TEST_F(Tags, WhereNothingKnowsThemItIsSaid) {
  one_that_is_ready("--no-sleep");
  EXPECT_EQ(post("/sleep?model=a&tags=weights").status, 501);
  EXPECT_EQ(state_of("a"), "ready");
  EXPECT_EQ(ask("a").status, 200);
  for (const char* const body :
       {R"({"model":"a","tags":[1]})", R"({"model":"a","tags":["a&level=2"]})",
        R"({"model":"a","tags":[""]})", R"({"model":"a","tags":{}})"}) {
    EXPECT_EQ(post("/sleep", body).status, 400) << body;
    EXPECT_EQ(post("/wake_up", body).status, 400) << body;
  }
  EXPECT_EQ(post("/models/unload", R"({"model":"a"})").status, 200);
  const auto stopped = post("/wake_up?model=a&tags=weights");
  EXPECT_EQ(stopped.status, 409);
  EXPECT_THAT(stopped.raw, HasSubstr("leave out the tags"));
}

TEST_F(Tags, AModelThatOnlyStopsHasNoParts) {
  one_that_is_ready("", "stop");
  const auto refused = post("/sleep?model=a&tags=weights");
  EXPECT_EQ(refused.status, 501);
  EXPECT_THAT(refused.raw, HasSubstr("sleep: routes"));
}

}  // namespace
