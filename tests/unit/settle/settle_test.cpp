// How settle decides: scripted samples, and a world in which waiting moves the time.

#include <lull/bytes.hpp>
#include <lull/settle.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/settle_world.hpp"

namespace {

using lull::duration;
using lull::memory_reading;
using lull::settle_gain;
using lull::settle_options;
using lull::settle_result;
using lull::settle_skip;
using lull::settle_status;
using lull::settle_verdict;
using lull::detail::sample_failure;
using lull::test::fake_world;
using testing::HasSubstr;
using namespace lull::literals;
using namespace std::chrono_literals;

constexpr std::uint64_t card = 24_GiB;

memory_reading reading(std::string device, std::uint64_t free, std::uint64_t total = card) {
  return {std::move(device),
          {.total_bytes = total,
           .free_bytes = free,
           .used_by_process_bytes = {},
           .source = lull::memory_source::management}};
}

/// One device whose free memory is a function of the time since the release.
fake_world with_one_device(std::function<std::uint64_t(duration)> free,
                           std::uint64_t total = card) {
  return fake_world([free = std::move(free), total](duration t) -> fake_world::answer {
    return std::vector{reading("GPU0", free(t), total)};
  });
}

settle_options expecting(std::uint64_t gain, std::optional<std::uint64_t> baseline = {}) {
  settle_options options;
  options.expected = {{"GPU0", gain, baseline}};
  return options;
}

double in_seconds(duration t) {
  return std::chrono::duration<double>(t).count();
}

std::uint64_t bytes(double amount) {
  return static_cast<std::uint64_t>(amount);
}

// --- The cases of the published change (unslothai/unsloth pull request 5693)
// -----------------------

TEST(Settle, AnEmptyFirstSampleEndsTheWait) {
  fake_world world([](duration) { return std::vector<memory_reading>{}; });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::skipped);
  EXPECT_EQ(result.skip, settle_skip::no_device);
  EXPECT_EQ(result.elapsed, 0s);
}

TEST(Settle, AFirstProbeThatFailsEndsTheWait) {
  fake_world world([](duration) { return sample_failure{settle_status::probe_failed, "no NVML"}; });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::probe_failed);
  EXPECT_EQ(result.reason, "no NVML");
  EXPECT_EQ(result.elapsed, 0s);
  EXPECT_EQ(world.asked.size(), 1u);
}

TEST(Settle, AThreeSampleRampSettles) {
  // As slowly as in the original: a probe that takes a quarter of a second by itself.
  int sample = 0;
  fake_world world([&](duration) {
    constexpr std::uint64_t ramp[] = {2_GiB, 8_GiB, 14_GiB};
    return std::vector{reading("GPU0", ramp[std::min(sample++, 2)])};
  });
  world.probe_takes = 125ms;
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::settled);
  ASSERT_EQ(result.devices.size(), 1u);
  EXPECT_EQ(result.devices[0].verdict, settle_verdict::stable);
  EXPECT_EQ(result.devices[0].samples, 4u) << "the third, and one that agrees with it";
  EXPECT_EQ(result.devices[0].before_bytes, 2_GiB);
  EXPECT_EQ(result.devices[0].after_bytes, 14_GiB);
  EXPECT_EQ(result.devices[0].gained_bytes(), std::int64_t{12_GiB});
}

TEST(Settle, AFailureInTheMiddleEndsTheWait) {
  fake_world world([](duration t) -> fake_world::answer {
    if (t >= 100ms) return sample_failure{settle_status::probe_failed, "driver lost"};
    return std::vector{reading("GPU0", 2_GiB)};
  });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::probe_failed);
  EXPECT_EQ(result.reason, "driver lost");
  EXPECT_LT(result.elapsed, 150ms);
  ASSERT_EQ(result.devices.size(), 1u);
  EXPECT_EQ(result.devices[0].verdict, settle_verdict::waiting);
}

TEST(Settle, WhatNeverSettlesStopsAtMaxWait) {
  // Somebody takes and returns 1 GiB all the time.
  fake_world world = with_one_device([](duration t) { return (t / 40ms) % 2 ? 9_GiB : 8_GiB; });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::timed_out);
  EXPECT_THAT(result.reason, HasSubstr("GPU0"));
  EXPECT_LE(result.elapsed, 2s);
  EXPECT_GT(result.elapsed, 1950ms) << "the time is used up to the end";
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::waiting);
}

