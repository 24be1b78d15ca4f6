#include <lull/budget.hpp>

#include <stop_token>

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
using testing::HasSubstr;
using testing::IsEmpty;

/// Room for two of 4 GiB.
std::vector<lull::budget_device> one_gpu() {
  return {{"GPU0", 10_GiB, 1_GiB}};
}

class Budget : public testing::Test {
 protected:
  Budget() {
    for (const char* const name : {"a", "b", "c"}) world.add(name, 4_GiB);
  }
  budget_world world{one_gpu()};
};

TEST_F(Budget, WhoFitsComesInAtOnceAndLoads) {
  const auto client = world.ask("a");
  ASSERT_TRUE(client->ticket);
  EXPECT_TRUE(client->ticket.must_load());
  EXPECT_THAT(client->ticket.granted(), ElementsAre(std::pair("GPU0", 4_GiB)));
  EXPECT_EQ(world.state("a"), model_state::loading);
  world.pass(3s);
  EXPECT_TRUE(client->answered);
  EXPECT_EQ(world.state("a"), model_state::ready);
}

TEST_F(Budget, OneLoadsHoweverManyAsk) {
  std::vector<budget_world::client_ptr> clients;
  for (int count = 0; count < 10; ++count) clients.push_back(world.ask("a"));
  world.pass(3s);
  for (const auto& client : clients) EXPECT_TRUE(client->answered);
  EXPECT_EQ(world.counters().loads, 1U);
  EXPECT_EQ(world.look("a").leases, 10U);
}

TEST_F(Budget, WhatIsReadyIsServedAtOnce) {
  world.load("a");
  const auto client = world.ask("a");
  EXPECT_TRUE(client->answered);
  EXPECT_FALSE(client->ticket.must_load());
}

TEST_F(Budget, TheLeastRecentlyUsedLeavesForAnother) {
  world.load("a");
  world.load("b");
  world.load("c");
  EXPECT_THAT(world.log, ElementsAre("a unload"));
  EXPECT_EQ(world.state("a"), model_state::unloaded);
}

TEST_F(Budget, NobodyLoadsBeforeTheOtherHasLeft) {
  world.load("a");
  world.load("b");
  const auto client = world.ask("c");
  EXPECT_EQ(world.state("a"), model_state::leaving);
  world.pass(999ms);
  EXPECT_FALSE(client->ticket);
  world.pass(1ms);
  EXPECT_TRUE(client->ticket);
}

TEST_F(Budget, PinnedModelsStay) {
  world.add({"pinned", {{"GPU0", 4_GiB}}, {{"unload"}}, 0, true});
  world.load("pinned");
  world.load("a");
  world.load("b");
  EXPECT_THAT(world.log, ElementsAre("a unload"));
}

TEST_F(Budget, ANewModelStaysForItsMinimumResidence) {
  lull::budget_model fresh{"new", {{"GPU0", 8_GiB}}};
  fresh.min_residence = 1min;
  world.add(fresh);
  world.load("new");
  const auto client = world.ask("a");
  world.pass(45s);
  EXPECT_EQ(world.state("new"), model_state::ready);
  world.pass(10s);
  EXPECT_TRUE(client->answered);
}

TEST_F(Budget, AFailedLoadLetsTheNextTry) {
  world.failing_loads.insert("a");
  const auto first = world.ask("a");
  const auto second = world.ask("a");
  world.in(2500ms, [&] { world.failing_loads.clear(); });
  world.pass(10s);
  EXPECT_TRUE(first->failure);
  EXPECT_TRUE(second->answered);
  EXPECT_EQ(world.counters().given_up, 1U);
}

TEST_F(Budget, ATicketThatIsDroppedGivesItsBytesBack) {
  world.ask("a")->ticket.release();
  world.ask("b")->ticket.release();
  world.check = false;
  EXPECT_THAT(world.look("a").holds, IsEmpty());
  EXPECT_EQ(world.budget().snapshot().devices[0].held_bytes, 0U);
}

