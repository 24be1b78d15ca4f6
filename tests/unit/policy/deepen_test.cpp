// Memory that goes from one sleep to a deeper one: every pair of plans, every operation that can
// fail meanwhile, and random sequences against a model.

#include <lull/lull.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fault_backend.hpp"
#include "support/scratch_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace lull::literals;
using lull::contents_action;
using lull::residency;
using lull::sleep_plan;
using lull::sleep_state;

/// From the shallowest to the deepest, but for the two in the middle, of which neither is deeper.
std::vector<sleep_plan> plans() {
  const auto plan = [](std::string name, contents_action weights, contents_action kv) {
    sleep_plan made;
    made.name = std::move(name);
    made.contents.otherwise = weights;
    made.contents.by_tag["kv"] = kv;
    return made;
  };
  using enum contents_action;
  return {plan("trim", keep, keep),          plan("cache away", keep, offload),
          plan("offload", offload, offload), plan("no cache", keep, discard),
          plan("mixed", offload, discard),   plan("discard", discard, discard)};
}

class Deepening : public testing::Test {
 protected:
  Deepening() {
    lull::test::fail_operation(0);
    lull::test::set_fault_device({});
    EXPECT_EQ(registry_.add(lull::test::fault_ops()).state, lull::module_state::active);
    device_ = registry_.find("FAULT0");
    // What the kernel takes for a program until it looks into it.
    std::ofstream(program_) << "\x7f garbage";
    fs::permissions(program_, fs::perms::owner_all);
    static_cast<void>(lull::take_rebirth());
    begin_image(false);
    kept_ = make("weights", false);
  }
  ~Deepening() override { lull::test::fail_operation(0); }

  /// Memory and sleeper as a program makes them when it begins.
  /// @param reborn whether it is the next image, where all is asleep
  void begin_image(bool reborn) {
    sleeper_.reset();
    regions_.clear();
    memory_.emplace(
        lull::memory_options{.chunk_bytes = 8_KiB, .poison_unfilled = false, .threads = 1});
    values_ = 0;
    for (const char* const tag : {"weights", "weights", "kv", "kv"}) {
      regions_.push_back(make(tag, true, reborn));
    }
    lull::sleeper_options options;
    options.rebirth.how.program = program_;
    options.rebirth.hand_over = [this](const lull::sleep_counters& then) {
      left_ = then;
      return lull::rebirth_handover{{}, 1, ""};
    };
    sleeper_.emplace(std::move(options));
    sleeper_->manage(*memory_);
    if (reborn) sleeper_->begin_asleep(plan_for(lull::sleep_level::rebirth), *left_);
  }

  /// @param refilled whether something writes it again after a discard
  /// @param absent whether it begins off the device
  lull::region make(std::string tag, bool refilled = true, bool absent = false) {
    const int value = ++values_;
    const auto write = [value](const lull::refill_target& to) {
      std::memset(to.address(), value, to.size_bytes());
    };
    lull::region_options options{std::move(tag), std::to_string(value)};
    options.absent = absent;
    auto region = memory_->allocate(*device_, 24_KiB, std::move(options));
    if (!absent) region.refill(write);
    if (refilled) region.set_refill(write);
    return region;
  }

  static void expect_contents(const lull::region& which) {
    const auto lease = which.acquire();
    const std::vector<char> wanted(lease.size_bytes(), static_cast<char>(std::stoi(which.name())));
    EXPECT_EQ(std::memcmp(lease.address(), wanted.data(), wanted.size()), 0) << which.name();
  }
  void expect_contents() const {
    for (const auto& each : regions_) expect_contents(each);
  }

  std::vector<residency> states() const {
    std::vector<residency> all;
    for (const auto& info : memory_->regions()) all.push_back(info.state);
    return all;
  }
  std::string state() const {
    const auto seen = sleeper_->observe();
    return seen.state == sleep_state::asleep ? seen.plan : std::string(to_string(seen.state));
  }

  lull::registry registry_{[] {
    lull::registry_options options;
    options.search = false;
    return options;
  }()};
  lull::test::scratch_folder folder_;
  const fs::path program_ = folder_.path() / "program";
  std::optional<lull::memory> memory_;
  std::optional<lull::device> device_;
  int values_ = 0;
  std::vector<lull::region> regions_;
  std::optional<lull::region> kept_;          ///< nothing writes it again
  std::optional<lull::sleep_counters> left_;  ///< what the last image handed over
  std::optional<lull::sleeper> sleeper_;
};

