#ifndef TESTS_FUZZ_EXPECT_HPP
#define TESTS_FUZZ_EXPECT_HPP

#include <cstdio>
#include <cstdlib>

/// A crash where something does not hold, which is what a fuzzer looks for.
inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

#endif  // TESTS_FUZZ_EXPECT_HPP
