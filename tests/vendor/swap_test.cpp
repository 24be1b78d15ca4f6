// One set of regions, or one sleeper, leaves a simulated GPU while another comes.

#include <functional>
#include <optional>
#include <thread>

#include "support/expect_error.hpp"
#include "vendor/transfer_fixture.hpp"

namespace lull::test {
namespace {

class Swap : public Transfer {};

TEST_P(Swap, ASwapMovesBothWaysThoughTheDeviceCannotHoldBoth) {
  machine here(GetParam(), {.total_bytes = 315_MiB});
  here.device().context_create();  // which leaves 15 MiB
  memory all(in_small_steps(arena_of()));
  const auto make = [&](const char* tag, unsigned seed) {
    std::vector<region> regions;
    for (unsigned i = 0; i < 5; ++i) {
      regions.push_back(all.allocate(here.device(), 2_MiB, {.tag = tag, .name = tag}));
      fill(regions.back(), seed + i);
    }
    return regions;
  };
  const auto expect = [&](const std::vector<region>& regions, unsigned seed) {
    for (unsigned i = 0; i < regions.size(); ++i) EXPECT_TRUE(holds(regions[i], seed + i)) << i;
  };
  const auto leave = [](const char* tag) {
    return eviction_plan{contents_action::keep, {{tag, contents_action::offload}}};
  };
  const auto first = make("first", 10);
  all.evict(leave("first"));
  const auto second = make("second", 20);
  for (int round = 0; round < 2; ++round) {
    const auto report = all.swap(leave("second"), {"first"});
    EXPECT_EQ(report.devices.at(0).copied_bytes, 20_MiB);
    EXPECT_EQ(second.front().state(), residency::offloaded);
    expect(first, 10);
    all.swap(leave("first"), {"second"});
    EXPECT_EQ(first.front().state(), residency::offloaded);
    expect(second, 20);
  }

  // Each call fails once: both are as they were.
  const auto before = here.gpu().take_stock();
  for (std::uint64_t n = 1;; n += 13) {
    here.gpu().script.fail_nth(n, injected_code);
    bool failed = false;
    try {
      all.swap(leave("second"), {"first"});
    } catch (const error& failure) {
      failed = true;
    }
    const std::string call = here.gpu().script.failed_function();
    here.gpu().script.fail_nth(0, 0);
    if (call.empty()) break;
    if (!failed) all.swap(leave("first"), {"second"});
    for (const auto& each : first) ASSERT_EQ(each.state(), residency::offloaded) << call;
    expect(second, 20);
    auto after = here.gpu().take_stock();
    after.registrations = before.registrations;
    EXPECT_EQ(after, before) << to_string(after) << "\ninstead of " << to_string(before);
  }
  expect(first, 10);
  EXPECT_EQ(error_of([&] { all.swap(leave("first"), {"first"}); }).code(),
            status::invalid_argument);
}

TEST_P(Swap, ASwapThatIsStoppedAnywhereIsTakenBack) {
  machine here(GetParam());
  memory all(in_small_steps(arena_of()));
  const region first = all.allocate(here.device(), 3_MiB, {.tag = "first"});
  fill(first, 1);
  all.evict({.otherwise = contents_action::offload});
  const region second = all.allocate(here.device(), 4_MiB, {.tag = "second"});
  fill(second, 2);
  for (std::uint64_t chunks = 1; chunks <= 13; ++chunks) {
    std::stop_source stop;
    std::uint64_t seen = 0;
    transfer_options options;
    options.stop = stop.get_token();
    options.progress = [&](const transfer_progress&) {
      if (++seen == chunks) stop.request_stop();
    };
    const auto failure = error_of([&] {
      all.swap({contents_action::keep, {{"second", contents_action::offload}}}, {"first"}, options);
    });
    EXPECT_EQ(failure.code(), status::cancelled) << failure.what();
    EXPECT_EQ(first.state(), residency::offloaded);
    ASSERT_TRUE(holds(second, 2)) << "stopped after chunk " << chunks;
  }
}

// Both are larger than what the device has beside the one that is there: parts of the leaving make
// room for parts of the coming.
class SwapInside : public Transfer {
 protected:
  SwapInside() : here(GetParam(), {.total_bytes = 317_MiB}), which(here.device()) {
    which.context_create();  // which leaves 17 MiB
    memory_options options = in_small_steps(arena_of());
    options.handle_bytes = 2_MiB;
    all.emplace(options);
    first.emplace(all->allocate(which, 13_MiB, {.tag = "first"}));
    fill(*first, 1);
    all->evict(offload());
    second.emplace(all->allocate(which, 12_MiB + 5, {.tag = "second"}));
    fill(*second, 2);
  }