TEST(Settle, ASlowProbeStaysWithinMaxWait) {
  for (const duration probe_takes : {duration{300ms}, duration{700ms}, duration{1999ms}}) {
    fake_world world = with_one_device([](duration t) { return 1_GiB * ((t / 1ms) % 16); });
    world.probe_takes = probe_takes;
    const settle_result result = world.settle();
    EXPECT_EQ(result.status, settle_status::timed_out);
    EXPECT_LE(result.elapsed, 2s);
    EXPECT_LE(world.asked.back() + probe_takes, 2s) << "no probe that could only be late";
  }
}

TEST(Settle, AProbeThatIsLateEndsTheWaitAtMaxWait) {
  fake_world world = with_one_device([](duration) { return 1_GiB; });
  world.probe_takes = 5s;
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::timed_out);
  EXPECT_EQ(result.elapsed, 2s);
}

TEST(Settle, ADeviceThatVanishesOrAppearsOrChangesItsSizeEndsTheWait) {
  using sample = std::vector<memory_reading>;
  const auto ends_with = [](sample second, const char* word) {
    fake_world world([&](duration t) {
      return t < 50ms ? sample{reading("GPU0", 1_GiB), reading("GPU1", 1_GiB)} : second;
    });
    const settle_result result = world.settle();
    EXPECT_EQ(result.status, settle_status::devices_changed);
    EXPECT_THAT(result.reason, HasSubstr(word));
    EXPECT_LT(result.elapsed, 100ms);
    EXPECT_EQ(result.devices.size(), 2u);
  };
  ends_with({reading("GPU0", 1_GiB)}, "GPU1 vanished");
  ends_with({}, "GPU0 vanished");
  ends_with({reading("GPU0", 1_GiB), reading("GPU1", 1_GiB), reading("GPU2", 1_GiB)},
            "GPU2 appeared");
  ends_with({reading("GPU1", 1_GiB), reading("GPU0", 1_GiB, 12_GiB)}, "GPU0 changed its size");
}

TEST(Settle, DevicesMayBeNamedInAnyOrder) {
  fake_world world([](duration t) {
    std::vector readings{reading("GPU0", 1_GiB), reading("GPU1", 20_GiB)};
    if ((t / 1ms) % 2) std::swap(readings[0], readings[1]);
    return readings;
  });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).after_bytes, 1_GiB);
}

TEST(Settle, OneDeviceDrainsWhileAnotherIsStable) {
  // Together they look settled: what one returns the other loses.
  fake_world world([](duration t) {
    const std::uint64_t back = std::min(8_GiB, bytes(8.0 * 1_GiB * in_seconds(t)));
    return std::vector{reading("GPU0", 20_GiB - back), reading("GPU1", 4_GiB + back)};
  });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_GE(result.elapsed, 1200ms);
  EXPECT_EQ(result.devices.at(1).gained_bytes(), std::int64_t{8_GiB});

  fake_world quiet_neighbour([](duration t) {
    const std::uint64_t back = t < 600ms ? 0 : 8_GiB;
    return std::vector{reading("GPU0", 20_GiB), reading("GPU1", 4_GiB + back)};
  });
  EXPECT_EQ(quiet_neighbour.settle().devices.at(1).after_bytes, 12_GiB);
}

TEST(Settle, TwoPercentOfALargeCardAreNotAMovement) {
  // 1.5 GiB to and fro: above 256 MiB, below 2 % of what is free on a 192 GiB card.
  const auto breathing = [](duration t) { return 150_GiB + (t / 60ms) % 2 * 1536_MiB; };
  EXPECT_EQ(with_one_device(breathing, 192_GiB).settle().status, settle_status::settled);
  const auto too_much = [](duration t) { return 50_GiB + (t / 60ms) % 2 * 1536_MiB; };
  EXPECT_EQ(with_one_device(too_much, 192_GiB).settle().status, settle_status::timed_out);
  EXPECT_EQ(lull::detail::of_free_memory.between(150_GiB, 1_GiB), 3_GiB);
  EXPECT_EQ(lull::detail::of_free_memory.between(1_GiB, 2_GiB), 256_MiB);
}

// --- Those that it misses
// --------------------------------------------------------------------------

