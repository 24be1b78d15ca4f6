// Models that come, change and go at run time; and what a budget asks the devices.

#include <lull/budget.hpp>

#include <algorithm>

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

/// Room for two of 4 GiB. What it wants done is done at once, on the thread that asks.
class Models : public testing::Test {
 protected:
  Models() {
    lull::budget_options options;
    options.devices = {{"GPU0", 10_GiB, 1_GiB}};
    options.time = &time;
    options.evict = [this](const lull::budget_eviction& what) {
      if (evict) evict(what);
      log.push_back(what.model + " " + what.level);
      for (const auto& [device, bytes] : what.gain) used -= std::min(used, bytes);
    };
    options.run_on = [](const std::function<void()>& job) { job(); };
    options.log = lull::log_sink(
        [this](lull::log_level, std::string_view line) { lines.emplace_back(line); });
    options.settle = [this](const auto& expected) { settled = expected; };
    options.probe = [this] {
      ++asked;
      return probe ? probe() : std::vector<lull::budget_reading>{{"GPU0", used}};
    };
    budget.emplace(std::move(options));
    budget->add({"a", {{"GPU0", 4_GiB}}, {{"sleep", {{"GPU0", 1_GiB}}}, {"unload"}}});
    budget->add({"b", {{"GPU0", 4_GiB}}});
    budget->add({"c", {{"GPU0", 4_GiB}}});
  }

  lull::budget_ticket load(const char* name) {
    auto ticket = budget->admit(name, time.now());
    used += ticket.must_load() ? ticket.granted().at("GPU0") : 0;
    ticket.confirm();
    return ticket;
  }
  lull::budget_model_snapshot look(const std::string& name) {
    for (auto& each : budget->snapshot().models) {
      if (each.name == name) return each;
    }
    ADD_FAILURE() << "no model " << name;
    return {};
  }
  template <class Call>
  status code(Call call) {
    return error_of(call).code();
  }

  lull::manual_clock time;
  std::uint64_t used = 0;
  int asked = 0;
  std::function<std::vector<lull::budget_reading>()> probe;
  std::function<void(const lull::budget_eviction&)> evict;
  std::vector<lull::settle_expectation> settled;
  std::vector<std::string> log;
  std::vector<std::string> lines;
  std::optional<lull::budget> budget;
};

TEST_F(Models, AModelThatIsNotThereAnyMoreIsForgotten) {
  const auto a = load("a");
  EXPECT_EQ(code([&] { budget->remove("a"); }), status::busy);
  budget->remove("b");
  EXPECT_EQ(code([&] { budget->remove("b"); }), status::not_found);
  EXPECT_EQ(code([&] { (void)budget->admit("b"); }), status::not_found);
  EXPECT_EQ(budget->snapshot().models.size(), 2U);
  budget->add({"d", {{"GPU0", 2_GiB}}, {{"unload"}}, 7, true});
  budget->add({"e", {{"GPU0", 1_GiB}}});
  const auto d = load("d");
  EXPECT_THAT(look("d").holds, ElementsAre(std::pair("GPU0", 2_GiB)));
  EXPECT_EQ(look("d").priority, 7);
  EXPECT_THAT(look("a").holds, ElementsAre(std::pair("GPU0", 4_GiB)));
  EXPECT_EQ(code([&] { budget->add({"d", {{"GPU0", 1}}}); }), status::invalid_argument);
}

TEST_F(Models, WhoeverIsUsedOrWaitedForOrAsleepIsNotForgotten) {
  auto a = load("a");
  const auto b = load("b");
  bool told = false;
  budget->admit_async("c", lull::no_deadline, [&](auto) { told = true; });
  EXPECT_THAT(error_of([&] { budget->remove("c"); }).what(), HasSubstr("1 wait for it"));
  a.release();
  EXPECT_TRUE(told);
  EXPECT_EQ(look("a").state, model_state::asleep);
  EXPECT_EQ(code([&] { budget->remove("a"); }), status::busy);
  budget->put_away("a", 1);
  budget->remove("a");
  EXPECT_EQ(budget->snapshot().devices[0].held_bytes, 4_GiB);
}