  transfer_report swap(const char* leaving, const char* coming,
                       const transfer_options& options = {}) {
    return all->swap({contents_action::keep, {{leaving, contents_action::offload}}}, {coming},
                     options);
  }
  void expect_as_it_was() {
    EXPECT_EQ(first->state(), residency::offloaded);
    ASSERT_EQ(second->state(), residency::resident);
    ASSERT_TRUE(holds(*second, 2));
  }

  machine here;
  device which;
  std::optional<memory> all;
  std::optional<region> first;
  std::optional<region> second;
};

TEST_P(SwapInside, PartsOfOneRegionMakeRoomForPartsOfAnother) {
  for (int round = 0; round < 2; ++round) {
    const auto report = swap("second", "first");
    EXPECT_EQ(report.devices.at(0).copied_bytes, 25_MiB + 5);
    EXPECT_EQ(second->state(), residency::offloaded);
    EXPECT_TRUE(holds(*first, 1));
    EXPECT_EQ(here.gpu().take_stock().physical, 7);
    swap("first", "second");
    expect_as_it_was();
  }
}

TEST_P(SwapInside, EveryCallThatFailsLeavesBothAsTheyWere) {
  const auto before = here.gpu().take_stock();
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1;; n += n < 40 ? 1 : 7) {
    here.gpu().script.fail_nth(n, injected_code);
    std::optional<error> failure;
    try {
      swap("second", "first");
    } catch (const error& thrown) {
      failure = thrown;
    }
    const std::string call = here.gpu().script.failed_function();
    here.gpu().script.fail_nth(0, 0);
    if (call.empty()) break;
    SCOPED_TRACE(call);
    failures += failure ? 1 : 0;
    if (!failure) swap("first", "second");
    expect_as_it_was();
    auto after = here.gpu().take_stock();
    after.registrations = before.registrations;  // of the arena, which keeps its slices
    ASSERT_EQ(after, before) << to_string(after) << "\ninstead of " << to_string(before);
  }
  EXPECT_GT(failures, 20u);
  swap("second", "first");
  EXPECT_TRUE(holds(*first, 1));
}

TEST_P(SwapInside, AStopAtAnyChunkLeavesBothAsTheyWere) {
  for (std::uint64_t chunks = 1; chunks <= 51; chunks += 2) {
    std::stop_source stop;
    std::uint64_t seen = 0;
    transfer_options options;
    options.stop = stop.get_token();
    options.progress = [&](const transfer_progress&) {
      if (++seen == chunks) stop.request_stop();
    };
    EXPECT_EQ(error_of([&] { swap("second", "first", options); }).code(), status::cancelled);
    expect_as_it_was();
  }
}

// Then nothing can be taken back either: both are whole in host memory.
TEST_P(SwapInside, WhatCannotBeTakenBackIsWholeInHostMemory) {
  std::uint64_t seen = 0;
  transfer_options options;
  // When parts of both are where they are going to, and the rest is not.
  options.progress = [&](const transfer_progress&) {
    if (++seen == 12) here.gpu().script.fail(GetParam().memory_call, 0, injected_code);
  };
  const auto failure = error_of([&] { swap("second", "first", options); });
  EXPECT_THAT(failure.what(), testing::HasSubstr("taking it back failed too"));
  EXPECT_EQ(first->state(), residency::offloaded);
  EXPECT_EQ(second->state(), residency::offloaded);
  here.gpu().script.clear();
  EXPECT_EQ(here.gpu().take_stock().physical, 0);
  all->restore({"second"});
  expect_as_it_was();
  swap("second", "first");
  EXPECT_TRUE(holds(*first, 1));
}

INSTANTIATE_TEST_SUITE_P(Modules, SwapInside, testing::ValuesIn(vendor_cases()), case_name);

// Each has a model as large as what the device has free beside its context.
class SwapSleepers : public Transfer {
 protected:
  struct model {
    explicit model(const host_arena& arena, sleeper_options options)
        : all(stepwise(arena)), of(std::move(options)) {
      of.manage(all);
    }
    static memory_options stepwise(const host_arena& arena) {
      memory_options options = in_small_steps(arena);
      options.handle_bytes = 2_MiB;
      return options;
    }
    memory all;
    sleeper of;
    std::optional<region> weights;
  };

