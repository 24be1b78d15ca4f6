// Deeper sleeps without waking: by the ladder, as time passes or as a device is left with too much,
// and by need.

#include <lull/lull.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"

namespace {

using namespace lull::literals;
using namespace std::chrono_literals;
using lull::contents_action;
using lull::sleep_level;
using lull::sleep_plan;
using lull::sleep_state;
using lull::status;
using lull::test::error_of;
using lull::test::eventually;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using direction = lull::transition_report::direction;

sleep_plan offload() {
  return lull::plan_for(sleep_level::offload);
}
sleep_plan discard() {
  return lull::plan_for(sleep_level::discard);
}
/// Between the two.
sleep_plan without_cache() {
  sleep_plan plan = offload();
  plan.name = "without cache";
  plan.contents.by_tag["kv"] = contents_action::discard;
  return plan;
}
sleep_plan reset_all() {
  sleep_plan plan = discard();
  plan.name = "reset";
  plan.context = lull::context_action::reset;
  return plan;
}

// docs/integrating.md shows it.
lull::sleeper_options deeper_and_deeper() {
  lull::sleeper_options options;
  options.ladder = {{30s, lull::plan_for(lull::sleep_level::offload)},
                    {10min, lull::plan_for(lull::sleep_level::discard)},
                    {1h, lull::plan_for(lull::sleep_level::reset)}};
  options.ladder[0].plan.max_residue_bytes = 0;  // more hurries to the next, where it is known
  return options;
}

/// Notes what it is asked to do, and can fail or hold on.
class diver final : public lull::participant {
 public:
  explicit diver(std::string name = "diver", std::vector<std::string>* log = nullptr)
      : name_(std::move(name)), log_(log != nullptr ? log : &own_log_) {}

  std::string_view name() const noexcept override { return name_; }
  void sleep(const sleep_plan& plan, lull::transition&) override { note("sleep " + plan.name); }
  void wake(const sleep_plan& plan, lull::transition&) override { note("wake " + plan.name); }
  void deepen(const sleep_plan& from, const sleep_plan& to, lull::transition& now) override {
    inside = true;
    while (held) {
      if (now.stop().stop_requested()) throw lull::error(status::cancelled, "told to stop");
      std::this_thread::yield();
    }
    inside = false;
    note(from.name + " to " + to.name);
    if (fail_deepen) throw lull::error(fail_with, "too deep");
  }
  void undo_deepen(const sleep_plan& from, const sleep_plan& to, lull::transition&) override {
    note(to.name + " back to " + from.name);
    if (fail_undo) throw lull::error(status::backend, "stuck");
  }
  void deepened(const sleep_plan& to, lull::transition&) override { note("is at " + to.name); }

  std::vector<std::string> taken() const {
    const std::lock_guard lock(mutex_);
    return std::exchange(*log_, {});
  }

  std::atomic<bool> held{false};
  std::atomic<bool> inside{false};
  std::atomic<bool> fail_deepen{false};
  std::atomic<bool> fail_undo{false};
  status fail_with = status::backend;

 private:
  void note(const std::string& what) {
    const std::lock_guard lock(mutex_);
    log_->push_back(log_ == &own_log_ ? what : name_ + ": " + what);
  }

  std::string name_;
  std::vector<std::string> own_log_;
  std::vector<std::string>* log_;
  mutable std::mutex mutex_;
};

class Ladder : public testing::Test {
 protected:
  void SetUp() override { create(options()); }

  lull::sleeper_options options() {
    lull::sleeper_options result;
    result.ladder = {{30s, offload()}, {10min, without_cache()}, {1h, discard()}};
    result.clock = &clock_;
    return result;
  }
  void create(lull::sleeper_options how) {
    sleeper_.emplace(std::move(how));
    sleeper_->add(who_);
  }

  lull::sleeper_snapshot seen() const { return sleeper_->observe(); }
  std::string plan() const { return seen().plan; }
  lull::duration due_in() const { return *sleeper_->next_deadline() - clock_.now(); }

