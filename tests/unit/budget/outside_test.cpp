// What happens to models of a budget without a request for them.

#include <lull/budget.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "unit/budget/world.hpp"

namespace {

using namespace std::chrono_literals;
using namespace lull::literals;
using lull::model_state;
using lull::status;
using lull::test::budget_world;
using lull::test::error_of;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

/// Room for two of 4 GiB on the GPU.
std::vector<lull::budget_device> devices() {
  return {{"GPU0", 10_GiB, 1_GiB}, {"HOST", 64_GiB, 1_GiB}};
}

class BudgetFromOutside : public testing::Test {
 protected:
  BudgetFromOutside() {
    for (const char* const name : {"a", "b", "c"}) {
      world.add({.name = name,
                 .need = {{"GPU0", 4_GiB}},
                 .levels = {{"offload", {{"GPU0", 1_GiB}, {"HOST", 3_GiB}}}, {"unload", {}}}});
    }
  }
  budget_world world{devices()};
};

TEST_F(BudgetFromOutside, WhatIsIdleIsPutAwayToTheLevelThatIsSaid) {
  world.load("a");
  EXPECT_TRUE(world.budget().put_away("a", 0));
  EXPECT_EQ(world.state("a"), model_state::leaving);
  world.pass(2s);
  EXPECT_EQ(world.state("a"), model_state::asleep);
  EXPECT_THAT(world.look("a").holds, ElementsAre(Pair("GPU0", 1_GiB), Pair("HOST", 3_GiB)));
  EXPECT_TRUE(world.budget().put_away("a", 1)) << "deeper";
  world.pass(2s);
  EXPECT_EQ(world.state("a"), model_state::unloaded);
  EXPECT_THAT(world.log, ElementsAre("a offload", "a unload"));
}

TEST_F(BudgetFromOutside, WhatWorksLoadsLeavesOrIsThatDeepIsNotPutAway) {
  EXPECT_FALSE(world.budget().put_away("a", 1)) << "it holds nothing";
  const auto client = world.ask("a");
  EXPECT_FALSE(world.budget().put_away("a", 1)) << "it loads";
  world.pass(3s);
  EXPECT_FALSE(world.budget().put_away("a", 1)) << "it works";
  client->ticket.release();
  EXPECT_TRUE(world.budget().put_away("a", 0));
  EXPECT_FALSE(world.budget().put_away("a", 1)) << "it leaves";
  world.pass(2s);
  EXPECT_FALSE(world.budget().put_away("a", 0)) << "it is that deep";
  EXPECT_EQ(error_of([&] { (void)world.budget().put_away("a", 2); }).code(),
            status::invalid_argument);
  EXPECT_EQ(error_of([&] { (void)world.budget().put_away("x", 0); }).code(), status::not_found);
}

TEST_F(BudgetFromOutside, WhoAsksForOneThatIsPutAwayGetsItAgain) {
  world.load("a");
  ASSERT_TRUE(world.budget().put_away("a", 1));
  const auto client = world.ask("a");
  EXPECT_FALSE(client->ticket) << "it has to leave first";
  world.pass(5s);
  EXPECT_TRUE(client->answered);
  EXPECT_TRUE(client->loaded);
}

TEST_F(BudgetFromOutside, OneThatEndedByItselfLeavesThoughItWorksAndIsLoadedAgain) {
  const auto before = world.hold("a");
  world.crashed.insert("a");
  EXPECT_TRUE(world.budget().lost("a"));
  EXPECT_FALSE(world.budget().lost("a")) << "it leaves already";
  const auto client = world.ask("a");
  EXPECT_FALSE(client->ticket);
  world.pass(5s);
  EXPECT_TRUE(client->answered);
  EXPECT_EQ(world.look("a").leases, 2U) << "one of them is from before";
  before->ticket.release();
  EXPECT_EQ(world.look("a").leases, 1U);
  client->ticket.release();
  EXPECT_EQ(world.look("a").leases, 0U);
  EXPECT_TRUE(world.budget().put_away("a", 1));
}

TEST_F(BudgetFromOutside, AWaitThatNobodyWantsAnyMoreIsWithdrawnAndNobodyLeavesForIt) {
  const auto first = world.hold("a");
  const auto second = world.hold("b");
  const auto waiting = world.ask("c");
  world.budget().withdraw("c");
  ASSERT_TRUE(waiting->failure);
  EXPECT_EQ(waiting->failure->code(), status::cancelled);
  first->ticket.release();
  second->ticket.release();
  world.pass(10s);
  EXPECT_THAT(world.log, IsEmpty());
}

TEST_F(BudgetFromOutside, WhatIsMeasuredLaterCorrectsTheBooksAndTheLevel) {
  world.load("a");
  world.budget().correct("a", {{"GPU0", 5_GiB}});
  EXPECT_THAT(world.look("a").holds, ElementsAre(Pair("GPU0", 5_GiB)));
  EXPECT_THAT(world.look("a").estimate, ElementsAre(Pair("GPU0", 5_GiB)));
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(world.budget().put_away("a", 0));
    world.pass(2s);
    if (round == 0) world.budget().correct("a", {{"GPU0", 2_GiB}});
    EXPECT_THAT(world.look("a").holds, ElementsAre(Pair("GPU0", 2_GiB)));
    world.check = false;
    world.load("a");
  }
}

TEST_F(BudgetFromOutside, APinnedModelLeavesAgainWhenItIsPinnedNoMore) {
  world.load("a");
  world.load("b");
  world.budget().pin("a", true);
  world.load("c");
  EXPECT_EQ(world.state("a"), model_state::ready);
  world.budget().pin("a", false);
  world.load("b");
  EXPECT_NE(world.state("a"), model_state::ready);
}

}  // namespace