TEST(Settle, EqualStaleSamplesAreNotTakenForTheResult) {
  for (const duration start :
       {duration{100ms}, duration{260ms}, duration{510ms}, duration{900ms}}) {
    fake_world world = with_one_device([=](duration t) { return t < start ? 4_GiB : 20_GiB; });
    const settle_result result = world.settle();
    EXPECT_EQ(result.status, settle_status::settled);
    EXPECT_EQ(result.devices.at(0).after_bytes, 20_GiB) << in_seconds(start) << " s";
  }
}

TEST(Settle, ASlowSteadyReleaseIsNotTakenForRest) {
  // Neighbouring samples agree all the time: 100 to 1000 MiB/s are at most 250 MiB per quarter.
  for (const double rate_mib : {100.0, 250.0, 500.0, 1000.0}) {
    const auto endless = [=](duration t) {
      return 1_GiB + bytes(rate_mib * 1_MiB * in_seconds(t));
    };
    EXPECT_EQ(with_one_device(endless).settle().status, settle_status::timed_out) << rate_mib;

    const auto back = [=](duration t) {
      return std::min(bytes(rate_mib * 1_MiB * in_seconds(t)), bytes(rate_mib * 1_MiB));
    };
    fake_world world = with_one_device([=](duration t) { return 1_GiB + back(t); });
    const settle_result result = world.settle();
    EXPECT_EQ(result.status, settle_status::settled) << rate_mib;
    EXPECT_GE(result.elapsed, 1s) << rate_mib;
    EXPECT_LE(result.elapsed, 1400ms) << rate_mib;
  }
}

TEST(Settle, AFallInTheMiddleDoesNotHideASlowRelease) {
  // Another process takes 100 MiB while 600 MiB/s come back: the slope over all of it is flat.
  for (int fall_ms = 300; fall_ms < 1200; fall_ms += 7) {
    fake_world world = with_one_device([=](duration t) {
      const std::uint64_t back = std::min(bytes(600.0 * 1_MiB * in_seconds(t)), 960_MiB);
      return 4_GiB + back - (t >= std::chrono::milliseconds{fall_ms} ? 100_MiB : 0);
    });
    EXPECT_GE(world.settle().elapsed, 1500ms) << fall_ms;
  }
}

TEST(Settle, WhatOnlyJustBeganToMoveHasNotComeToRest) {
  // On a large card both the fall and the first steps are below 2 %, and the fall hides their
  // slope.
  fake_world world = with_one_device(
      [](duration t) {
        return 48_GiB + (t >= 550ms ? 672_MiB : 0) + (t >= 747ms ? 672_MiB : 0) +
               (t >= 831ms ? 672_MiB : 0) - (t >= 488ms ? 509_MiB : 0);
      },
      80_GiB);
  EXPECT_GE(world.settle().elapsed, 831ms);
}

TEST(Settle, AGainThatCannotComeIsNoticed) {
  // The baseline was taken after the release: 20 GiB are free, 12 more would not fit the card.
  fake_world world = with_one_device([](duration) { return 20_GiB; });
  const settle_result result = world.settle(expecting(12_GiB, 20_GiB));
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::impossible);
  EXPECT_EQ(result.elapsed, 1s);
}

TEST(Settle, AGainThatCameBeforeTheBaselineDoesNotCostTheFullWait) {
  fake_world world = with_one_device([](duration) { return 12_GiB; });
  const settle_result result = world.settle(expecting(8_GiB, 12_GiB));
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::not_seen);
  EXPECT_EQ(result.elapsed, 1s) << "half of the full wait";

  fake_world later = with_one_device([](duration) { return 12_GiB; });
  EXPECT_EQ(later.settle(expecting(8_GiB, 12_GiB), 900ms).elapsed, 250ms)
      << "the time since the release counts, not that since the call";
}

TEST(Settle, AGainThatIsThereAlreadyCostsOneSample) {
  fake_world world = with_one_device([](duration) { return 20_GiB; });
  const settle_result result = world.settle(expecting(16_GiB, 4_GiB));
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.elapsed, 0s);
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::gained);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::already_there);
  EXPECT_EQ(world.asked.size(), 1u);
}

