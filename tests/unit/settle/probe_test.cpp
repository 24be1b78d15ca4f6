// settle() with real probe threads: what it costs when there is nothing to wait for, and what a
// probe may do.

#include <lull/bytes.hpp>
#include <lull/clock.hpp>
#include <lull/registry.hpp>
#include <lull/settle.hpp>

#include <atomic>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/hurrying_clock.hpp"

namespace {

using lull::memory_probe;
using lull::memory_reading;
using lull::settle;
using lull::settle_options;
using lull::settle_result;
using lull::settle_skip;
using lull::settle_status;
using lull::settle_verdict;
using lull::test::error_of;
using testing::HasSubstr;
using namespace lull::literals;
using namespace std::chrono_literals;

class SettleProbe : public testing::Test {
 protected:
  memory_probe probe(std::function<std::uint64_t()> free) {
    return {"fake", [this, free = std::move(free)] {
              ++asked_;
              return std::vector<memory_reading>{{"GPU0",
                                                  {.total_bytes = 24_GiB,
                                                   .free_bytes = free(),
                                                   .used_by_process_bytes = {},
                                                   .source = {}}}};
            }};
  }
  settle_options after_release() {
    releases_.mark("GPU0");
    return waiting_for_releases();
  }
  settle_options waiting_for_releases() {
    settle_options options;
    options.releases = &releases_;
    return options;
  }

  lull::test::hurrying_clock time_;
  lull::release_clock releases_{time_};
  std::atomic<int> asked_ = 0;
  const std::vector<memory_probe> constant_{probe([] { return 1_GiB; })};
};

TEST_F(SettleProbe, AColdStartAsksNothing) {
  const settle_result result = settle(constant_, waiting_for_releases());
  EXPECT_EQ(result.status, settle_status::skipped);
  EXPECT_EQ(result.skip, settle_skip::nothing_released);
  EXPECT_EQ(settle(constant_, {}).skip, settle_skip::nothing_released);
  EXPECT_EQ(asked_, 0);
}

TEST_F(SettleProbe, AStaleReleaseAsksNothing) {
  settle_options options = after_release();
  time_.advance(15s + 1ms);
  const settle_result result = settle(constant_, options);
  EXPECT_EQ(result.skip, settle_skip::released_long_ago);
  EXPECT_EQ(result.elapsed, 0s);
  EXPECT_EQ(asked_, 0);

  options.released_at = time_.now() - 15s;  // the later of the two counts
  EXPECT_EQ(settle(constant_, options).status, settle_status::settled);
}

TEST_F(SettleProbe, NoDeviceAsksNothing) {
  const settle_options options = after_release();
  EXPECT_EQ(settle(std::vector<memory_probe>{}, options).skip, settle_skip::no_device);
  EXPECT_EQ(settle(std::vector<lull::device>{}, options).skip, settle_skip::no_device);
}

TEST_F(SettleProbe, WaitsForWhatComesBack) {
  const auto released_at = time_.now();
  const std::vector probes{
      probe([&] { return time_.now() < released_at + 120ms ? 4_GiB : 20_GiB; })};
  const settle_result result = settle(probes, after_release());
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).after_bytes, 20_GiB);
  EXPECT_LT(result.elapsed, 500ms);
  EXPECT_EQ(result.devices.at(0).samples, static_cast<std::uint32_t>(asked_));
}

TEST_F(SettleProbe, AFirstProbeThatThrowsCostsNothing) {
  const std::vector probes{
      probe([]() -> std::uint64_t { throw std::runtime_error("no such library"); })};
  const settle_result result = settle(probes, after_release());
  EXPECT_EQ(result.status, settle_status::probe_failed);
  EXPECT_EQ(result.reason, "fake: no such library");
  EXPECT_EQ(result.elapsed, 0s);

  const std::vector odd{probe([]() -> std::uint64_t { throw 1; })};
  EXPECT_EQ(settle(odd, after_release()).status, settle_status::probe_failed);
}

TEST_F(SettleProbe, ADeviceThatIsGoneHasVanishedOnlyIfItWasThere) {
  const auto gone = []() -> std::uint64_t {
    throw lull::error(lull::status::not_found, "GPU0 is gone");
  };
  EXPECT_EQ(settle(std::vector{probe(gone)}, after_release()).status, settle_status::probe_failed);
  const std::vector later{probe([&]() -> std::uint64_t { return asked_ > 5 ? gone() : 1_GiB; })};
  asked_ = 0;
  const settle_result result = settle(later, after_release());
  EXPECT_EQ(result.status, settle_status::devices_changed);
  EXPECT_THAT(result.reason, HasSubstr("GPU0 is gone"));
}

TEST_F(SettleProbe, AProbeThatHangsForEverCostsMaxWaitOnceAndThenNothing) {
  std::promise<void> let_go;
  const std::vector probes{probe([&, released = let_go.get_future().share()] {
    if (asked_ == 3) {
      time_.advance(2s);
      released.wait();
    }
    return 1_GiB;
  })};
  const settle_result first = settle(probes, after_release());
  EXPECT_EQ(first.status, settle_status::timed_out);
  EXPECT_THAT(first.reason, HasSubstr("fake"));
  EXPECT_EQ(first.devices.at(0).samples, 2u);
  EXPECT_LT(first.elapsed, 2s + 50ms);

  // Nobody moves the time now: a second caller that waited would wait for ever.
  const settle_result second = settle(probes, after_release());
  EXPECT_EQ(second.status, settle_status::probe_failed);
  EXPECT_THAT(second.reason, HasSubstr("still hangs"));
  EXPECT_EQ(second.elapsed, 0s);
  EXPECT_EQ(asked_, 3);

  // Another probe is not concerned.
  EXPECT_EQ(settle(constant_, after_release()).status, settle_status::settled);

  let_go.set_value();
  settle_result third = settle(probes, after_release());
  while (third.status == settle_status::probe_failed) {
    std::this_thread::yield();
    third = settle(probes, after_release());
  }
  EXPECT_EQ(third.status, settle_status::settled);
}