TEST_F(Budget, AWaitEndsAtItsDeadlineWithTheSum) {
  const auto a = world.hold("a");
  const auto b = world.hold("b");
  const auto late = world.ask("c", {}, world.time.now() + 5s);
  world.pass(4s);
  EXPECT_FALSE(late->failure);
  world.pass(1s);
  ASSERT_TRUE(late->failure);
  EXPECT_EQ(late->failure->code(), status::timed_out);
  EXPECT_THAT(late->failure->what(), HasSubstr("GPU0 lacks 3 GiB: 4 GiB asked for, 8 GiB held"));
  EXPECT_EQ(world.look("c").waiting, 0U);
}

TEST_F(Budget, TheHigherPriorityGoesFirst) {
  world.add({"urgent", {{"GPU0", 4_GiB}}, {{"unload"}}, 1});
  const auto a = world.hold("a");
  const auto b = world.hold("b");
  const auto plain = world.ask("c");
  const auto urgent = world.ask("urgent");
  a->ticket.release();
  world.pass(10s);
  EXPECT_TRUE(urgent->answered);
  EXPECT_FALSE(plain->answered);
}

TEST_F(Budget, ASmallModelOvertakesALargeOneABoundedNumberOfTimes) {
  world.add("large", 9_GiB);
  for (int count = 0; count < 20; ++count) world.add("small" + std::to_string(count), 64_MiB);
  const auto a = world.hold("a");
  const auto large = world.ask("large");
  int overtook = 0;
  for (int count = 0; count < 20; ++count) {
    overtook += world.ask("small" + std::to_string(count), 0s)->ticket ? 1 : 0;
  }
  EXPECT_FALSE(large->failure) << large->failure->what();
  EXPECT_EQ(overtook, 8);
  a->ticket.release();
  world.pass(20s);
  EXPECT_TRUE(large->answered);
}

TEST_F(Budget, NobodyIsKeptOutForeverByAModelThatIsAlwaysBusy) {
  world.load("b");
  // Each begins before the one before it has ended.
  std::vector<budget_world::client_ptr> stream;
  std::function<void()> again = [&] {
    stream.push_back(world.ask("a", 3s));
    world.in(2s, again);
  };
  again();
  world.pass(5s);
  world.add("large", 9_GiB);
  const auto large = world.ask("large", 1s);
  world.pass(29s);
  EXPECT_FALSE(large->answered);
  world.pass(20s);
  EXPECT_TRUE(large->answered);
  world.pass(2min);
  for (std::size_t place = 0; place + 2 < stream.size(); ++place) {
    EXPECT_TRUE(stream[place]->answered) << place;
  }
}

TEST_F(Budget, SleepersComeBackAndKeepWhatIsLeftOfThem) {
  world.add({"sleeper", {{"GPU0", 8_GiB}}, {{"offload", {{"GPU0", 1_GiB}}}, {"unload"}}});
  world.load("sleeper");
  world.load("a");
  EXPECT_EQ(world.state("sleeper"), model_state::asleep);
  EXPECT_EQ(world.look("sleeper").level, "offload");
  EXPECT_THAT(world.look("sleeper").holds, ElementsAre(std::pair("GPU0", 1_GiB)));
  const auto again = world.hold("sleeper");
  EXPECT_THAT(again->ticket.granted(), ElementsAre(std::pair("GPU0", 7_GiB)));
}

TEST_F(Budget, ContentsGoToHostMemoryInPlaceOfThoseThatAreMissedLess) {
  for (const int uses_of_x : {1, 3}) {
    budget_world two({{"GPU0", 10_GiB, 1_GiB}, {"HOST", 9_GiB, 1_GiB}});
    for (const char* const name : {"x", "y", "z"}) {
      two.add({name, {{"GPU0", 8_GiB}}, {{"offload", {{"HOST", 8_GiB}}}, {"unload"}}});
    }
    for (int use = 0; use < uses_of_x; ++use) two.load("x");
    two.load("y");
    two.load("z");
    if (uses_of_x == 1) {
      EXPECT_THAT(two.log, ElementsAre("x offload", "x unload", "y offload"));
    } else {
      EXPECT_THAT(two.log, ElementsAre("x offload", "y unload"));
    }
  }
}