  SwapSleepers() : here(GetParam(), {.total_bytes = 317_MiB}), arena(arena_of()) {
    here.device().context_create();  // which leaves 17 MiB
    sleeper_options options;
    options.plan = plan_for(sleep_level::offload);
    first.emplace(arena, options);
    second.emplace(arena, options);
    first->weights.emplace(first->all.allocate(here.device(), 12_MiB));
    fill(*first->weights, 1);
    first->of.sleep();
    second->weights.emplace(second->all.allocate(here.device(), 13_MiB));
    fill(*second->weights, 2);
  }

  void expect_as_it_was() const {
    EXPECT_EQ(first->of.observe().state, sleep_state::asleep);
    EXPECT_EQ(second->of.observe().state, sleep_state::awake);
    EXPECT_EQ(first->weights->state(), residency::offloaded);
    EXPECT_TRUE(holds(*second->weights, 2));
  }

  machine here;
  host_arena arena;
  std::optional<model> first;
  std::optional<model> second;
};

TEST_P(SwapSleepers, OneSleepsWhileTheOtherWakesThoughTheDeviceCannotHoldBoth) {
  for (int round = 0; round < 2; ++round) {
    const swap_report done = swap(second->of, first->of);
    EXPECT_TRUE(done.slept.succeeded);
    EXPECT_TRUE(done.woke.succeeded);
    EXPECT_EQ(second->of.observe().state, sleep_state::asleep);
    EXPECT_EQ(first->of.observe().state, sleep_state::awake);
    EXPECT_TRUE(holds(*first->weights, 1));
    swap(first->of, second->of);
    expect_as_it_was();
  }
  EXPECT_EQ(error_of([&] { swap(first->of, first->of); }).code(), status::invalid_argument);
}

TEST_P(SwapSleepers, ASleepThatFailsLeavesBothAsTheyWere) {
  const auto lease = second->of.acquire();
  sleeper_options options;
  options.plan = plan_for(sleep_level::offload);
  options.drain_timeout = std::chrono::milliseconds{1};
  model third(arena, options);
  const auto busy = third.of.acquire();
  third.weights.emplace(third.all.allocate(here.device(), 2_MiB));
  fill(*third.weights, 3);
  const auto failure = error_of([&] { swap(third.of, first->of); });
  EXPECT_EQ(failure.code(), status::timed_out) << failure.what();
  EXPECT_EQ(third.of.observe().state, sleep_state::awake);
  EXPECT_TRUE(holds(*third.weights, 3));
  expect_as_it_was();
}

TEST_P(SwapSleepers, AWakeThatFailsLeavesBothAsTheyWere) {
  sleeper_options options;
  options.plan = plan_for(sleep_level::offload);
  model large(arena, options);
  large.of.sleep();
  large.weights.emplace(large.all.allocate(here.device(), 20_MiB, {.absent = true}));
  const auto failure = error_of([&] { swap(second->of, large.of); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory) << failure.what();
  EXPECT_EQ(large.of.observe().state, sleep_state::asleep);
  expect_as_it_was();
}

TEST_P(SwapSleepers, EveryCallThatFailsLeavesBothAsTheyWereOrIsTold) {
  const auto before = here.gpu().take_stock();
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1;; n += 11) {
    here.gpu().script.fail_nth(n, injected_code);
    std::optional<error> failure;
    try {
      swap(second->of, first->of);
    } catch (const error& thrown) {
      failure = thrown;
    }
    const std::string call = here.gpu().script.failed_function();
    here.gpu().script.fail_nth(0, 0);
    if (call.empty()) break;
    SCOPED_TRACE(call);
    failures += failure ? 1 : 0;
    if (!failure) swap(first->of, second->of);
    expect_as_it_was();
    auto after = here.gpu().take_stock();
    after.registrations = before.registrations;
    ASSERT_EQ(after, before) << to_string(after) << "\ninstead of " << to_string(before);
  }
  EXPECT_GT(failures, 3u);
}

INSTANTIATE_TEST_SUITE_P(Modules, Swap, testing::ValuesIn(vendor_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Modules, SwapSleepers, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