TEST(Settle, ReturnsWithinOneIntervalOfAnExpectedGain) {
  for (int at_ms = 5; at_ms < 1900; at_ms += 31) {
    const duration arrival = std::chrono::milliseconds{at_ms};
    fake_world world = with_one_device([=](duration t) { return t < arrival ? 4_GiB : 20_GiB; });
    const settle_result result = world.settle(expecting(16_GiB, 4_GiB));
    if (result.devices.at(0).gain == settle_gain::not_seen) {
      EXPECT_GT(arrival, 1s) << "nothing came for a second";
      continue;
    }
    EXPECT_EQ(result.devices.at(0).gain, settle_gain::arrived);
    EXPECT_GE(result.elapsed, arrival);
    EXPECT_LE(result.elapsed, arrival + settle_options{}.longest_interval);
  }
}

TEST(Settle, AGainThatIsUnderWayIsWaitedForBeyondTheDwell) {
  // Three steps with 240 ms between; after the second, everything would look settled at 300 ms.
  fake_world world = with_one_device([](duration t) {
    return 4_GiB + (t >= 20ms ? 4_GiB : 0) + (t >= 50ms ? 4_GiB : 0) + (t >= 800ms ? 4_GiB : 0);
  });
  EXPECT_EQ(world.settle(expecting(12_GiB, 4_GiB)).devices.at(0).after_bytes, 16_GiB);
}

TEST(Settle, AnOverestimatedGainCostsASecondAtMost) {
  fake_world world = with_one_device([](duration t) { return t < 100ms ? 4_GiB : 8_GiB; });
  const settle_result result = world.settle(expecting(16_GiB, 4_GiB));
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::not_seen);
  EXPECT_EQ(result.elapsed, 1s);
}

TEST(Settle, WithoutABaselineTheFirstSampleIsIt) {
  fake_world world = with_one_device([](duration t) { return t < 100ms ? 4_GiB : 20_GiB; });
  const settle_result result = world.settle(expecting(16_GiB));
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::arrived);
  EXPECT_LE(result.elapsed, 125ms);
}

TEST(Settle, FreeMemoryThatFallsIsNoGain) {
  // A difference without a sign would be huge here.
  const auto falling = [](duration t) {
    return 20_GiB - std::min(bytes(4.0 * 1_GiB * in_seconds(t)), 2_GiB);
  };
  fake_world world = with_one_device(falling);
  const settle_result result = world.settle(expecting(2_GiB, 20_GiB));
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::not_seen);
  EXPECT_EQ(result.devices.at(0).gained_bytes(), -std::int64_t{2_GiB});
  EXPECT_GE(result.elapsed, 1s);

  fake_world below_zero = with_one_device([](duration) { return 0; });
  EXPECT_EQ(below_zero.settle(expecting(UINT64_MAX, UINT64_MAX)).devices.at(0).gain,
            settle_gain::impossible);
}

// --- What needs no wait at all
// ------------------------------------------------------------------------

TEST(Settle, AMarkThatSaysWhatComesBackCostsOneLookWhenItIsBack) {
  fake_world world = with_one_device([](duration) { return 20_GiB; });
  world.gain_of = [](std::string_view) { return lull::release_gain{16_GiB, 4_GiB}; };
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::already_there);
  EXPECT_EQ(result.devices.at(0).before_bytes, 4_GiB);
  EXPECT_EQ(world.asked.size(), 1u);
}

TEST(Settle, WhatTheCallerExpectsCountsBeforeWhatMarksSay) {
  fake_world world = with_one_device([](duration t) { return t < 100ms ? 4_GiB : 12_GiB; });
  world.gain_of = [](std::string_view) { return lull::release_gain{16_GiB, 4_GiB}; };
  const settle_result result = world.settle(expecting(8_GiB, 4_GiB));
  EXPECT_EQ(result.devices.at(0).gain, settle_gain::arrived);
  EXPECT_LE(result.elapsed, 125ms);
}

TEST(Settle, AGainWithoutAFigureFromBeforeIsNotKnown) {
  fake_world world = with_one_device([](duration) { return 12_GiB; });
  world.gain_of = [](std::string_view) { return lull::release_gain{8_GiB, {}}; };
  EXPECT_EQ(world.settle().devices.at(0).gain, settle_gain::none_expected);
}