TEST_F(Budget, WhoMakesRoomInHostMemoryComesFirstWhereverItStands) {
  budget_world two({{"GPU0", 10_GiB, 1_GiB}, {"HOST", 9_GiB, 1_GiB}});
  for (const char* const name : {"x", "y", "z"}) {
    two.add({name, {{"GPU0", 8_GiB}}, {{"offload", {{"HOST", 8_GiB}}}, {"unload"}}});
  }
  for (const char* const name : {"y", "x", "z"}) two.load(name);
  EXPECT_THAT(two.log, ElementsAre("y offload", "y unload", "x offload"));
}

TEST_F(Budget, ContentsWaitUntilHostMemoryThatOthersLeaveIsReallyFree) {
  budget_world two({{"GPU0", 9_GiB, 1_GiB}, {"HOST", 9_GiB, 1_GiB}});
  two.add({"x", {{"GPU0", 8_GiB}}, {{"offload", {{"HOST", 8_GiB}}}, {"unload"}}});
  two.add({"y", {{"GPU0", 8_GiB}}, {{"offload", {{"HOST", 6_GiB}}}, {"unload"}}});
  two.add({"z", {{"GPU0", 8_GiB}, {"HOST", 1_GiB}}});
  two.load("x");
  two.load("y");
  const auto client = two.ask("z");
  EXPECT_EQ(two.state("y"), model_state::leaving);
  EXPECT_EQ(two.budget().snapshot().devices[1].held_bytes, 8_GiB);
  two.pass(10s);
  EXPECT_TRUE(client->answered);
  EXPECT_THAT(two.log, ElementsAre("x offload", "x unload", "y offload"));
}

TEST_F(Budget, OtherProgramsStayInTheBooksWhileAModelLoads) {
  world.foreign["GPU0"] = 3_GiB;
  world.budget().refresh();
  const auto slow = world.budget().admit("a");  // and has taken nothing yet
  world.budget().refresh();
  EXPECT_EQ(world.budget().snapshot().devices[0].foreign_bytes, 3_GiB);
  EXPECT_FALSE(world.ask("b")->ticket);
}

TEST_F(Budget, RoomIsMadeWhenOtherProgramsTakeIt) {
  world.check = false;
  world.load("a");
  world.load("b");
  world.foreign["GPU0"] = 3_GiB;
  world.budget().refresh();
  world.pass(5s);
  EXPECT_THAT(world.log, ElementsAre("a unload"));
  EXPECT_EQ(world.budget().snapshot().devices[0].foreign_bytes, 3_GiB);
  world.foreign["GPU0"] = 0;
  world.budget().refresh();
  world.load("a");
  EXPECT_THAT(world.log, ElementsAre("a unload"));
}

TEST_F(Budget, RoomForOtherProgramsIsMadeAsSoonAsSomebodyIsIdle) {
  world.check = false;
  const auto a = world.hold("a");
  const auto b = world.hold("b");
  world.foreign["GPU0"] = 3_GiB;
  world.budget().refresh();
  world.pass(5s);
  EXPECT_THAT(world.log, IsEmpty());
  b->ticket.release();
  world.pass(5s);
  EXPECT_THAT(world.log, ElementsAre("b unload"));
}

TEST_F(Budget, AWrongEstimateIsCorrectedByTheLoad) {
  world.check = false;
  world.add({"big", {{"GPU0", 1_GiB}}}, lull::bytes_by_device{{"GPU0", 7_GiB}});
  world.load("a");
  world.load("big");
  EXPECT_THAT(world.look("big").estimate, ElementsAre(std::pair("GPU0", 7_GiB)));
  EXPECT_TRUE(world.look("big").measured);
  EXPECT_EQ(world.counters().corrected, 1U);
  world.pass(5s);
  EXPECT_THAT(world.log, ElementsAre("a unload"));  // as the two do not fit together
  EXPECT_EQ(world.budget().preview("b").evictions.size(), 1U);
}

