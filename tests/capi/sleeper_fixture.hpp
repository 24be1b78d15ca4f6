#ifndef LULL_TESTS_CAPI_SLEEPER_FIXTURE_HPP
#define LULL_TESTS_CAPI_SLEEPER_FIXTURE_HPP

#include <lull/lull.h>

#include <cstdint>
#include <functional>
#include <utility>

#include <gtest/gtest.h>

#include "capi/host_fixture.hpp"

namespace lull::test {

/// A participant of C whose functions are what the test says.
struct scripted_participant {
  std::function<lull_status(const lull_sleep_plan&, lull_transition*)> sleep;
  std::function<lull_status(const lull_sleep_plan&, lull_transition*)> wake;
  std::function<std::int64_t()> next_upkeep;
  std::function<lull_status()> upkeep;
  int released = 0;

  lull_participant as_c() {
    lull_participant who;
    lull_participant_init(&who);
    who.name = "model";
    who.user = this;
    who.sleep = [](void* user, const lull_sleep_plan* plan, lull_transition* now) {
      const auto& act = static_cast<scripted_participant*>(user)->sleep;
      return act ? act(*plan, now) : LULL_OK;
    };
    who.wake = [](void* user, const lull_sleep_plan* plan, lull_transition* now) {
      const auto& act = static_cast<scripted_participant*>(user)->wake;
      return act ? act(*plan, now) : LULL_OK;
    };
    who.release = [](void* user) { ++static_cast<scripted_participant*>(user)->released; };
    if (next_upkeep) {
      who.next_upkeep = [](void* user) {
        return static_cast<scripted_participant*>(user)->next_upkeep();
      };
      who.upkeep = [](void* user) { return static_cast<scripted_participant*>(user)->upkeep(); };
    }
    return who;
  }
};

/// A sleeper with one scripted participant.
class c_sleeper_test : public testing::Test {
 protected:
  c_sleeper_test() { lull_sleeper_options_init(&options_); }
  ~c_sleeper_test() override { lull_sleeper_destroy(sleeper_); }

  void create() {
    ASSERT_EQ(lull_sleeper_create(&options_, &sleeper_), LULL_OK) << lull_last_error_message();
  }
  void create_with_model() {
    create();
    const lull_participant who = model_.as_c();
    ASSERT_EQ(lull_sleeper_add(sleeper_, &who), LULL_OK) << lull_last_error_message();
  }
  void destroy() { lull_sleeper_destroy(std::exchange(sleeper_, nullptr)); }

  lull_status sleep() { return lull_sleeper_sleep(sleeper_, nullptr, nullptr); }
  lull_status wake() { return lull_sleeper_wake(sleeper_, LULL_FOREVER, nullptr); }

  [[nodiscard]] lull_sleeper_snapshot observe() const {
    auto seen = sized<lull_sleeper_snapshot>();
    EXPECT_EQ(lull_sleeper_observe(sleeper_, &seen), LULL_OK);
    return seen;
  }
  [[nodiscard]] lull_sleep_state state() const { return observe().state; }

  scripted_participant model_;  // outlives the sleeper
  lull_sleeper_options options_{};
  lull_sleeper* sleeper_ = nullptr;
};

}  // namespace lull::test

#endif  // LULL_TESTS_CAPI_SLEEPER_FIXTURE_HPP