TEST(Settle, ADeviceOfWhichNothingIsInUseIsNotWaitedFor) {
  // 480 MiB of 24 GiB: less than 2 % are missing, whoever has them.
  fake_world world = with_one_device([](duration) { return card - 480_MiB; });
  const settle_result result = world.settle();
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::stable);
  EXPECT_EQ(world.asked.size(), 1u);

  fake_world busier = with_one_device([](duration) { return card - 520_MiB; });
  EXPECT_EQ(busier.settle().elapsed, 1s) << "there might be a release in it";
}

TEST(Settle, TheWaitEndsWhenTheLastOneOnTheDeviceIsGone) {
  fake_world world = with_one_device([](duration t) { return t < 100ms ? 4_GiB : card - 300_MiB; });
  EXPECT_LE(world.settle().elapsed, 125ms);
}

TEST(Settle, ABookIsNotWaitedFor) {
  fake_world world([](duration) -> fake_world::answer {
    memory_reading host = reading("HOST", 4_GiB);
    host.memory.source = lull::memory_source::accounting;
    return std::vector{host};
  });
  const settle_result result = world.settle();
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::stable);
  EXPECT_EQ(world.asked.size(), 1u);
}

// --- What a process holds itself
// -----------------------------------------------------------------------

/// A device of which all is in use by a process that gives it back: what a reset waits for.
settle_result wait_for_own(std::function<std::uint64_t(duration)> back) {
  constexpr std::uint64_t held = 676_MiB;
  fake_world world = with_one_device(std::move(back), held);
  settle_options options;
  options.expected = {{"GPU0", 0, 0}};
  const auto released = [&](std::string_view) { return lull::release_mark{world.release}; };
  return lull::detail::run_settle(options, released, world, lull::detail::of_own_memory);
}

TEST(Settle, WhatAProcessHoldsIsJudgedToTheByte) {
  const settle_result late = wait_for_own([](duration t) {
    return t < 60ms ? 0 : t < 200ms ? 675_MiB : 676_MiB;
  });
  EXPECT_EQ(late.devices.at(0).after_bytes, 676_MiB) << "the last MiB is waited for";
  EXPECT_LE(late.elapsed, 225ms);
  EXPECT_EQ(wait_for_own([](duration) { return 676_MiB; }).elapsed, 0s)
      << "nothing is held any more";
}

TEST(Settle, WhatAProcessKeepsIsNotWaitedForLong) {
  const settle_result residue = wait_for_own([](duration) { return 300_MiB; });
  EXPECT_EQ(residue.status, settle_status::settled);
  EXPECT_EQ(residue.elapsed, 300ms);
  EXPECT_EQ(wait_for_own([](duration) { return 0; }).elapsed, 1s) << "it may not have begun";
}

// --- What surrounds the decision
// -------------------------------------------------------------------

TEST(Settle, AGainThatArrivedStaysArrivedWhenSomebodyTakesIt) {
  fake_world world([](duration t) {
    const bool there = t >= 50ms && t < 150ms;
    return std::vector{reading("GPU0", there ? 20_GiB : 4_GiB),
                       reading("GPU1", t < 600ms ? 4_GiB : 8_GiB)};
  });
  settle_options options = expecting(16_GiB, 4_GiB);
  options.expected.push_back({"GPU1", 4_GiB, 4_GiB});
  const settle_result result = world.settle(options);
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::gained);
  EXPECT_LE(result.devices.at(0).elapsed, 75ms);
  EXPECT_LE(result.elapsed, 625ms) << "only GPU1 was waited for";
}

TEST(Settle, ADeviceThatMovesAgainIsWaitedForAgain) {
  // GPU0 rests at 600 ms and moves again at 1 s, while GPU1 drains until 1.4 s.
  fake_world world([](duration t) {
    const std::uint64_t slow = bytes(2.0 * 1_GiB * std::min(in_seconds(t), 1.4));
    const std::uint64_t steps = (t >= 50ms ? 4_GiB : 0) + (t >= 1s ? 4_GiB : 0);
    return std::vector{reading("GPU0", 4_GiB + steps), reading("GPU1", 2_GiB + slow)};
  });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_GE(result.devices.at(0).elapsed, 1250ms);
  EXPECT_EQ(result.devices.at(0).after_bytes, 12_GiB);
}

