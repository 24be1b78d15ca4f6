// A budget where there is no memory: each allocation of a thread fails in turn.

#include <lull/bytes.hpp>
#include <lull/lull.h>

#include <cstdint>
#include <functional>

#include <gtest/gtest.h>

#include "support/failing_allocations.hpp"

namespace {

using namespace lull::literals;
using lull::test::with_failure_at;

/// Room for two of three models. What is to be done is done on the thread that asks, where
/// allocations fail.
class CNoMemoryForBudgets : public testing::Test {
 protected:
  ~CNoMemoryForBudgets() override { destroy(); }

  lull_status create() {
    const lull_budget_device gpu{"a device with a name that takes memory", 10_GiB, 1_GiB, 0};
    lull_budget_options options;
    lull_budget_options_init(&options);
    options.devices = &gpu;
    options.device_count = 1;
    options.user = this;
    options.evict = [](void* user, const lull_budget_eviction*, lull_budget_call* call) {
      auto& self = *static_cast<CNoMemoryForBudgets*>(user);
      if (self.fails_) return lull_budget_call_fail(call, LULL_ERROR_IO, "words that take memory");
      ++self.evicted_;
      return LULL_OK;
    };
    options.settle = [](void*, const lull_settle_expectation*, std::size_t, lull_budget_call*) {
      return LULL_OK;
    };
    options.probe = [](void*, lull_budget_call* call) {
      return lull_budget_call_add_reading(call, "a device that nobody knows", 0);
    };
    options.run_on = [](void*, lull_budget_work* work) { lull_budget_work_destroy(work); };
    options.release = [](void* user) { ++static_cast<CNoMemoryForBudgets*>(user)->released_; };
    options.look_every_ns = 1;
    options.retry_after_ns = 1;
    return lull_budget_create(&options, &budget_);
  }
  void destroy() {
    lull_budget_destroy(budget_);
    budget_ = nullptr;
  }
  lull_status add(const char* name) const {
    const lull_device_bytes need{"a device with a name that takes memory", 4_GiB};
    lull_budget_model model;
    lull_budget_model_init(&model);
    model.name = name;
    model.need = &need;
    model.need_count = 1;
    return lull_budget_add(budget_, &model);
  }
  void make() {
    ASSERT_EQ(create(), LULL_OK);
    for (const char* const name : {first, second, third}) ASSERT_EQ(add(name), LULL_OK);
  }
  void load(const char* name) const {
    lull_budget_ticket* ticket = nullptr;
    ASSERT_EQ(lull_budget_admit(budget_, name, LULL_FOREVER, nullptr, &ticket), LULL_OK);
    EXPECT_EQ(lull_budget_ticket_confirm(ticket, nullptr, 0), LULL_OK);
    lull_budget_ticket_destroy(ticket);
  }
  [[nodiscard]] lull_budget_model_info look(std::size_t index) const {
    lull_budget_view* view = nullptr;
    EXPECT_EQ(lull_budget_observe(budget_, &view), LULL_OK);
    lull_budget_model_info info{};
    info.struct_size = sizeof info;
    EXPECT_EQ(lull_budget_view_model(view, index, &info), LULL_OK);
    lull_budget_view_destroy(view);
    return info;
  }
  void expect_nobody_in_the_way() const {
    for (std::size_t index = 0; index < 3; ++index) {
      const lull_budget_model_info info = look(index);
      EXPECT_EQ(info.leases, 0u) << index;
      EXPECT_EQ(info.waiting, 0u) << index;
      EXPECT_NE(info.state, LULL_MODEL_STATE_LOADING) << index;
      EXPECT_NE(info.state, LULL_MODEL_STATE_LEAVING) << index;
    }
  }

