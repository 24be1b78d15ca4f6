// The fleet that bench_fleet simulates, small enough for a test.

#include "fleet/fleet.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "fleet/by_bytes.hpp"
#include "fleet/whole_gpu.hpp"

namespace {

using namespace bench::fleet;
using namespace std::chrono_literals;

constexpr std::uint64_t gib = std::uint64_t{1} << 30U;

fleet_size small() {
  fleet_size size;
  size.nodes = 20;
  size.models = 200;
  size.requests_per_second = 0.3;
  size.hours = 3;
  size.counted_from = 1;
  return size;
}

const contestant& named(std::string_view name) {
  for (const contestant& each : contestants) {
    if (each.name == name) return each;
  }
  throw std::invalid_argument(std::string(name));
}

std::vector<std::uint64_t> figures(outcome result) {
  std::vector<std::uint64_t> all = {result.requests,     result.wakes,        result.restores,
                                    result.colds,        result.ended,        result.copied_bytes,
                                    result.loaded_bytes, result.sleeper_bytes};
  all.insert(all.end(), result.answered.begin(), result.answered.end());
  all.insert(all.end(), result.refused.begin(), result.refused.end());
  for (const double share : {0.5, 0.9, 0.99, 1.0}) {
    all.push_back(static_cast<std::uint64_t>(1e6 * result.percentile(share)));
  }
  return all;
}

TEST(Fleet, EveryRequestIsAnsweredOrRefusedForAReasonAndNoDeviceEverHoldsMoreThanItHas) {
  const fleet_load load = make_load(small(), 1);
  for (const contestant& who : contestants) {
    SCOPED_TRACE(who.name);
    const outcome result = run(load, who);
    EXPECT_GT(result.requests, 1000U);
    EXPECT_EQ(result.all_answered() + result.all_refused(), result.requests);
    EXPECT_EQ(result.first_token.size(), result.requests);
    EXPECT_EQ(result.overfull, 0U);
    EXPECT_GT(result.wakes, 0U);
    EXPECT_GT(result.colds, 0U);
  }
}

TEST(Fleet, ASeedAlwaysGivesTheSame) {
  const fleet_load load = make_load(small(), 7);
  const fleet_load again = make_load(small(), 7);
  const fleet_load other = make_load(small(), 8);
  for (const char* const name : {"counted, limit 2", "by bytes", "clairvoyant"}) {
    const contestant& who = named(name);
    SCOPED_TRACE(name);
    const auto once = figures(run(load, who));
    EXPECT_EQ(once, figures(run(again, who)));
    EXPECT_NE(once, figures(run(other, who)));
  }
}

TEST(Fleet, ByBytesMoreModelsStayThanByACountAndFewerRequestsAreRefused) {
  const fleet_load load = make_load(small(), 1);
  const outcome by_bytes = run(load, named("by bytes"));
  for (const contestant& who : contestants) {
    // With a limit beyond what host memory takes nobody ever leaves it, and newcomers are refused.
    if (who.by != contestant::kind::counted || who.limit > 8) continue;
    SCOPED_TRACE(who.name);
    const outcome counted = run(load, who);
    EXPECT_EQ(counted.requests, by_bytes.requests);
    EXPECT_GE(by_bytes.resident_seconds, counted.resident_seconds);
    if (who.limit > 2) continue;
    EXPECT_LT(by_bytes.all_refused(), counted.all_refused());
    EXPECT_LT(by_bytes.colds, counted.colds);
  }
}

TEST(Fleet, NobodyKnowsBetterThanWhoKnowsWhatIsToCome) {
  const fleet_load load = make_load(small(), 1);
  const outcome best = run(load, named("clairvoyant"));
  EXPECT_LE(best.colds, run(load, named("by bytes")).colds);
  EXPECT_LE(best.colds, run(load, named("counted, limit 4")).colds);
}

// What the double of the controller does, request by request.

fleet_model made(std::uint64_t weights_gib, double residue_gib) {
  fleet_model model;
  model.parameters = 8;
  model.weights = weights_gib * gib;
  model.residue = static_cast<std::uint64_t>(residue_gib * static_cast<double>(gib));
  model.least = model.weights + model.residue + 4 * gib;
  model.awake = model.expected = model.least + 4 * gib;
  return model;
}

/// So many equal models, and requests that do not meet, for one after the other of them.
node_load in_turn(std::size_t models, const fleet_model& each,
                  const std::vector<std::size_t>& asked) {
  node_load load;
  load.models.assign(models, each);
  load.host_bytes = 256 * gib;
  lull::duration at = 1s;
  for (const std::size_t model : asked) {
    load.requests.push_back({at, 10ms, 5s, model});
    at += 10min;
  }
  load.end = at;
  return load;
}

TEST(FleetController, DeletesWhoWasPutToSleepFirstWhenOneMoreThanItsLimitSleepsAndAnotherStarts) {
  // 0, 1 and 2 sleep when 3 starts: one too many. Then 1 and 2 are woken, and 0 starts anew, for
  // which 3 goes, who was put to sleep before 1 and 2 were again.
  const auto load = in_turn(4, made(10, 1), {0, 1, 2, 3, 1, 2, 0, 3});
  const outcome result = run_whole_gpu(load, *counted_sleepers(2));
  EXPECT_EQ(result.colds, 6U);
  EXPECT_EQ(result.wakes, 2U);
  EXPECT_EQ(result.ended, 3U);
  EXPECT_EQ(result.all_answered(), 8U);
}

TEST(FleetController, DoesNotWakeWhereAllThatSleepHoldMoreThanItReckonsWithForItsLimit) {
  // With a limit of 1 two may sleep, for which 4 GiB are reckoned.
  const outcome fits = run_whole_gpu(in_turn(2, made(10, 1.9), {0, 1, 0}), *counted_sleepers(1));
  EXPECT_EQ(fits.all_answered(), 3U);
  EXPECT_EQ(fits.wakes, 1U);
  const outcome not_any_more =
      run_whole_gpu(in_turn(2, made(10, 2.1), {0, 1, 0}), *counted_sleepers(1));
  EXPECT_EQ(not_any_more.all_answered(), 2U);
  EXPECT_EQ(not_any_more.refused[static_cast<std::size_t>(refusal::memory)], 1U);
}

TEST(FleetController, StartsNobodyWhoseWeightsHostMemoryCouldNotTakeBesideThoseThere) {
  const outcome result = run_whole_gpu(in_turn(5, made(60, 1), {0, 1, 2, 3, 4}),  //
                                       *counted_sleepers(8));
  EXPECT_EQ(result.all_answered(), 4U);
  EXPECT_EQ(result.refused[static_cast<std::size_t>(refusal::host_memory)], 1U);
}

TEST(FleetController, KeepsSoMuchFreeForSleepersThatALargeModelNeverFits) {
  const auto load = in_turn(1, made(80, 1), {0});
  EXPECT_EQ(run_whole_gpu(load, *counted_sleepers(8)).all_answered(), 1U);
  const outcome result = run_whole_gpu(load, *counted_sleepers(12));
  EXPECT_EQ(result.refused[static_cast<std::size_t>(refusal::never_fits)], 1U);
}

TEST(FleetByBytes, KeepsAllThatHostMemoryHoldsAndPutsThemToSleepWithWhatTheyReallyLeave) {
  const auto load = in_turn(6, made(40, 2), {0, 1, 2, 3, 4, 5, 0, 1});
  const outcome result = run_by_bytes(load, true);
  EXPECT_EQ(result.colds, 6U);
  EXPECT_EQ(result.wakes, 2U);
  EXPECT_EQ(result.ended, 0U);
  // All six, between one that has just gone to sleep and one that is about to wake.
  EXPECT_EQ(result.sleeper_bytes, 6 * 2 * gib);
}

TEST(FleetByBytes, TheBooksNoticeWhoTakesMoreThanThereIs) {
  auto load = in_turn(2, made(60, 1), {0, 1});
  // Both at once, each with twice of what its owner said.
  load.requests[1].at = load.requests[0].at;
  for (fleet_model& each : load.models) each.awake = 100 * gib;
  for (fleet_model& each : load.models) each.expected = 50 * gib;
  EXPECT_GT(run_by_bytes(load, false).overfull, 0U);
  EXPECT_EQ(run_by_bytes(load, true).overfull, 0U);
}

}  // namespace