  /// Polls, and waits for the transition that this starts.
  void take_next() {
    const auto before = transitions();
    EXPECT_TRUE(sleeper_->poll(clock_.now()));
    EXPECT_TRUE(eventually([&] { return transitions() == before + 1; }));
  }
  /// To the next that is due, and not a moment earlier.
  void pass_time() {
    const auto due = due_in();
    clock_.advance(due - 1ns);
    EXPECT_FALSE(sleeper_->poll(clock_.now()));
    clock_.advance(1ns);
    take_next();
  }
  std::uint64_t transitions() const {
    const auto counted = seen().counters;
    return counted.sleeps + counted.failed_sleeps + counted.deepenings + counted.failed_deepenings;
  }

  lull::manual_clock clock_;
  std::shared_ptr<diver> who_ = std::make_shared<diver>();
  std::optional<lull::sleeper> sleeper_;
};

// --- as time passes -----------------------------------------------------------------------------

TEST_F(Ladder, GoesDownRungByRungAsTimePassesWithoutWaking) {
  EXPECT_EQ(plan(), "offload") << "the next sleep's";
  EXPECT_EQ(due_in(), 30s);
  pass_time();
  EXPECT_THAT(who_->taken(), ElementsAre("sleep offload"));
  EXPECT_EQ(due_in(), 10min - 30s) << "times are counted from the last lease";
  pass_time();
  EXPECT_THAT(who_->taken(), ElementsAre("offload to without cache", "is at without cache"));
  EXPECT_EQ(plan(), "without cache");
  EXPECT_EQ(due_in(), 50min);
  pass_time();
  EXPECT_THAT(who_->taken(), ElementsAre("without cache to discard", "is at discard"));
  EXPECT_EQ(seen().state, sleep_state::asleep);
  EXPECT_FALSE(sleeper_->next_deadline()) << "there is nothing below";
  EXPECT_EQ(seen().in_state, 1h - 30s) << "asleep all the while";
  EXPECT_EQ(seen().counters.deepenings, 2u);
  EXPECT_EQ(seen().counters.sleeps, 1u);
  EXPECT_EQ(seen().last->way, direction::deepen);
  EXPECT_TRUE(seen().last->succeeded);

  const auto lease = sleeper_->acquire();
  EXPECT_THAT(who_->taken(), ElementsAre("wake discard"));
}

TEST_F(Ladder, BeginsAnewAfterALease) {
  pass_time();
  pass_time();
  { const auto lease = sleeper_->acquire(); }
  EXPECT_EQ(plan(), "offload");
  EXPECT_EQ(due_in(), 30s);
  pass_time();
  EXPECT_EQ(plan(), "offload");
  EXPECT_EQ(due_in(), 10min - 30s);
}

TEST_F(Ladder, IsClimbedDownByTheSleepersOwnThread) {
  auto watching = options();
  watching.watch_idle = true;
  create(watching);
  for (const char* const expected : {"offload", "without cache", "discard"}) {
    ASSERT_TRUE(sleeper_->next_deadline());
    clock_.advance(due_in());
    EXPECT_TRUE(eventually([&] {
      return seen().state == sleep_state::asleep && plan() == expected && !seen().deepening;
    })) << expected;
  }
}

TEST_F(Ladder, TakesASleepThatWasAskedForDeeperAtTheSameTimes) {
  clock_.advance(5s);
  sleeper_->sleep();
  EXPECT_EQ(plan(), "offload") << "what a sleep does is the first rung";
  EXPECT_EQ(due_in(), 10min - 5s);
  sleeper_->wake();
  sleeper_->sleep(discard());
  EXPECT_FALSE(sleeper_->next_deadline()) << "deeper than all rungs";
  sleeper_->wake();
  sleeper_->sleep(without_cache());
  EXPECT_EQ(due_in(), 1h);
  sleeper_->wake();
  sleeper_->sleep(lull::plan_for(sleep_level::trim));
  EXPECT_EQ(due_in(), 30s);
  pass_time();
  EXPECT_EQ(plan(), "offload");
}

TEST_F(Ladder, OfOneRungIsTheIdleTimeAndThePlan) {
  lull::sleeper_options single;
  single.idle_time = 30s;
  single.plan = offload();
  single.clock = &clock_;
  create(single);
  sleeper_->sleep(lull::plan_for(sleep_level::trim));
  EXPECT_EQ(due_in(), 30s);
  pass_time();
  EXPECT_EQ(plan(), "offload");
  EXPECT_FALSE(sleeper_->next_deadline());
}

TEST_F(Ladder, TakesANewTimeForItsFirstRung) {
  sleeper_->set_idle_time(1min);
  EXPECT_EQ(due_in(), 1min);
  const auto failure = error_of([&] { sleeper_->set_idle_time(10min); });
  EXPECT_EQ(failure.code(), status::invalid_argument);
  EXPECT_THAT(failure.what(), HasSubstr("'without cache'"));
  EXPECT_EQ(due_in(), 1min);
  sleeper_->set_idle_time(std::nullopt);
  sleeper_->sleep();
  EXPECT_FALSE(sleeper_->next_deadline()) << "deeper only when told to";
}

TEST_F(Ladder, ThatDoesNotGoDownIsRefused) {
  const auto refused = [&](std::vector<lull::sleep_rung> rungs) {
    auto bad = options();
    bad.ladder = std::move(rungs);
    const auto failure = error_of([&] { lull::sleeper sleeper(bad); });
    EXPECT_EQ(failure.code(), status::invalid_argument);
    return std::string(failure.what());
  };
  EXPECT_THAT(refused({{-1s, offload()}}), HasSubstr("rung 1 ('offload') must not be negative"));
  EXPECT_THAT(refused({{30s, offload()}, {30s, discard()}}),
              HasSubstr("rung 2 ('discard') must come later than rung 1 ('offload')"));
  EXPECT_THAT(refused({{30s, discard()}, {1min, offload()}}),
              HasSubstr("rung 2 ('offload') is not deeper than rung 1 ('discard')"));
  EXPECT_THAT(refused({{30s, offload()}, {1min, offload()}}), HasSubstr("is not deeper"));
  EXPECT_THAT(refused({{30s, without_cache()}, {1min, offload()}}), HasSubstr("is not deeper"));
  auto reset = offload();
  reset.context = lull::context_action::reset;
  EXPECT_THAT(refused({{30s, reset}, {1min, discard()}}), HasSubstr("is not deeper"));
  auto both = options();
  both.idle_time = 30s;
  EXPECT_EQ(error_of([&] { lull::sleeper sleeper(both); }).code(), status::invalid_argument);
  auto rebirth = offload();
  rebirth.context = lull::context_action::rebirth;
  auto missing = options();
  missing.ladder = {{30s, rebirth}};
  EXPECT_EQ(error_of([&] { lull::sleeper sleeper(missing); }).code(), status::unsupported);
}

TEST_F(Ladder, GoesFromDiscardedContentsToAResetThatOnlyOffloads) {
  auto deep = offload();
  deep.context = lull::context_action::reset;
  auto fine = options();
  fine.ladder = {{30s, discard()}, {1min, deep}};
  EXPECT_NO_THROW(lull::sleeper sleeper(fine)) << "what is gone stays gone; the context is deeper";
}

// --- failures -----------------------------------------------------------------------------------

TEST_F(Ladder, ARungThatFailsIsTriedLessAndLessOftenUntilTheNextIsDue) {
  pass_time();
  who_->taken();
  who_->fail_deepen = true;
  pass_time();
  EXPECT_EQ(seen().state, sleep_state::asleep);
  EXPECT_EQ(plan(), "offload") << "as before";
  EXPECT_EQ(seen().counters.failed_deepenings, 1u);
  ASSERT_TRUE(seen().last);
  EXPECT_FALSE(seen().last->succeeded);
  EXPECT_TRUE(seen().last->rolled_back);
  EXPECT_EQ(seen().last->failure, "diver: too deep");
  EXPECT_THAT(who_->taken(), ElementsAre("offload to without cache"));
  EXPECT_EQ(due_in(), 10min);
  pass_time();
  EXPECT_EQ(due_in(), 20min) << "twice as long";
  pass_time();
  // Its next time would be after an hour: then the next rung is due anyway.
  who_->taken();
  EXPECT_EQ(due_in(), 20min);
  pass_time();
  EXPECT_THAT(who_->taken(), ElementsAre("offload to discard"));
  EXPECT_EQ(due_in(), 1h) << "the last one has no other after it";
  who_->fail_deepen = false;
  pass_time();
  EXPECT_EQ(plan(), "discard");
  EXPECT_FALSE(sleeper_->next_deadline());
}

TEST_F(Ladder, WhatAParticipantCannotDoIsNotTriedAgain) {
  pass_time();
  who_->fail_deepen = true;
  who_->fail_with = status::unsupported;
  pass_time();
  EXPECT_EQ(due_in(), 50min) << "the next rung";
  pass_time();
  EXPECT_FALSE(sleeper_->next_deadline());
  EXPECT_EQ(plan(), "offload");
}

TEST_F(Ladder, AParticipantThatKnowsNoDepthsSaysSo) {
  sleeper_->add(lull::make_participant(
      "engine", [](const auto&, auto&) {}, [](const auto&, auto&) {}));
  sleeper_->sleep();
  const auto failure = error_of([&] { sleeper_->deepen(discard()); });
  EXPECT_EQ(failure.code(), status::unsupported);
  EXPECT_THAT(failure.what(), HasSubstr("engine"));
  EXPECT_EQ(plan(), "offload");
}

TEST_F(Ladder, TakesBackWhoWentDeeperBeforeAFailure) {
  std::vector<std::string> log;
  const auto first = std::make_shared<diver>("first", &log);
  const auto second = std::make_shared<diver>("second", &log);
  const auto third = std::make_shared<diver>("third", &log);
  sleeper_.emplace(options());
  for (const auto& each : {first, second, third}) sleeper_->add(each);
  sleeper_->sleep();
  log.clear();
  first->fail_deepen = true;
  EXPECT_EQ(error_of([&] { sleeper_->deepen(discard()); }).code(), status::backend);
  EXPECT_THAT(log, ElementsAre("third: offload to discard", "second: offload to discard",
                               "first: offload to discard", "second: discard back to offload",
                               "third: discard back to offload"));
  log.clear();
  first->fail_deepen = false;
  sleeper_->deepen(discard());
  EXPECT_THAT(log, ElementsAre("third: offload to discard", "second: offload to discard",
                               "first: offload to discard", "third: is at discard",
                               "second: is at discard", "first: is at discard"));
}

TEST_F(Ladder, WhoCannotBeTakenBackIsWokenFromWhereItIs) {
  std::vector<std::string> log;
  const auto first = std::make_shared<diver>("first", &log);
  const auto second = std::make_shared<diver>("second", &log);
  sleeper_.emplace(options());
  sleeper_->add(first);
  sleeper_->add(second);
  sleeper_->sleep();
  first->fail_deepen = true;
  second->fail_undo = true;
  const auto failure = error_of([&] { sleeper_->deepen(without_cache()); });
  EXPECT_THAT(failure.what(), HasSubstr("first: too deep; taking it back failed too: second"));
  EXPECT_FALSE(seen().last->rolled_back);
  EXPECT_EQ(plan(), "offload");

  log.clear();
  EXPECT_EQ(error_of([&] { sleeper_->deepen(discard()); }).code(), status::backend);
  EXPECT_THAT(log, ElementsAre("second: without cache to discard", "first: offload to discard",
                               "second: discard back to without cache"));
  log.clear();
  sleeper_->wake();
  EXPECT_THAT(log, ElementsAre("first: wake offload", "second: wake discard"));
  log.clear();
  sleeper_->sleep();
  sleeper_->wake();
  EXPECT_THAT(log, ElementsAre("second: sleep offload", "first: sleep offload",
                               "first: wake offload", "second: wake offload"));
}

// --- by need ------------------------------------------------------------------------------------

TEST_F(Ladder, IsClimbedDownByNeed) {
  sleeper_->sleep();
  const auto report = sleeper_->deepen();
  EXPECT_EQ(report.way, direction::deepen);
  EXPECT_EQ(report.plan, "without cache");
  EXPECT_EQ(due_in(), 1h);
  EXPECT_EQ(sleeper_->deepen().plan, "discard");
  const auto failure = error_of([&] { sleeper_->deepen(); });
  EXPECT_EQ(failure.code(), status::not_found);
  EXPECT_THAT(failure.what(), HasSubstr("'discard'"));
}

TEST_F(Ladder, WhatASleepDoesAlreadyIsNotDoneAgain) {
  sleeper_->sleep(discard());
  who_->taken();
  const auto report = sleeper_->deepen(offload());
  EXPECT_TRUE(report.succeeded);
  EXPECT_EQ(report.plan, "discard") << "never shallower";
  EXPECT_THAT(report.steps, IsEmpty());
  EXPECT_THAT(who_->taken(), IsEmpty());
  EXPECT_EQ(seen().counters.deepenings, 0u);
}

TEST_F(Ladder, WhatIsGoneStaysGoneWhenAPlanSaysLess) {
  sleep_plan cache_only;
  cache_only.name = "cache";
  cache_only.contents.by_tag["kv"] = contents_action::discard;
  std::optional<sleep_plan> woken_from;
  sleeper_->add(lull::make_participant(
      "engine", [](const auto&, auto&) {},
      [&](const sleep_plan& from, auto&) { woken_from = from; }, {},
      [](const auto&, const auto&, auto&) {}));
  sleeper_->sleep(cache_only);
  EXPECT_EQ(sleeper_->deepen(offload()).plan, "offload");
  sleeper_->wake();
  ASSERT_TRUE(woken_from);
  EXPECT_EQ(woken_from->contents.action_for("kv"), contents_action::discard);
  EXPECT_EQ(woken_from->contents.action_for("weights"), contents_action::offload);
}

TEST_F(Ladder, OnlyASleeperThatSleepsGoesDeeper) {
  const auto failure = error_of([&] { sleeper_->deepen(discard()); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("it is awake"));
}

TEST_F(Ladder, ItStaysAsleepMeanwhileAndWakesAfterwardsForWhoCame) {
  sleeper_->sleep();
  who_->held = true;
  auto deeper = std::async(std::launch::async, [&] { return sleeper_->deepen(discard()); });
  ASSERT_TRUE(eventually([&] { return who_->inside.load(); }));
  EXPECT_EQ(seen().state, sleep_state::asleep);
  EXPECT_TRUE(seen().deepening);
  EXPECT_FALSE(sleeper_->try_acquire());
  auto lease = std::async(std::launch::async, [&] { return sleeper_->acquire(); });
  ASSERT_TRUE(eventually([&] { return seen().waiting == 1; }));
  // Whoever wants it deeper still comes after the lease.
  auto late = std::async(std::launch::async, [&] { return sleeper_->deepen(reset_all()); });
  who_->held = false;
  EXPECT_TRUE(deeper.get().succeeded);
  const auto held = lease.get();
  EXPECT_EQ(seen().state, sleep_state::awake);
  EXPECT_EQ(error_of([&] { late.get(); }).code(), status::busy);
  EXPECT_FALSE(seen().deepening);
}

TEST_F(Ladder, AnEndOfTheSleeperTakesItBack) {
  sleeper_->sleep();
  who_->held = true;
  clock_.advance(10min);
  EXPECT_TRUE(sleeper_->poll(clock_.now()));
  ASSERT_TRUE(eventually([&] { return who_->inside.load(); }));
  sleeper_.reset();
  EXPECT_THAT(who_->taken(), ElementsAre("sleep offload"));
}

TEST_F(Ladder, RunsWhereParticipantsRun) {
  auto elsewhere = options();
  std::vector<std::thread> loop;
  std::atomic<int> pieces{0};
  elsewhere.run_on = [&](lull::transition_work work) {
    ++pieces;
    loop.emplace_back([work = std::move(work)]() mutable { work(); });
  };
  create(elsewhere);
  sleeper_->sleep();
  sleeper_->deepen(discard());
  EXPECT_EQ(pieces, 2);
  sleeper_.reset();
  for (auto& each : loop) each.join();
}

TEST_F(Ladder, FromAParticipantItIsRefused) {
  sleeper_->add(lull::make_participant(
      "engine", [&](const auto&, auto&) { sleeper_->deepen(discard()); },
      [](const auto&, auto&) {}));
  EXPECT_EQ(error_of([&] { sleeper_->sleep(); }).code(), status::busy);
}

TEST_F(Ladder, AHalfAwakeSleeperMustWakeFirst) {
  sleeper_.emplace(options());
  sleeper_->add(lull::make_participant(
      "broken", [](const auto&, auto&) { throw lull::error(status::backend, "no"); },
      [](const auto&, auto&) {}));
  sleeper_->add(lull::make_participant(
      "stuck", [](const auto&, auto&) {},
      [](const auto&, auto&) { throw lull::error(status::backend, "stuck"); }));
  EXPECT_EQ(error_of([&] { sleeper_->sleep(); }).code(), status::backend);
  EXPECT_EQ(seen().state, sleep_state::asleep);
  EXPECT_FALSE(sleeper_->next_deadline());
  const auto failure = error_of([&] { sleeper_->deepen(discard()); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("part of it is awake"));
}

// --- with memory --------------------------------------------------------------------------------

class LadderOfMemory : public Ladder {
 protected:
  void SetUp() override {}

  void create(lull::sleeper_options how) {
    sleeper_.emplace(std::move(how));
    sleeper_->manage(memory_);
  }
  lull::region make(const char* tag, lull::refill_callback refill) {
    auto made = memory_.allocate(host_, 1_MiB, {.tag = tag, .refill = std::move(refill)});
    made.refill([](const auto& to) { std::memset(to.address(), 7, to.size_bytes()); });
    return made;
  }
  static void write(const lull::refill_target& to) {
    std::memset(to.address(), 7, to.size_bytes());
  }
  static bool is_whole(const lull::region& which) {
    const auto lease = which.acquire();
    const auto* const bytes = static_cast<const char*>(lease.address());
    return std::count(bytes, bytes + lease.size_bytes(), 7) ==
           static_cast<std::ptrdiff_t>(lease.size_bytes());
  }

  lull::registry registry_{[] {
    lull::registry_options built_in;
    built_in.search = false;
    return built_in;
  }()};
  lull::device host_ = registry_.find("HOST");
  lull::memory memory_;
  lull::region weights_ = make("weights", write);
  lull::region cache_ = make("kv", {});
};

TEST_F(LadderOfMemory, GivesUpTheBackupsOfWhatSomethingWritesAgain) {
  create(options());
  sleeper_->sleep(offload());
  sleeper_->deepen(discard());
  EXPECT_EQ(weights_.state(), lull::residency::discarded);
  EXPECT_EQ(cache_.state(), lull::residency::offloaded) << "nothing would write it again";
  sleeper_->wake();
  EXPECT_TRUE(is_whole(weights_));
  EXPECT_TRUE(is_whole(cache_));
}

TEST_F(LadderOfMemory, ABackupIsKeptUntilNothingCanFailAnyMore) {
  sleeper_.emplace(options());
  sleeper_->add(who_);  // goes deeper after the memory
  sleeper_->manage(memory_);
  sleeper_->sleep(offload());
  who_->fail_deepen = true;
  EXPECT_EQ(error_of([&] { sleeper_->deepen(discard()); }).code(), status::backend);
  EXPECT_EQ(weights_.state(), lull::residency::offloaded);
}

TEST_F(LadderOfMemory, WhatLeftForNothingComesBack) {
  sleeper_.emplace(options());
  sleeper_->add(who_);
  sleeper_->manage(memory_);
  sleeper_->sleep(lull::plan_for(sleep_level::trim));
  EXPECT_EQ(weights_.state(), lull::residency::resident);
  who_->fail_deepen = true;
  EXPECT_EQ(error_of([&] { sleeper_->deepen(offload()); }).code(), status::backend);
  EXPECT_EQ(weights_.state(), lull::residency::resident);
  EXPECT_EQ(cache_.state(), lull::residency::resident);
  EXPECT_TRUE(is_whole(weights_));
  sleep_plan cache_only;
  cache_only.name = "cache";
  cache_only.contents.by_tag["kv"] = contents_action::offload;
  who_->fail_deepen = false;
  sleeper_->deepen(cache_only);
  who_->fail_deepen = true;
  EXPECT_EQ(error_of([&] { sleeper_->deepen(offload()); }).code(), status::backend);
  EXPECT_EQ(weights_.state(), lull::residency::resident);
  EXPECT_EQ(cache_.state(), lull::residency::offloaded) << "as it was";
}

TEST_F(LadderOfMemory, OnlyWhatSomethingWritesAgainLosesItsBackup) {
  lull::memory own;
  auto changed = own.allocate(host_, 64_KiB, {.tag = "weights", .refill = write});
  changed.refill(write);
  changed.set_refill({});
  own.evict({contents_action::offload, {}});
  EXPECT_EQ(own.drop_backups({contents_action::discard, {}}), 0u);
  EXPECT_EQ(changed.state(), lull::residency::offloaded);
  changed.set_refill(write);
  EXPECT_EQ(own.drop_backups({contents_action::offload, {}}), 0u) << "the plan keeps it";
  EXPECT_EQ(own.drop_backups({contents_action::discard, {}}), 64_KiB);
  EXPECT_EQ(changed.state(), lull::residency::discarded);
}

TEST_F(LadderOfMemory, TheNextRungComesAtOnceWhenTooMuchIsLeft) {
  sleep_plan cache_only;
  cache_only.name = "cache";
  cache_only.contents.by_tag["kv"] = contents_action::discard;
  cache_only.max_residue_bytes = 64_KiB;
  auto how = options();
  how.ladder = {{30s, cache_only}, {10min, offload()}, {1h, discard()}};
  std::vector<std::string> problems;
  how.on_transition = [&](const lull::transition_report& report) {
    problems.insert(problems.end(), report.problems.begin(), report.problems.end());
  };
  create(how);
  const auto report = sleeper_->sleep();
  EXPECT_THAT(report.problems, ElementsAre(HasSubstr("HOST: 1 MiB are left on it")));
  ASSERT_TRUE(eventually([&] { return plan() == "offload" && !seen().deepening; }));
  EXPECT_EQ(weights_.state(), lull::residency::offloaded);
  EXPECT_EQ(due_in(), 1h) << "and that one leaves nothing";
  sleeper_.reset();
  EXPECT_THAT(problems, testing::SizeIs(1));
}

TEST_F(LadderOfMemory, WhatIsLeftWithinTheBoundHurriesNothing) {
  sleep_plan cache_only;
  cache_only.name = "cache";
  cache_only.contents.by_tag["kv"] = contents_action::discard;
  cache_only.max_residue_bytes = host_.memory().used_by_process_bytes.value() - 1_MiB;
  auto how = options();
  how.ladder = {{30s, cache_only}, {10min, offload()}};
  create(how);
  EXPECT_THAT(sleeper_->sleep().problems, IsEmpty());
  EXPECT_EQ(due_in(), 10min);
  EXPECT_EQ(plan(), "cache");
}

TEST_F(LadderOfMemory, WhatATransitionHasNotMeasuredIsMeasured) {
  sleep_plan trim = lull::plan_for(sleep_level::trim);
  trim.max_residue_bytes = 0;
  auto how = options();
  how.ladder = {{30s, trim}, {10min, offload()}};
  create(how);
  EXPECT_THAT(sleeper_->sleep().problems, ElementsAre(HasSubstr("HOST: 2 MiB are left on it")));
  EXPECT_TRUE(eventually([&] { return plan() == "offload"; }));
}

TEST_F(LadderOfMemory, ALevelThatTheDeviceLacksIsRefusedBeforeAnythingIsTouched) {
  create(options());
  sleeper_->add(who_);
  auto failure = error_of([&] { sleeper_->sleep(reset_all()); });
  EXPECT_EQ(failure.code(), status::unsupported);
  EXPECT_THAT(failure.what(), testing::AllOf(HasSubstr("'reset'"), HasSubstr("only HOST"),
                                             HasSubstr("the nearest that would do is 'discard'")));
  EXPECT_THAT(who_->taken(), IsEmpty());
  EXPECT_EQ(seen().state, sleep_state::awake);
  sleeper_->sleep(offload());
  who_->taken();
  failure = error_of([&] { sleeper_->deepen(reset_all()); });
  EXPECT_EQ(failure.code(), status::unsupported);
  EXPECT_THAT(failure.what(), HasSubstr("'discard'"));
  EXPECT_THAT(who_->taken(), IsEmpty());
  EXPECT_EQ(weights_.state(), lull::residency::offloaded);
}

TEST_F(LadderOfMemory, OrItFallsBackAndSaysSo) {
  create(options());
  auto wanted = reset_all();
  wanted.fallback = true;
  auto report = sleeper_->sleep(wanted);
  EXPECT_EQ(report.plan, "discard");
  EXPECT_EQ(report.fell_back_from, "reset");
  EXPECT_EQ(plan(), "discard");
  sleeper_->wake();
  cache_.refill(write);

  sleeper_->sleep(offload());
  report = sleeper_->deepen(wanted);
  EXPECT_EQ(report.plan, "discard");
  EXPECT_EQ(report.fell_back_from, "reset");
  report = sleeper_->deepen(wanted);
  EXPECT_EQ(report.fell_back_from, "reset");
  EXPECT_THAT(report.steps, IsEmpty()) << "there is nothing to do any more";
  EXPECT_EQ(seen().counters.deepenings, 1u);

  wanted.context = lull::context_action::rebirth;  // which this sleeper lacks
  sleeper_->wake();
  cache_.refill(write);
  EXPECT_EQ(sleeper_->sleep(wanted).plan, "discard");
}

TEST_F(LadderOfMemory, TheOneThatTheDocumentationShowsGoesDown) {
  auto how = deeper_and_deeper();
  how.clock = &clock_;
  how.ladder[2].plan.fallback = true;  // the host has no context
  create(how);
  sleeper_->sleep();
  EXPECT_EQ(due_in(), 10min) << "nothing is left of what it held";
  pass_time();
  EXPECT_EQ(plan(), "discard");
}

TEST_F(LadderOfMemory, ARungThatTheDeviceLacksIsLeftOutOrFallsBack) {
  auto how = options();
  how.ladder = {{30s, discard()}, {10min, reset_all()}};
  create(how);
  pass_time();
  pass_time();
  EXPECT_EQ(seen().counters.failed_deepenings, 1u);
  EXPECT_FALSE(sleeper_->next_deadline());

  how.ladder.back().plan.fallback = true;
  create(how);
  sleeper_->sleep();
  clock_.advance(10min);
  EXPECT_TRUE(sleeper_->poll(clock_.now()));
  EXPECT_TRUE(eventually([&] { return seen().last->fell_back_from == "reset"; }));
  EXPECT_FALSE(sleeper_->next_deadline());
  EXPECT_EQ(seen().counters.failed_deepenings, 0u);
}

TEST_F(LadderOfMemory, MarksWhatItReleases) {
  lull::release_clock releases;
  auto how = options();
  how.releases = &releases;
  create(how);
  sleeper_->sleep(lull::plan_for(sleep_level::trim));
  const auto before = releases.last("HOST");
  sleeper_->deepen(offload());
  EXPECT_NE(releases.last("HOST"), before);
  sleeper_.reset();
}

}  // namespace