TEST_F(Models, WhatWasMeasuredOutlivesAModelThatIsForgotten) {
  budget->admit("a").confirm(lull::bytes_by_device{{"GPU0", 5_GiB}});
  budget->put_away("a", 1);
  budget->remove("a");
  budget->add({"a", {{"GPU0", 1_GiB}}});
  EXPECT_THAT(look("a").estimate, ElementsAre(std::pair("GPU0", 5_GiB)));
  EXPECT_TRUE(look("a").measured);
}

TEST_F(Models, WhatIsSaidOfAModelCountsFromTheNextDecision) {
  load("a");
  load("b");
  budget->change({"a", {}, {{"sleep", {{"GPU0", 1_GiB}}}, {"unload"}}, 3, true});
  EXPECT_EQ(look("a").priority, 3);
  EXPECT_EQ(budget->preview("c").evictions.at(0).model, "b");
  budget->change({.name = "a", .levels = {{"other"}}, .wake_time = {}});
  EXPECT_EQ(budget->preview("c").evictions.at(0).level, "other");
  EXPECT_EQ(code([&] { budget->change({"nobody", {{"GPU0", 1}}}); }), status::not_found);
  EXPECT_EQ(code([&] { budget->change({"a", {}, {}}); }), status::invalid_argument);
  EXPECT_EQ(code([&] { budget->change({"a", {{"GPU7", 1}}}); }), status::invalid_argument);
}

TEST_F(Models, HowLongItTakesToComeBackIsMeasuredFromEachLevel) {
  const auto load_in = [&](lull::duration span) {
    auto ticket = budget->admit("a", time.now());
    time.advance(span);
    ticket.confirm();
  };
  EXPECT_THAT(look("a").wake_times, ElementsAre(1s, 1s)) << "as it was given";
  load_in(20s);
  EXPECT_THAT(look("a").wake_times, ElementsAre(1s, 20s));
  EXPECT_EQ(look("a").wake_time, 1s);
  budget->put_away("a", 0);
  load_in(3s);
  budget->put_away("a", 0);
  load_in(5s);
  EXPECT_THAT(look("a").wake_times, ElementsAre(4s, 20s));
  budget->change({"a", {}, {{"other", {{"GPU0", 2_GiB}}}, {"sleep", {{"GPU0", 1_GiB}}}}});
  EXPECT_THAT(look("a").wake_times, ElementsAre(1s, 4s)) << "stays with its name";
}

TEST_F(Models, AnotherNeedReplacesWhatWasMeasuredUntilTheNextLoad) {
  budget->admit("b").confirm(lull::bytes_by_device{{"GPU0", 5_GiB}});
  budget->change({"b", {{"GPU0", 4_GiB}}});
  EXPECT_TRUE(look("b").measured) << "as it was said before";
  budget->change({"b", {{"GPU0", 7_GiB}}});
  EXPECT_FALSE(look("b").measured);
  EXPECT_THAT(look("b").estimate, ElementsAre(std::pair("GPU0", 7_GiB)));
  EXPECT_THAT(look("b").holds, ElementsAre(std::pair("GPU0", 5_GiB))) << "it is in as it is";
  budget->put_away("b", 0);
  EXPECT_THAT(budget->admit("b").granted(), ElementsAre(std::pair("GPU0", 7_GiB)));
}

TEST_F(Models, WhatIsOnItsWayIsNotChangedInAWayThatMatters) {
  load("a");
  budget->put_away("a", 0);
  EXPECT_EQ(code([&] { budget->change({"a", {}, {{"other"}}}); }), status::busy);
  const auto loading = budget->admit("b");
  EXPECT_EQ(code([&] { budget->change({"b", {{"GPU0", 1_GiB}}}); }), status::busy);
  budget->change({"b", {}, {{"unload"}}, 5});
  EXPECT_EQ(look("b").priority, 5);
}