TEST_F(Deepening, EveryPairOfPlansBringsTheSameContentsBack) {
  for (const sleep_plan& from : plans()) {
    for (const sleep_plan& to : plans()) {
      SCOPED_TRACE(from.name + " to " + to.name);
      sleeper_->sleep(from);
      const bool was_there = kept_->state() == residency::resident;
      const std::uint64_t before = device_->memory().used_by_process_bytes.value();
      EXPECT_TRUE(sleeper_->deepen(to).succeeded);
      EXPECT_LE(device_->memory().used_by_process_bytes.value(), before);
      sleeper_->wake();
      expect_contents();
      const bool dropped = from.name == "discard" || (was_there && to.name == "discard");
      EXPECT_EQ(kept_->state(), dropped ? residency::unfilled : residency::resident);
      if (dropped) {
        kept_->refill([&](const auto& at) {
          std::memset(at.address(), std::stoi(kept_->name()), at.size_bytes());
        });
      }
      expect_contents(*kept_);
    }
  }
}

TEST_F(Deepening, ARebirthLeavesEveryPlanAsItWasOrBeginsWithItsCounters) {
  kept_.reset();
  const sleep_plan rebirth = plan_for(lull::sleep_level::rebirth);
  for (const sleep_plan& from : plans()) {
    SCOPED_TRACE(from.name);
    sleeper_->sleep(from);
    const auto before = states();
    EXPECT_THROW(sleeper_->deepen(rebirth), lull::error);
    EXPECT_EQ(state(), from.name);
    EXPECT_EQ(states(), before);
    sleeper_->wake();
    expect_contents();

    sleeper_->sleep(from);
    EXPECT_THROW(sleeper_->deepen(rebirth), lull::error);
    const std::uint64_t wakes = sleeper_->observe().counters.wakes;
    begin_image(true);
    EXPECT_EQ(device_->memory().used_by_process_bytes, 0u);
    EXPECT_EQ(state(), "rebirth");
    EXPECT_EQ(sleeper_->observe().counters.deepenings, left_->deepenings);
    sleeper_->wake();
    EXPECT_EQ(sleeper_->observe().counters.wakes, wakes + 1);
    expect_contents();
  }
}

TEST_F(Deepening, WhateverFailsItSleepsOnAsItDid) {
  kept_.reset();
  std::size_t failures = 0;
  for (const sleep_plan& from : plans()) {
    for (const sleep_plan& to : plans()) {
      SCOPED_TRACE(from.name + " to " + to.name);
      for (std::uint64_t n = 1;; ++n) {
        sleeper_->sleep(from);
        const auto before = states();
        const std::uint64_t used = device_->memory().used_by_process_bytes.value();
        lull::test::fail_operation(n);
        bool failed = false;
        try {
          sleeper_->deepen(to);
        } catch (const lull::error& failure) {
          failed = true;
          EXPECT_EQ(failure.code(), lull::status::backend);
        }
        const std::string operation = lull::test::failed_operation();
        lull::test::fail_operation(0);
        if (failed) {
          ++failures;
          EXPECT_EQ(state(), from.name) << operation;
          EXPECT_EQ(states(), before) << operation;
          EXPECT_EQ(device_->memory().used_by_process_bytes.value(), used) << operation;
          EXPECT_TRUE(sleeper_->observe().last->rolled_back) << operation;
        }
        sleeper_->wake();
        expect_contents();
        if (operation.empty()) break;
      }
    }
  }
  EXPECT_GT(failures, 50u) << "some can fail";
}

/// What a sleeper and its regions should be like.
class model {
 public:
  explicit model(std::vector<std::string> tags) : tags_(std::move(tags)) { wake(); }

