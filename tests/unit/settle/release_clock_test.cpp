#include <lull/bytes.hpp>
#include <lull/clock.hpp>
#include <lull/settle.hpp>

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using lull::release_gain;
using namespace lull::literals;
using namespace std::chrono_literals;

class ReleaseClock : public testing::Test {
 protected:
  lull::manual_clock time_;
  lull::release_clock releases_{time_};
  const lull::time_point start_ = time_.now();
};

TEST_F(ReleaseClock, KnowsOfNoReleaseAtFirst) {
  EXPECT_EQ(releases_.latest(), std::nullopt);
  EXPECT_EQ(releases_.last("CUDA0"), std::nullopt);
  EXPECT_EQ(&releases_.time(), &time_);
}

TEST_F(ReleaseClock, KeepsEachDeviceApart) {
  releases_.mark("CUDA0");
  time_.advance(1s);
  releases_.mark("CUDA1");
  EXPECT_EQ(releases_.last("CUDA0"), start_);
  EXPECT_EQ(releases_.last("CUDA1"), start_ + 1s);
  EXPECT_EQ(releases_.last("CUDA2"), std::nullopt);
  EXPECT_EQ(releases_.latest(), start_ + 1s);
}

TEST_F(ReleaseClock, AReleaseThatIsKnownNowhereCountsEverywhere) {
  releases_.mark("CUDA0");
  time_.advance(1s);
  releases_.mark_all();
  time_.advance(1s);
  releases_.mark("CUDA1");
  EXPECT_EQ(releases_.last("CUDA0"), start_ + 1s);
  EXPECT_EQ(releases_.last("CUDA1"), start_ + 2s);
  EXPECT_EQ(releases_.last("never heard of"), start_ + 1s);
}

TEST_F(ReleaseClock, AMarkMovesForwardOnlyAndNeverBeyondNow) {
  releases_.mark_at("CUDA0", start_ - 5s);
  EXPECT_EQ(releases_.last("CUDA0"), start_ - 5s);
  releases_.mark_at("CUDA0", start_ - 9s);
  EXPECT_EQ(releases_.last("CUDA0"), start_ - 5s);
  EXPECT_EQ(releases_.latest(), start_ - 5s);
  releases_.mark_at("CUDA0", start_ + 1h);
  EXPECT_EQ(releases_.last("CUDA0"), start_);
  EXPECT_EQ(releases_.latest(), start_);
}

TEST_F(ReleaseClock, KeepsWhatComesBackWithTheMark) {
  releases_.mark("CUDA0", {8_GiB, 4_GiB});
  const auto mark = releases_.last_release("CUDA0");
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->at, start_);
  EXPECT_EQ(mark->gain, (release_gain{8_GiB, 4_GiB}));
  time_.advance(2s);
  releases_.mark("CUDA0");
  EXPECT_FALSE(releases_.last_release("CUDA0")->gain.known()) << "a later one counts alone";
}

TEST_F(ReleaseClock, ReleasesThatOverlapAreOne) {
  releases_.mark("CUDA0", {8_GiB, 4_GiB});
  time_.advance(100ms);
  releases_.mark("CUDA0", {2_GiB, 4_GiB});
  EXPECT_EQ(releases_.last_release("CUDA0")->gain, (release_gain{10_GiB, 4_GiB}))
      << "neither was back when the second was looked at";
  // The first was back by then: its memory is in what was free before the second.
  releases_.mark("CUDA1", {8_GiB, 4_GiB});
  time_.advance(100ms);
  releases_.mark("CUDA1", {2_GiB, 12_GiB});
  EXPECT_EQ(releases_.last_release("CUDA1")->gain, (release_gain{2_GiB, 12_GiB}));
  // Marked in the wrong order, as by two threads.
  releases_.mark("CUDA2", {2_GiB, 4_GiB});
  releases_.mark_at("CUDA2", start_, {8_GiB, 4_GiB});
  EXPECT_EQ(releases_.last_release("CUDA2")->gain, (release_gain{10_GiB, 4_GiB}));
}

TEST_F(ReleaseClock, AnUnknownReleaseMakesAnOverlappingOneUnknown) {
  releases_.mark("CUDA0", {8_GiB, 4_GiB});
  releases_.mark("CUDA0");
  EXPECT_FALSE(releases_.last_release("CUDA0")->gain.known());
  releases_.mark_all();
  releases_.mark("CUDA1", {8_GiB, 4_GiB});
  EXPECT_FALSE(releases_.last_release("CUDA1")->gain.known());
  time_.advance(2s);
  releases_.mark("CUDA1", {8_GiB, 4_GiB});
  EXPECT_TRUE(releases_.last_release("CUDA1")->gain.known());
}

TEST_F(ReleaseClock, TakesMarksFromManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      const std::string device = "CUDA" + std::to_string(i % 2);
      for (int n = 0; n < 200; ++n) {
        time_.advance(1ms);
        releases_.mark(device);
        const auto seen = releases_.latest();
        ASSERT_TRUE(seen.has_value());
        // Whoever sees a release anywhere finds it on its device.
        ASSERT_GE(std::max(releases_.last("CUDA0"), releases_.last("CUDA1")), seen);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(time_.now(), start_ + 800ms);
  EXPECT_GT(releases_.latest(), start_);
}

}  // namespace