// What devices say.

TEST_F(Models, AnAnswerThatTheBooksHaveOvertakenIsAskedForAgain) {
  const auto a = load("a");
  std::optional<lull::budget_ticket> b;
  probe = [&] {
    const std::vector<lull::budget_reading> said{{"GPU0", used + 1_GiB}};
    if (!b) b = load("b");  // while the answer is on its way
    return said;
  };
  asked = 0;
  budget->refresh();
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(budget->snapshot().devices[0].foreign_bytes, 1_GiB);
}

TEST_F(Models, AnAnswerThatIsAlwaysOvertakenIsDropped) {
  probe = [&] {
    const std::vector<lull::budget_reading> said{{"GPU0", used + 1_GiB}};
    (void)budget->admit("a");  // and gives it back
    return said;
  };
  asked = 0;
  budget->refresh();
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(budget->snapshot().devices[0].foreign_bytes, 0U);
}

TEST_F(Models, MemoryThatLeavesIsWaitedForWithWhatIsExpected) {
  load("a");
  probe = [] { return std::vector<lull::budget_reading>{{"GPU0", 7_GiB}}; };
  evict = [&](const auto&) {
    probe = [] { return std::vector<lull::budget_reading>{{"GPU0", 4_GiB}}; };
  };
  budget->put_away("a", 0);
  ASSERT_EQ(settled.size(), 1U);
  EXPECT_EQ(settled[0].device, "GPU0");
  EXPECT_EQ(settled[0].gain_bytes, 3_GiB);
  EXPECT_EQ(settled[0].baseline_free_bytes, 3_GiB);
  EXPECT_EQ(budget->snapshot().devices[0].foreign_bytes, 3_GiB);
}

TEST_F(Models, AWrongEstimateIsReported) {
  budget->admit("a").confirm(lull::bytes_by_device{{"GPU0", 4_GiB + 1}});
  EXPECT_THAT(lines, IsEmpty());
  budget->admit("b").confirm(lull::bytes_by_device{{"GPU0", 2_GiB}});
  EXPECT_THAT(lines, ElementsAre(HasSubstr("'b' holds other than estimated")));
}

TEST(Margin, IsTheLargerOfBytesAndShare) {
  lull::budget_options options;
  options.devices = {{"GPU0", 100_GiB, 1_GiB, 0.25}, {"GPU1", 100_GiB, 30_GiB, 0.25}};
  options.evict = [](const auto&) {};
  const lull::budget budget(options);
  EXPECT_EQ(budget.snapshot().devices[0].margin_bytes, 25_GiB);
  EXPECT_EQ(budget.snapshot().devices[1].margin_bytes, 30_GiB);
  EXPECT_EQ(lull::budget_device{}.margin_bytes, 1_GiB);
  options.devices[0].margin_share = 1.5;
  EXPECT_EQ(error_of([&] { lull::budget none(options); }).code(), status::invalid_argument);
}

TEST(Snapshots, TellWhatPlansCountWith) {
  budget_world world({{"GPU0", 10_GiB, 1_GiB}});
  lull::budget_model model{"a", {{"GPU0", 4_GiB}}, {{"unload"}}, 2};
  model.min_residence = 60s;
  world.add(model);
  EXPECT_EQ(world.look("a").idle, std::nullopt);
  const auto client = world.hold("a");
  EXPECT_EQ(world.look("a").idle, lull::duration::zero());
  EXPECT_EQ(world.look("a").kept_for, 52s) << "it was ready after 2 s, 8 s ago";
  client->ticket.release();
  world.pass(90s);
  const auto seen = world.look("a");
  EXPECT_EQ(seen.idle, 90s);
  EXPECT_EQ(seen.kept_for, 0s);
  EXPECT_EQ(seen.priority, 2);
  EXPECT_GT(seen.uses_per_second, 0);
}

}  // namespace
