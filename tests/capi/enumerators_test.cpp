// Every enumerator of the C API means the same number in C++. The lines are generated from the
// headers (generate_checks.cmake), and that neither side has more than the other is seen there.

#include <lull/lull.h>
#include <lull/lull.hpp>

#include <cstdint>

#include <gtest/gtest.h>

#include "capi/memory.hpp"
#include "capi/process.hpp"
#include "capi/sleep_plan.hpp"
#include "capi/sleeper.hpp"
#include "capi/values.hpp"

namespace {

template <class C, class Cpp>
void same(C in_c, Cpp in_cpp) {
  EXPECT_EQ(static_cast<std::int64_t>(in_c), static_cast<std::int64_t>(in_cpp));
}

/// What C may hand over is accepted up to the last one. The others only come out.
template <class Cpp, class C>
void last(C in_c) {
  constexpr auto accepted = static_cast<std::int64_t>(lull::capi::last_of<Cpp>);
  if constexpr (accepted != 0) {
    EXPECT_EQ(static_cast<std::int64_t>(in_c), accepted);
  }
}

TEST(CApiEnumerators, AreThoseOfCpp) {
#include "enumerator_checks.inc"
}

}  // namespace
