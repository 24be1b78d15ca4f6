#include "arrivals.hpp"

#include <gtest/gtest.h>

namespace lull::serve {
namespace {

using namespace std::chrono_literals;

constexpr time_point start = time_point{} + 1h;

TEST(Arrivals, WhatWasNeverSeenIsNotKnown) {
  arrivals seen;
  EXPECT_FALSE(seen.expected("cold"));
  EXPECT_FALSE(seen.end(start)) << "nothing has begun";
  seen.begin("cold", start);
  EXPECT_EQ(seen.began(), start);
  EXPECT_FALSE(seen.expected("cold"));
  EXPECT_EQ(seen.end(start + 6s), 6s);
  EXPECT_EQ(seen.expected("cold"), 6s);
  EXPECT_FALSE(seen.expected("offload"));
  EXPECT_EQ(seen.began(), time_point{});
}

TEST(Arrivals, TheLastOnesCountMost) {
  arrivals seen;
  for (const duration each : {duration(9s), duration(3s)}) {
    seen.begin("offload", start);
    seen.end(start + each);
  }
  EXPECT_EQ(seen.expected("offload"), 7s);
  EXPECT_EQ(seen.from(), "offload");
}

TEST(Arrivals, OneThatCameToNothingDoesNotCount) {
  arrivals seen;
  seen.begin("cold", start);
  seen.give_up();
  EXPECT_FALSE(seen.end(start + 6s));
  EXPECT_FALSE(seen.expected("cold"));
}

}  // namespace
}  // namespace lull::serve
