// Memory that goes from one sleep to a deeper one: every pair of plans, every operation that can
// fail meanwhile, and random sequences against a model.

#include <lull/lull.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fault_backend.hpp"

namespace {

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
    for (const char* const tag : {"weights", "weights", "kv", "kv"}) regions_.push_back(make(tag));
    kept_ = make("weights", false);
    sleeper_.manage(memory_);
  }
  ~Deepening() override { lull::test::fail_operation(0); }

  /// @param refilled whether something writes it again after a discard
  lull::region make(std::string tag, bool refilled = true) {
    const int value = ++values_;
    const auto write = [value](const lull::refill_target& to) {
      std::memset(to.address(), value, to.size_bytes());
    };
    auto region = memory_.allocate(*device_, 24_KiB, {std::move(tag), std::to_string(value)});
    region.refill(write);
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
    for (const auto& info : memory_.regions()) all.push_back(info.state);
    return all;
  }
  std::string state() const {
    const auto seen = sleeper_.observe();
    return seen.state == sleep_state::asleep ? seen.plan : std::string(to_string(seen.state));
  }

  lull::registry registry_{[] {
    lull::registry_options options;
    options.search = false;
    return options;
  }()};
  lull::memory memory_{{.chunk_bytes = 8_KiB, .poison_unfilled = false, .threads = 1}};
  std::optional<lull::device> device_;
  int values_ = 0;
  std::vector<lull::region> regions_;
  std::optional<lull::region> kept_;  ///< nothing writes it again
  lull::sleeper sleeper_;
};

TEST_F(Deepening, EveryPairOfPlansBringsTheSameContentsBack) {
  for (const sleep_plan& from : plans()) {
    for (const sleep_plan& to : plans()) {
      SCOPED_TRACE(from.name + " to " + to.name);
      sleeper_.sleep(from);
      const bool was_there = kept_->state() == residency::resident;
      const std::uint64_t before = device_->memory().used_by_process_bytes.value();
      EXPECT_TRUE(sleeper_.deepen(to).succeeded);
      EXPECT_LE(device_->memory().used_by_process_bytes.value(), before);
      sleeper_.wake();
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

TEST_F(Deepening, WhateverFailsItSleepsOnAsItDid) {
  kept_.reset();
  std::size_t failures = 0;
  for (const sleep_plan& from : plans()) {
    for (const sleep_plan& to : plans()) {
      SCOPED_TRACE(from.name + " to " + to.name);
      for (std::uint64_t n = 1;; ++n) {
        sleeper_.sleep(from);
        const auto before = states();
        const std::uint64_t used = device_->memory().used_by_process_bytes.value();
        lull::test::fail_operation(n);
        bool failed = false;
        try {
          sleeper_.deepen(to);
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
          EXPECT_TRUE(sleeper_.observe().last->rolled_back) << operation;
        }
        sleeper_.wake();
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
    plan_->name = plan.name;
    apply();
  }
  void wake() {
    plan_.reset();
    states_.assign(tags_.size(), residency::resident);
  }

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
    model expected({"weights", "weights", "kv", "kv"});
    sleeper_.wake();
    for (int step = 0; step < 12; ++step) {
      const sleep_plan& plan = all[any(all.size())];
      const std::size_t what = any(4);
      lull::test::fail_operation(any(2) == 0 ? 1 + any(20) : 0);
      std::string did;
      try {
        if (what == 0) {
          did = "wake";
          sleeper_.wake();
          expected.wake();
        } else if (!expected.asleep()) {
          did = "sleep " + plan.name;
          sleeper_.sleep(plan);
          expected.sleep(plan);
        } else {
          did = "deepen to " + plan.name;
          sleeper_.deepen(plan);
          expected.deepen(plan);
        }
      } catch (const lull::error& failure) {
        EXPECT_EQ(failure.code(), lull::status::backend) << failure.what();
        ++failed[did.substr(0, 4)];
      }
      lull::test::fail_operation(0);
      ASSERT_EQ(state(), expected.state()) << "step " << step << ": " << did;
      ASSERT_EQ(states(), expected.states()) << "step " << step << ": " << did;
      if (!expected.asleep()) expect_contents();
    }
  }
  EXPECT_THAT(failed, testing::SizeIs(3)) << "sleeps, wakes and deepenings that failed";
  sleeper_.wake();
  expect_contents();
}

}  // namespace