TEST_F(Budget, APreviewTellsAndDoesNothing) {
  world.load("a");
  world.load("b");
  const auto preview = world.budget().preview("c");
  EXPECT_EQ(preview.outcome, lull::plan_outcome::planned);
  ASSERT_EQ(preview.evictions.size(), 1U);
  EXPECT_EQ(preview.evictions[0].model, "a");
  EXPECT_THAT(preview.evictions[0].gain, ElementsAre(std::pair("GPU0", 4_GiB)));
  EXPECT_THAT(preview.words, HasSubstr("GPU0 lacks 3 GiB"));
  world.pass(10s);
  EXPECT_THAT(world.log, IsEmpty());
}

TEST_F(Budget, CallbacksMayCallBack) {
  std::optional<lull::budget_ticket> inside;
  world.load("a");
  world.load("b");
  world.on_evict["a"] = [&] {
    (void)world.budget().snapshot();
    inside = world.budget().admit("b");
    world.budget().refresh();
  };
  world.load("c");
  EXPECT_TRUE(inside && *inside);
}

TEST_F(Budget, AStopEndsAWaitWithoutAThread) {
  const auto a = world.hold("a");
  const auto b = world.hold("b");
  std::stop_source stop;
  std::optional<status> told;
  int times = 0;
  const auto done = [&](lull::budget::admission result) {
    ++times;
    if (result.failure) told = result.failure->code();
  };
  world.budget().admit_async("c", lull::no_deadline, done, stop.get_token());
  EXPECT_EQ(world.look("c").waiting, 1U);
  stop.request_stop();
  EXPECT_EQ(told, status::cancelled);
  EXPECT_EQ(world.look("c").waiting, 0U);
  told.reset();
  world.budget().admit_async("c", lull::no_deadline, done, stop.get_token());
  EXPECT_EQ(told, status::cancelled) << "stopped before it began";
  EXPECT_EQ(times, 2);
  world.pass(1min);
  EXPECT_THAT(world.log, IsEmpty()) << "nobody leaves for who is gone";
}

TEST_F(Budget, AStopComesTooLateForWhoHasATicket) {
  std::stop_source stop;
  std::vector<lull::budget_ticket> tickets;
  const auto done = [&](lull::budget::admission result) {
    tickets.push_back(std::move(result.ticket));
  };
  world.budget().admit_async("a", lull::no_deadline, done, stop.get_token());
  ASSERT_EQ(tickets.size(), 1U);
  stop.request_stop();
  EXPECT_TRUE(tickets.front());
  EXPECT_EQ(world.state("a"), model_state::loading);
}

TEST_F(Budget, AnEvictionSaysForWhomAndWhatWasShort) {
  world.load("a");
  world.load("b");
  world.load("c");
  ASSERT_EQ(world.reasons.size(), 1U);
  EXPECT_THAT(world.reasons.front(), HasSubstr("model 'c' comes in: GPU0 lacks 3 GiB"));
}

TEST_F(Budget, SaysWhatItDoesNotKnow) {
  auto& budget = world.budget();
  const auto code = [](auto call) { return error_of(call).code(); };
  EXPECT_EQ(code([&] { (void)budget.admit("nobody"); }), status::not_found);
  EXPECT_EQ(code([&] { budget.add({"a", {{"GPU0", 1}}}); }), status::invalid_argument);
  EXPECT_EQ(code([&] { budget.add({"d", {{"GPU7", 1}}}); }), status::invalid_argument);
  EXPECT_EQ(code([&] { budget.add({"d", {}}); }), status::invalid_argument);
  EXPECT_EQ(code([&] { budget.add({"d", {{"GPU0", 1}}, {}}); }), status::invalid_argument);
  EXPECT_EQ(code([] { lull::budget none({}); }), status::invalid_argument);
}

}  // namespace
