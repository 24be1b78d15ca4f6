// Many clients over few devices, in virtual time. What is random prints its seed.

#include <lull/budget.hpp>

#include <random>

#include <gtest/gtest.h>

#include "unit/budget/world.hpp"

namespace {

using namespace std::chrono_literals;
using namespace lull::literals;
using lull::test::budget_world;

lull::duration milliseconds(std::mt19937& random, unsigned from, unsigned to) {
  return std::chrono::milliseconds(from + random() % (to - from + 1));
}

TEST(BudgetTraffic, FiveHundredClientsOfTwelveModelsWhereThreeFit) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  budget_world world({{"GPU0", 13_GiB, 1_GiB}});
  for (int number = 0; number < 12; ++number) world.add("m" + std::to_string(number), 4_GiB);

  std::vector<budget_world::client_ptr> all;
  const auto end = world.time.now() + 10min;
  std::function<void()> visit = [&] {
    // Some models are wanted more than others.
    const auto which = std::min(random() % 12, random() % 12);
    const auto deadline = random() % 4 == 0 ? world.time.now() + 20s : lull::no_deadline;
    all.push_back(
        world.ask("m" + std::to_string(which), milliseconds(random, 100, 2000), deadline));
    if (world.time.now() < end) world.in(milliseconds(random, 10'000, 120'000), visit);
  };
  for (int client = 0; client < 500; ++client) world.in(milliseconds(random, 0, 60'000), visit);
  world.pass(10min);
  world.pass(30min);

  int answered = 0;
  lull::duration longest{};
  for (const auto& client : all) {
    ASSERT_NE(client->answered, client->failure.has_value()) << client->model;
    EXPECT_TRUE(client->answered || client->failure->code() == lull::status::timed_out);
    if (client->answered) longest = std::max(longest, client->got - client->asked);
    answered += client->answered ? 1 : 0;
  }
  EXPECT_GT(all.size(), 3000U);
  EXPECT_GT(answered, 2000);
  EXPECT_GT(world.counters().evictions, 50U);
  // max_wait, and before it in the queue the other models, each leaving, loading and at work.
  EXPECT_LT(longest, 30s + 12 * (1s + 2s + 2s));
}

/// Foreign memory that comes and goes, wrong estimates, unloads that fail, loads that fail, levels
/// that fill host memory, priorities, pins, deadlines, clients that keep their tickets for long,
/// callbacks that call back, models that are changed meanwhile.
void anything(std::uint32_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const bool exact = random() % 2 == 0;
  lull::budget_options options;
  options.max_wait = 20s;
  options.patience = 15s;
  budget_world world({{"GPU0", 16_GiB, 1_GiB}, {"GPU1", 16_GiB, 1_GiB}, {"HOST", 20_GiB, 2_GiB}},
                     options);
  world.check = exact;
  std::vector<budget_world::client_ptr> all;
  int revenants = 10;
  const unsigned models = 3 + random() % 6;
  for (unsigned number = 0; number < models; ++number) {
    lull::budget_model model;
    model.name = "m" + std::to_string(number);
    lull::bytes_by_device kept;
    for (const char* const device : {"GPU0", "GPU1"}) {
      if (random() % 3 == 0) continue;
      model.need[device] = (1 + random() % 8) * 1_GiB;
      kept["HOST"] += model.need[device];
    }
    if (model.need.empty()) model.need["GPU0"] = 3_GiB;
    model.levels = {{"offload", kept}, {"unload"}};
    model.priority = static_cast<std::int32_t>(random() % 2);
    model.pinned = random() % 12 == 0;
    model.min_residence = random() % 2 == 0 ? 0s : 5s;
    auto really = model.need;
    for (auto& [device, bytes] : really) {
      if (!exact) bytes = bytes / 4 * (1 + random() % 10);
    }
    world.add(model, really);
    world.in(milliseconds(random, 0, 120'000), [&world, &random, model]() mutable {
      model.priority = static_cast<std::int32_t>(random() % 3);
      model.min_residence = random() % 2 == 0 ? 0s : 3s;
      world.budget().change(model);
    });
    if (random() % 4 == 0) {
      world.on_evict[model.name] = [&, name = model.name] {
        (void)world.budget().preview(name);
        world.budget().refresh();
        // Not for ever: who leaves and wants to come in again makes another leave.
        if (revenants-- > 0) all.push_back(world.ask(name, milliseconds(random, 0, 1000)));
        if (random() % 2 == 0) throw std::runtime_error("will not");
      };
    }
    if (!exact && random() % 4 == 0) world.failing_loads.insert(model.name);
  }
  std::function<void()> visit = [&] {
    const auto deadline =
        random() % 2 == 0 ? world.time.now() + milliseconds(random, 0, 60'000) : lull::no_deadline;
    all.push_back(world.ask("m" + std::to_string(random() % models), milliseconds(random, 0, 8000),
                            deadline));
  };
  for (int client = 0; client < 60; ++client) world.in(milliseconds(random, 0, 120'000), visit);
  if (!exact) {
    for (int change = 0; change < 6; ++change) {
      world.in(milliseconds(random, 0, 120'000), [&] {
        world.foreign[random() % 2 == 0 ? "GPU0" : "HOST"] = (random() % 6) * 1_GiB;
        world.leave_time = milliseconds(random, 100, 20'000);
        world.budget().refresh();
      });
    }
    world.in(120s, [&] {
      world.foreign.clear();
      world.leave_time = 1s;
      world.budget().refresh();
    });
  }
  world.pass(20min);
  for (const auto& client : all) {
    EXPECT_TRUE(client->answered || client->failure) << client->model << " waits for ever";
  }
  std::uint64_t leases = 0;
  for (const auto& model : world.budget().snapshot().models) {
    leases += model.leases;
    EXPECT_EQ(model.waiting, 0U);
    EXPECT_EQ(model.holds, world.models[model.name].holds) << model.name;
  }
  EXPECT_EQ(leases, 0U) << "tickets were not given back";
}

TEST(BudgetTraffic, AnythingMayHappen) {
  const auto first_seed = std::random_device{}();
  for (std::uint32_t round = 0; round < 200 && !testing::Test::HasFailure(); ++round) {
    anything(first_seed + round);
  }
}

}  // namespace
