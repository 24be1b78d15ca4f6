// What went wrong in other schedulers, each as a test.

#include <lull/budget.hpp>

#include <atomic>
#include <future>
#include <thread>

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

class BudgetFaults : public testing::Test {
 protected:
  BudgetFaults() {
    for (const char* const name : {"a", "b", "c"}) world.add(name, 4_GiB);
  }
  budget_world world{{{"GPU0", 10_GiB, 1_GiB}}};
};

TEST_F(BudgetFaults, WhoWorksOrLoadsIsNotEvicted) {
  const auto busy = world.hold("a");
  const auto loading = world.ask("b");
  const auto third = world.ask("c");
  EXPECT_EQ(world.state("a"), model_state::ready);
  EXPECT_EQ(world.state("b"), model_state::loading);
  world.pass(20s);
  EXPECT_THAT(world.log, IsEmpty());
  EXPECT_FALSE(third->answered);
  busy->ticket.release();
  world.pass(20s);
  EXPECT_THAT(world.log, ElementsAre("a unload"));
  EXPECT_TRUE(third->answered);
}

TEST_F(BudgetFaults, NoWaiterIsLostWhenTheOneBeforeItGivesUp) {
  const auto a = world.hold("a");
  const auto b = world.hold("b");
  const auto impatient = world.ask("c", {}, world.time.now() + 1s);
  const auto patient = world.ask("c");
  world.pass(2s);
  EXPECT_TRUE(impatient->failure);
  a->ticket.release();
  world.pass(10s);
  EXPECT_TRUE(patient->answered);
}

TEST_F(BudgetFaults, ARequestDoesNotReviveWhoIsLeaving) {
  world.load("a");
  world.load("b");
  const auto newcomer = world.ask("c", 1s);
  ASSERT_EQ(world.state("a"), model_state::leaving);
  const auto late = world.ask("a", 1s);
  EXPECT_FALSE(late->ticket);
  world.pass(30s);
  EXPECT_TRUE(newcomer->answered);
  EXPECT_TRUE(late->answered);
  EXPECT_TRUE(late->loaded);
  EXPECT_EQ(world.models["a"].evictions, 1);
}

TEST_F(BudgetFaults, NobodyIsEvictedAgainAndAgainForWhatNeverFits) {
  world.load("a");
  world.load("b");
  world.add("huge", 10_GiB);
  for (int count = 0; count < 5; ++count) {
    const auto client = world.ask("huge");
    ASSERT_TRUE(client->failure);
    EXPECT_EQ(client->failure->code(), status::out_of_device_memory);
    EXPECT_THAT(client->failure->what(), HasSubstr("can never fit: GPU0 lacks"));
    world.pass(10s);
  }
  EXPECT_THAT(world.log, IsEmpty());
}

TEST_F(BudgetFaults, WhatOtherProgramsLeaveNoRoomForIsNotSaidToFitNever) {
  world.foreign["GPU0"] = 6_GiB;
  world.budget().refresh();
  const auto client = world.ask("b");
  ASSERT_TRUE(client->failure);
  EXPECT_EQ(client->failure->code(), status::out_of_device_memory);
  EXPECT_THAT(client->failure->what(),
              HasSubstr("'b' does not fit beside other programs: GPU0 lacks"));
}

TEST_F(BudgetFaults, ThreeColdStartsAtOnceStayWithinTheLimit) {
  const auto a = world.ask("a", 1s);
  const auto b = world.ask("b", 1s);
  const auto c = world.ask("c", 1s);
  EXPECT_TRUE(a->ticket && b->ticket);
  EXPECT_FALSE(c->ticket);
  world.pass(20s);  // the world checks its own books at every load
  EXPECT_TRUE(a->answered && b->answered && c->answered);
}

TEST_F(BudgetFaults, WhenTheCountIsRightAndTheMemoryIsNotNobodyLoads) {
  world.load("a");
  world.load("b");
  world.leaky.insert("a");
  const auto client = world.ask("c");
  world.pass(20s);
  // a's memory did not come back with it, so b had to go too.
  EXPECT_THAT(world.log, ElementsAre("a unload", "b unload"));
  EXPECT_TRUE(client->answered);
  EXPECT_EQ(world.budget().snapshot().devices[0].foreign_bytes, 4_GiB);
}

TEST_F(BudgetFaults, MemoryThatComesBackLateIsNoticed) {
  world.load("a");
  const auto b = world.hold("b");
  world.leaky.insert("a");
  const auto client = world.ask("c");
  world.pass(10s);
  EXPECT_FALSE(client->answered);
  EXPECT_FALSE(client->failure);
  world.foreign["GPU0"] = 0;
  world.pass(5s);
  EXPECT_TRUE(client->answered);
}