  void sleep(const sleep_plan& plan) {
    plan_ = plan;
    ++sleeps;
    apply();
  }
  void deepen(const sleep_plan& plan) {
    bool deeper = false;
    for (const char* const tag : {"weights", "kv"}) {
      const contents_action mine = plan_->contents.action_for(tag);
      const contents_action theirs = plan.contents.action_for(tag);
      deeper = deeper || theirs > mine;
      plan_->contents.by_tag[tag] = std::max(mine, theirs);
    }
    if (!deeper) return;
    ++deepenings;
    plan_->name = plan.name;
    apply();
  }
  void be_reborn() {
    ++(asleep() ? deepenings : sleeps);
    plan_ = plan_for(lull::sleep_level::rebirth);
    apply();
  }
  void wake() {
    if (asleep()) ++wakes;
    plan_.reset();
    states_.assign(tags_.size(), residency::resident);
  }

  std::uint64_t sleeps = 0;
  std::uint64_t wakes = 0;
  std::uint64_t deepenings = 0;

  [[nodiscard]] bool asleep() const { return plan_.has_value(); }
  [[nodiscard]] std::string state() const { return plan_ ? plan_->name : "awake"; }
  [[nodiscard]] const std::vector<residency>& states() const { return states_; }

 private:
  void apply() {
    for (std::size_t i = 0; i < tags_.size(); ++i) {
      const contents_action action = plan_->contents.action_for(tags_[i]);
      if (action == contents_action::offload && states_[i] == residency::resident) {
        states_[i] = residency::offloaded;
      }
      if (action == contents_action::discard) states_[i] = residency::discarded;
    }
  }

  const std::vector<std::string> tags_;
  std::optional<sleep_plan> plan_;
  std::vector<residency> states_;
};

TEST_F(Deepening, RandomSequencesEndAsAModelSays) {
  kept_.reset();
  const unsigned first = std::random_device()();
  fmt::print("first seed: {}\n", first);
  const std::vector<sleep_plan> all = plans();
  std::map<std::string, int> failed;
  for (unsigned seed = first; seed != first + 500; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto any = [&](std::size_t below) { return static_cast<std::size_t>(random()) % below; };
    sleeper_->wake();
    const lull::sleep_counters before = sleeper_->observe().counters;
    model expected({"weights", "weights", "kv", "kv"});
    for (int step = 0; step < 12; ++step) {
      const sleep_plan& plan = all[any(all.size())];
      const std::size_t what = any(5);
      lull::test::fail_operation(any(2) == 0 ? 1 + any(20) : 0);
      std::string did;
      lull::status failure_is = lull::status::backend;
      try {
        if (what == 0) {
          did = "wake";
          sleeper_->wake();
          expected.wake();
        } else if (what == 1 && expected.state() != "rebirth") {
          did = "rebirth";
          failure_is = lull::status::io;  // the program is none
          const sleep_plan next = plan_for(lull::sleep_level::rebirth);
          expected.asleep() ? sleeper_->deepen(next) : sleeper_->sleep(next);
          ADD_FAILURE() << "it has returned";
        } else if (!expected.asleep()) {
          did = "sleep " + plan.name;
          sleeper_->sleep(plan);
          expected.sleep(plan);
        } else {
          did = "deepen to " + plan.name;
          sleeper_->deepen(plan);
          expected.deepen(plan);
        }
      } catch (const lull::error& failure) {
        EXPECT_EQ(failure.code(), failure_is) << failure.what();
        ++failed[did.substr(0, 4)];
      }
      lull::test::fail_operation(0);
      ASSERT_EQ(state(), expected.state()) << "step " << step << ": " << did;
      ASSERT_EQ(states(), expected.states()) << "step " << step << ": " << did;
      if (did == "rebirth" && any(2) == 0) {
        // As if it had not failed: nothing but what was handed over is left.
        begin_image(true);
        expected.be_reborn();
        ASSERT_EQ(state(), expected.state()) << "step " << step;
        ASSERT_EQ(states(), expected.states()) << "step " << step;
      }
      if (!expected.asleep()) expect_contents();
      const lull::sleep_counters now = sleeper_->observe().counters;
      ASSERT_EQ(now.sleeps - before.sleeps, expected.sleeps) << "step " << step << ": " << did;
      ASSERT_EQ(now.wakes - before.wakes, expected.wakes) << "step " << step << ": " << did;
      ASSERT_EQ(now.deepenings - before.deepenings, expected.deepenings) << step << ": " << did;
    }
  }
  EXPECT_THAT(failed, testing::SizeIs(4)) << "sleeps, wakes, deepenings and rebirths that failed";
  sleeper_->wake();
  expect_contents();
}

}  // namespace