  /// @param before what brings things to where they begin
  /// @param work what is done with the n-th allocation failing; its status
  /// @param after what must be true then
  static void sweep(const std::function<void()>& before, const std::function<lull_status()>& work,
                    const std::function<void(lull_status)>& after) {
    std::uint64_t failures = 0;
    for (std::uint64_t n = 1;; ++n) {
      SCOPED_TRACE(n);
      before();
      lull_status code = LULL_OK;
      const bool failed = with_failure_at(n, [&] { code = work(); });
      if (code != LULL_OK) {
        EXPECT_EQ(code, LULL_ERROR_OUT_OF_HOST_MEMORY) << lull_last_error_message();
        ++failures;
      }
      after(code);
      if (!failed) break;
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_GT(failures, 0u) << "the allocations are seen";
  }

  static constexpr auto first = "the first model, with a name that takes memory";
  static constexpr auto second = "the second model, with a name that takes memory";
  static constexpr auto third = "the third model, with a name that takes memory";
  bool fails_ = false;
  int evicted_ = 0;
  int released_ = 0;
  lull_budget* budget_ = nullptr;
};

TEST_F(CNoMemoryForBudgets, ABudgetIsMadeOrGivenBack) {
  sweep([] {}, [&] { return create(); },
        [&](lull_status code) {
          EXPECT_EQ(released_, code == LULL_OK ? 0 : 1);
          destroy();
          EXPECT_EQ(released_, 1);
          released_ = 0;
        });
}

TEST_F(CNoMemoryForBudgets, AModelIsAddedOrNot) {
  make();
  sweep([] {}, [&] { return add("a fourth model, with a name that takes memory"); },
        [&](lull_status code) {
          EXPECT_EQ(lull_budget_remove(budget_, "a fourth model, with a name that takes memory"),
                    code == LULL_OK ? LULL_OK : LULL_ERROR_NOT_FOUND);
        });
}

TEST_F(CNoMemoryForBudgets, WhoFitsIsLetInOrNot) {
  make();
  lull_budget_ticket* ticket = nullptr;
  sweep([] {}, [&] { return lull_budget_admit(budget_, first, LULL_FOREVER, nullptr, &ticket); },
        [&](lull_status code) {
          EXPECT_EQ(ticket != nullptr, code == LULL_OK);
          lull_budget_ticket_destroy(ticket);
          ticket = nullptr;
          expect_nobody_in_the_way();
        });
}

TEST_F(CNoMemoryForBudgets, WhoIsReadyIsServedOrNot) {
  make();
  load(first);
  lull_budget_ticket* ticket = nullptr;
  sweep([] {}, [&] { return lull_budget_admit(budget_, first, LULL_FOREVER, nullptr, &ticket); },
        [&](lull_status) {
          lull_budget_ticket_destroy(ticket);
          ticket = nullptr;
          expect_nobody_in_the_way();
        });
}

TEST_F(CNoMemoryForBudgets, WhoNeedsRoomGetsItOrNot) {
  make();
  lull_budget_ticket* ticket = nullptr;
  sweep(
      [&] {
        load(first);
        load(second);
      },
      [&] { return lull_budget_admit(budget_, third, LULL_FOREVER, nullptr, &ticket); },
      [&](lull_status code) {
        EXPECT_EQ(ticket != nullptr, code == LULL_OK);
        lull_budget_ticket_destroy(ticket);
        ticket = nullptr;
        expect_nobody_in_the_way();
      });
  EXPECT_GT(evicted_, 0);
}

TEST_F(CNoMemoryForBudgets, AConfirmationCountsOrDoesNot) {
  make();
  lull_device_bytes holds{"a device with a name that takes memory", 4_GiB};
  lull_budget_ticket* ticket = nullptr;
  sweep(
      [&] {
        holds.bytes += 1_GiB / 8;
        ASSERT_EQ(lull_budget_put_away(budget_, first, 0, nullptr), LULL_OK);
        ASSERT_EQ(lull_budget_admit(budget_, first, 0, nullptr, &ticket), LULL_OK);
      },
      [&] { return lull_budget_ticket_confirm(ticket, &holds, 1); },
      [&](lull_status code) {
        EXPECT_EQ(lull_budget_ticket_must_load(ticket), code == LULL_OK ? 0 : 1);
        lull_budget_ticket_destroy(ticket);
        expect_nobody_in_the_way();
      });
}

TEST_F(CNoMemoryForBudgets, GivingBackTakesNoneThatMatters) {
  make();
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    load(first);
    load(second);
    lull_budget_ticket* busy[2] = {};
    ASSERT_EQ(lull_budget_admit(budget_, first, 0, nullptr, &busy[0]), LULL_OK);
    ASSERT_EQ(lull_budget_admit(budget_, second, 0, nullptr, &busy[1]), LULL_OK);
    struct told {
      int times = 0;
      lull_budget_ticket* ticket = nullptr;
    } waits;
    ASSERT_EQ(lull_budget_admit_async(
                  budget_, third, LULL_FOREVER, nullptr,
                  [](void* user, lull_status, lull_budget_ticket* ticket) {
                    ++static_cast<told*>(user)->times;
                    static_cast<told*>(user)->ticket = ticket;
                  },
                  &waits),
              LULL_OK);
    const bool failed = with_failure_at(n, [&] { lull_budget_ticket_destroy(busy[0]); });
    // What there was no memory for is tried again.
    for (int tick = 0; tick < 4 && waits.times == 0; ++tick) {
      EXPECT_EQ(lull_budget_tick(budget_), LULL_OK);
    }
    EXPECT_EQ(waits.times, 1);
    lull_budget_ticket_destroy(busy[1]);
    lull_budget_ticket_destroy(waits.ticket);
    expect_nobody_in_the_way();
    if (!failed || HasFailure()) break;
  }
}

TEST_F(CNoMemoryForBudgets, WhoIsPutAwayLeavesOrStays) {
  make();
  for (const bool fails : {false, true}) {
    SCOPED_TRACE(fails);
    for (std::uint64_t n = 1;; ++n) {
      SCOPED_TRACE(n);
      load(first);
      fails_ = fails;
      lull_status code = LULL_OK;
      const bool failed =
          with_failure_at(n, [&] { code = lull_budget_put_away(budget_, first, 0, nullptr); });
      // What there was no memory for is tried again.
      for (int tick = 0; tick < 4; ++tick) EXPECT_EQ(lull_budget_tick(budget_), LULL_OK);
      fails_ = false;
      const lull_model_state state = look(0).state;
      if (fails) {
        EXPECT_EQ(state, LULL_MODEL_STATE_READY);
      } else if (!failed) {
        EXPECT_EQ(code, LULL_OK);
        EXPECT_EQ(state, LULL_MODEL_STATE_UNLOADED);
      }
      expect_nobody_in_the_way();
      if (!failed || HasFailure()) break;
    }
  }
}

TEST_F(CNoMemoryForBudgets, LookingChangesNothing) {
  make();
  load(first);
  load(second);
  lull_budget_view* view = nullptr;
  sweep([] {}, [&] { return lull_budget_observe(budget_, &view); },
        [&](lull_status) {
          lull_budget_view_destroy(view);
          view = nullptr;
        });
  lull_budget_plan* plan = nullptr;
  sweep([] {}, [&] { return lull_budget_preview(budget_, third, &plan); },
        [&](lull_status) {
          lull_budget_plan_destroy(plan);
          plan = nullptr;
        });
  EXPECT_EQ(evicted_, 0);
}

}  // namespace