TEST_F(SettleProbe, CanBeCancelledWhileAProbeHangs) {
  std::promise<void> let_go;
  std::stop_source stop;
  const std::vector probes{probe([&, released = let_go.get_future().share()] {
    stop.request_stop();
    released.wait();
    return 1_GiB;
  })};
  settle_options options = after_release();
  options.stop = stop.get_token();
  EXPECT_EQ(settle(probes, options).status, settle_status::cancelled);
  let_go.set_value();

  EXPECT_EQ(settle(constant_, options).status, settle_status::cancelled) << "told beforehand";
}

TEST_F(SettleProbe, CanBeCancelledBetweenSamples) {
  std::stop_source stop;
  settle_options options = after_release();
  options.stop = stop.get_token();
  options.on_sample = [&](const lull::settle_sample&) { stop.request_stop(); };
  const settle_result result = settle(constant_, options);
  EXPECT_EQ(result.status, settle_status::cancelled);
  EXPECT_EQ(asked_, 1);
}

TEST_F(SettleProbe, NoTimeIsNoSample) {
  settle_options options = after_release();
  options.max_wait = 0s;
  EXPECT_EQ(settle(constant_, options).status, settle_status::timed_out);
  EXPECT_EQ(asked_, 0);
  options.max_wait = 2s;
  EXPECT_EQ(settle(constant_, options).status, settle_status::settled)
      << "it does not count as hanging";
}

TEST_F(SettleProbe, SeveralProbesMakeOneSample) {
  const std::vector<memory_probe> probes{
      probe([] { return 1_GiB; }),
      {"other", [] {
         return std::vector<memory_reading>{{"GPU1",
                                             {.total_bytes = 8_GiB,
                                              .free_bytes = 2_GiB,
                                              .used_by_process_bytes = {},
                                              .source = {}}}};
       }}};
  releases_.mark("GPU1");
  const settle_result result = settle(probes, after_release());
  EXPECT_EQ(result.status, settle_status::settled);
  ASSERT_EQ(result.devices.size(), 2u);
  EXPECT_EQ(result.devices[1].device, "GPU1");
  EXPECT_EQ(result.devices[1].after_bytes, 2_GiB);
}

TEST_F(SettleProbe, AsksDevicesWithAReleaseOnly) {
  lull::registry_options options;
  options.search = false;
  options.settings = {{"host", "capacity_bytes", "64MiB"}};
  const lull::registry registry(options);
  const std::vector devices{registry.find("HOST")};

  releases_.mark("GPU0");
  settle_result result = settle(devices, waiting_for_releases());
  EXPECT_EQ(result.skip, settle_skip::nothing_released);
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::not_released);

  releases_.mark(devices[0]);
  result = settle(devices, waiting_for_releases());
  EXPECT_EQ(result.status, settle_status::settled);
  EXPECT_EQ(result.devices.at(0).device, "HOST");
  EXPECT_EQ(result.devices.at(0).verdict, settle_verdict::stable);
  EXPECT_EQ(result.devices.at(0).gained_bytes(), 0);

  time_.advance(1h);
  releases_.mark_all();
  EXPECT_EQ(settle(devices, waiting_for_releases()).status, settle_status::settled);
}

TEST_F(SettleProbe, RefusesOptionsThatMakeNoSense) {
  const auto refused = [&](auto&& change) {
    settle_options options = after_release();
    change(options);
    const lull::error failure = error_of([&] { (void)settle(constant_, options); });
    EXPECT_EQ(failure.code(), lull::status::invalid_argument);
    return std::string(failure.what());
  };
  EXPECT_THAT(refused([](auto& o) { o.max_wait = -1ms; }), HasSubstr("max_wait"));
  EXPECT_THAT(refused([](auto& o) { o.stale_after = -1ms; }), HasSubstr("stale_after"));
  EXPECT_THAT(refused([](auto& o) { o.first_interval = 0s; }), HasSubstr("first_interval"));
  EXPECT_THAT(refused([](auto& o) { o.longest_interval = 1ms; }), HasSubstr("longest_interval"));
  EXPECT_EQ(asked_, 0);
  EXPECT_EQ(error_of([] { memory_probe("empty", {}); }).code(), lull::status::invalid_argument);
}

TEST(SettleNames, AreAllDifferentAndKnown) {
  EXPECT_EQ(to_string(settle_status::devices_changed), "devices changed");
  EXPECT_EQ(to_string(settle_skip::released_long_ago), "the last release is long ago");
  EXPECT_EQ(to_string(settle_verdict::not_released), "not released");
  EXPECT_EQ(to_string(lull::settle_gain::already_there), "already there");
  EXPECT_EQ(to_string(static_cast<settle_status>(99)), "?");
}

}  // namespace