TEST_F(BudgetFaults, WhoCannotLeaveStaysAndAnotherLeaves) {
  world.load("a");
  world.load("b");
  world.on_evict["a"] = [] { throw std::runtime_error("cannot"); };
  const auto client = world.ask("c", 1s);
  const auto late = world.ask("a", 1s);
  world.pass(10s);
  EXPECT_THAT(world.log, ElementsAre("b unload"));
  EXPECT_TRUE(client->answered);
  EXPECT_TRUE(late->answered);
  EXPECT_FALSE(late->loaded);
  EXPECT_EQ(world.counters().failed_evictions, 1U);
}

TEST_F(BudgetFaults, WhoHangsOnItsWayOutIsNoLongerCountedOn) {
  world.load("a");
  world.load("b");
  world.leave_time = 1h;
  const auto client = world.ask("c", 1s);
  world.in(1s, [&] { world.leave_time = 1s; });
  world.pass(29s);
  EXPECT_FALSE(client->answered);
  world.pass(10s);
  EXPECT_TRUE(client->answered);
  EXPECT_THAT(world.log, ElementsAre("b unload"));
  world.pass(1h);
  EXPECT_THAT(world.log, ElementsAre("b unload", "a unload"));
  EXPECT_EQ(world.state("a"), model_state::unloaded);
}

// With threads.

lull::budget_options real_time(std::function<void(const lull::budget_eviction&)> evict) {
  lull::budget_options options;
  options.devices = {{"GPU0", 10_GiB, 1_GiB}};
  options.evict = std::move(evict);
  return options;
}

void load(lull::budget& budget, const char* name) {
  budget.admit(name).confirm();
}

TEST(BudgetThreads, ACallerGivesUpAtItsDeadlineThoughACallbackHangs) {
  std::promise<void> end;
  lull::budget budget(real_time([done = end.get_future().share()](const auto&) { done.wait(); }));
  budget.add({"a", {{"GPU0", 8_GiB}}});
  budget.add({"b", {{"GPU0", 8_GiB}}});
  load(budget, "a");
  const auto deadline = lull::steady_clock().now() + 20ms;
  EXPECT_EQ(error_of([&] { (void)budget.admit("b", deadline); }).code(), status::timed_out);
  const lull::cancel stop;
  auto waiting = std::async(std::launch::async, [&] {
    return error_of([&] { (void)budget.admit("b", lull::no_deadline, stop); }).code();
  });
  stop.request();
  EXPECT_EQ(waiting.get(), status::cancelled);
  end.set_value();
  EXPECT_TRUE(budget.admit("b").must_load());
}

TEST(BudgetThreads, NeitherTwoLoadsNorTooManyBytesUnderManyThreads) {
  std::atomic<std::int64_t> used{0};
  std::array<std::atomic<bool>, 6> in{};
  lull::budget budget(real_time([&](const lull::budget_eviction& what) {
    EXPECT_TRUE(in[what.model[0] - 'a'].exchange(false));
    used -= 4;
  }));
  for (char name = 'a'; name <= 'f'; ++name) budget.add({{name}, {{"GPU0", 4_GiB}}});
  std::vector<std::thread> clients;
  for (unsigned number = 0; number < 8; ++number) {
    clients.emplace_back([&, number] {
      for (unsigned round = 0; round < 100; ++round) {
        const std::size_t which = (number * 7 + round * 5) % in.size();
        auto ticket = budget.admit(std::string_view("abcdef").substr(which, 1));
        if (ticket.must_load()) {
          EXPECT_FALSE(in[which].exchange(true));
          EXPECT_LE(used += 4, 8);
          ticket.confirm();
        }
        EXPECT_TRUE(in[which]);
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_GT(budget.snapshot().counters.evictions, 6U);
}

TEST(BudgetThreads, TicketsMayOutliveTheirBudget) {
  lull::budget_ticket ready;
  lull::budget_ticket loading;
  {
    lull::budget budget(real_time([](const auto&) { ADD_FAILURE() << "nobody is left"; }));
    budget.add({"a", {{"GPU0", 4_GiB}}});
    budget.add({"b", {{"GPU0", 4_GiB}}});
    ready = budget.admit("a");
    ready.confirm();
    loading = budget.admit("b");
  }
  loading.confirm(lull::bytes_by_device{{"GPU0", 9_GiB}});
  ready.release();
}

}  // namespace
