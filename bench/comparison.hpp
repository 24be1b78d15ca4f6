#ifndef BENCH_COMPARISON_HPP
#define BENCH_COMPARISON_HPP

/// @file
/// A main for benchmarks that compare: every case is run several times, contestants of one group
/// side by side; at the end a table gives medians, and the ratio of each to the group's first
/// contestant.

#include <string>

#include <benchmark/benchmark.h>

namespace bench {

/// Runs all registered benchmarks, named "group/contestant...". Prints the table; writes Google
/// Benchmark's JSON where --benchmark_out says.
/// @param unit "ns": medians are times, less is better; "GB/s": medians are bytes_per_second, more
///        is better
/// @return the exit code for main
int run(int argc, char** argv, const std::string& unit);

}  // namespace bench

#endif  // BENCH_COMPARISON_HPP
