// What is due by the idle time and has not begun, while the sleeper's thread is busy.

#include <lull/lull.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"

namespace {

using namespace std::chrono_literals;
using lull::sleep_level;
using lull::sleep_state;
using direction = lull::transition_report::direction;

/// Has upkeep that a test asks for.
class worker final : public lull::participant {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "worker"; }
  void sleep(const lull::sleep_plan&, lull::transition&) override {}
  void wake(const lull::sleep_plan&, lull::transition&) override {}
  void deepen(const lull::sleep_plan&, const lull::sleep_plan&, lull::transition&) override {}
  [[nodiscard]] std::optional<lull::time_point> next_upkeep() const noexcept override {
    return wants_upkeep ? std::optional(lull::time_point::min()) : std::nullopt;
  }
  void upkeep(lull::time_point) override {
    wants_upkeep = false;
    ++upkeeps;
  }

  std::atomic<bool> wants_upkeep{false};
  std::atomic<int> upkeeps{0};
};

class IdleTime : public testing::Test {
 protected:
  void make(lull::sleeper_options options) {
    options.clock = &clock_;
    options.on_transition = [this](const lull::transition_report& done) {
      // Not after another one before it, whose callback may come when its caller has gone on.
      if (done.way == held_after_ && hold_.exchange(false)) {
        held_ = true;
        go_on_.get_future().wait();
      }
    };
    sleeper_.emplace(std::move(options));
    sleeper_->add(who_);
  }
  /// The thread is in a callback until `go_on()`.
  void hold_after(direction way) {
    held_after_ = way;
    hold_ = true;
  }
  void expect_held() {
    EXPECT_TRUE(lull::test::eventually([this] { return held_.load(); }));
  }
  void go_on() { go_on_.set_value(); }

  /// By its idle time of 30 s, with the thread held after a wake.
  void make_with_a_sleep_due() {
    make({.idle_time = 30s});
    sleeper_->sleep();
    hold_after(direction::wake);
    sleeper_->wake();
    expect_held();
    clock_.advance(30s);
    EXPECT_TRUE(sleeper_->poll(clock_.now()));
  }

  /// Until the thread has looked at everything that was due before.
  void let_it_look() {
    who_->wants_upkeep = true;
    sleeper_->poll(clock_.now());
    go_on();
    EXPECT_TRUE(lull::test::eventually(
        [this] { return who_->upkeeps != 0 || sleeper_->observe().state == sleep_state::asleep; }));
  }

  std::atomic<direction> held_after_{direction::wake};
  std::atomic<bool> hold_{false};
  std::atomic<bool> held_{false};
  std::promise<void> go_on_;
  lull::manual_clock clock_;
  std::shared_ptr<worker> who_ = std::make_shared<worker>();
  std::optional<lull::sleeper> sleeper_;
};

TEST_F(IdleTime, ASleepThatWasDueIsDueNoMoreWhenItIsTurnedOff) {
  make_with_a_sleep_due();
  sleeper_->set_idle_time(std::nullopt);
  let_it_look();
  EXPECT_EQ(sleeper_->observe().state, sleep_state::awake);
  EXPECT_EQ(sleeper_->observe().counters.sleeps, 1u);
}

TEST_F(IdleTime, ALongerOneHoldsForASleepThatWasDue) {
  make_with_a_sleep_due();
  sleeper_->set_idle_time(31s);
  let_it_look();
  EXPECT_EQ(sleeper_->observe().state, sleep_state::awake);
  clock_.advance(1s);
  EXPECT_TRUE(sleeper_->poll(clock_.now()));
}

TEST_F(IdleTime, BeginsAnewWithWorkThatCameAndWentBeforeTheSleep) {
  make_with_a_sleep_due();
  static_cast<void>(sleeper_->try_acquire());
  let_it_look();
  EXPECT_EQ(sleeper_->observe().state, sleep_state::awake);
  EXPECT_EQ(sleeper_->next_deadline(), clock_.now() + 30s);
}

TEST_F(IdleTime, ADeeperSleepThatWasDueIsDueNoMoreWhenItIsTurnedOff) {
  make({.ladder = {{30s, lull::plan_for(sleep_level::trim)},
                   {60s, lull::plan_for(sleep_level::offload)},
                   {90s, lull::plan_for(sleep_level::discard)}}});
  hold_after(direction::sleep);
  sleeper_->sleep();
  expect_held();
  clock_.advance(60s);
  EXPECT_TRUE(sleeper_->poll(clock_.now()));
  sleeper_->set_idle_time(std::nullopt);
  go_on();
  // Only the one that is asked for.
  sleeper_->deepen(lull::plan_for(sleep_level::discard));
  EXPECT_EQ(sleeper_->observe().counters.deepenings, 1u);
}

}  // namespace