TEST(Settle, ADeviceWithoutAReleaseOrAFigureIsNotWaitedFor) {
  fake_world world([](duration t) {
    memory_reading mute = reading("GPU2", 0);
    mute.memory.free_bytes.reset();
    return std::vector{reading("GPU0", t < 50ms ? 4_GiB : 20_GiB),
                       reading("GPU1", (t / 1ms) % 20 * 1_GiB), mute};
  });
  world.is_released = [](std::string_view device) { return device != "GPU1"; };
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::stable);
  EXPECT_EQ(result.devices.at(1).verdict, settle_verdict::not_released);
  EXPECT_EQ(result.devices.at(2).verdict, settle_verdict::unknown);
  EXPECT_EQ(result.devices.at(2).gained_bytes(), std::nullopt);
}

TEST(Settle, WithoutAnyFigureThereIsNothingToWaitFor) {
  fake_world world([](duration) {
    memory_reading mute = reading("GPU0", 0);
    mute.memory.free_bytes.reset();
    return std::vector{mute};
  });
  EXPECT_EQ(world.settle().skip, settle_skip::free_unknown);

  fake_world others = with_one_device([](duration) { return 1_GiB; });
  others.is_released = [](std::string_view) { return false; };
  EXPECT_EQ(others.settle().skip, settle_skip::nothing_released);
  EXPECT_EQ(others.asked.size(), 1u);
}

TEST(Settle, AFigureThatIsLostMeanwhileIsAFailure) {
  fake_world world([](duration t) {
    memory_reading reading_now = reading("GPU0", 1_GiB);
    if (t > 50ms) reading_now.memory.free_bytes.reset();
    return std::vector{reading_now};
  });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::probe_failed);
  EXPECT_THAT(result.reason, HasSubstr("GPU0 no longer says"));
}

TEST(Settle, TwoReadingsOfOneNameAreRefused) {
  fake_world world([](duration) {
    return std::vector{reading("GPU0", 1_GiB), reading("GPU0", 2_GiB)};
  });
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::probe_failed);
  EXPECT_THAT(result.reason, HasSubstr("'GPU0'"));
}

TEST(Settle, IntervalsGrowAndAreNeverShorterThanTheProbeTakes) {
  fake_world world = with_one_device([](duration t) { return 1_GiB * ((t / 1ms) % 16); });
  (void)world.settle();
  ASSERT_GT(world.asked.size(), 10u);
  EXPECT_EQ(world.asked[1] - world.asked[0], 10ms);
  EXPECT_EQ(world.asked[2] - world.asked[1], 15ms);
  duration longest{};
  for (std::size_t i = 1; i + 1 < world.asked.size(); ++i) {
    longest = std::max(longest, world.asked[i] - world.asked[i - 1]);
  }
  EXPECT_EQ(longest, 25ms);

  fake_world slow = with_one_device([](duration t) { return 1_GiB * ((t / 1ms) % 16); });
  slow.probe_takes = 40ms;
  (void)slow.settle();
  EXPECT_EQ(slow.asked[1] - slow.asked[0], 80ms) << "half of the time at most is spent in probes";
}

TEST(Settle, IntervalsMayBeAsLongAsADurationCanBe) {
  fake_world world = with_one_device([](duration) { return 1_GiB; });
  settle_options options;
  options.first_interval = options.longest_interval = duration::max();
  EXPECT_EQ(world.settle(options).status, settle_status::settled);
}

TEST(Settle, EndsWhenToldTo) {
  fake_world world = with_one_device([](duration) { return 1_GiB; });
  world.cancel_at = 120ms;
  const settle_result result = world.settle();
  EXPECT_EQ(result.status, settle_status::cancelled);
  EXPECT_EQ(result.elapsed, 120ms);
  EXPECT_EQ(result.devices.size(), 1u);
}

TEST(Settle, ShowsEverySample) {
  fake_world world = with_one_device([](duration t) { return t < 50ms ? 4_GiB : 20_GiB; });
  settle_options options = expecting(16_GiB, 4_GiB);
  std::vector<duration> shown;
  options.on_sample = [&](const lull::settle_sample& sample) {
    shown.push_back(sample.since_start);
    EXPECT_EQ(sample.readings.at(0).device, "GPU0");
  };
  (void)world.settle(options);
  EXPECT_EQ(shown, world.asked);
}

}  // namespace
