#ifndef BENCH_SLEEP_TIMING_HPP
#define BENCH_SLEEP_TIMING_HPP

#include <lull/clock.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sleep_bench {

double seconds(lull::duration span);

template <class Work>
double seconds_of(Work&& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return seconds(std::chrono::steady_clock::now() - begun);
}

/// CPU time of this process, of all its threads.
double cpu_seconds();

double median(std::vector<double> of);

/// What one way of a case took.
struct timing {
  double total_s = 0;
  double cpu_s = 0;  ///< of all threads
  std::map<std::string, double> steps;
  std::uint64_t staged_bytes = 0;
  std::string staged_because;
};

/// Adds what a transfer, or a transition, says of itself.
template <class Report>
void note(const Report& report, timing& into) {
  for (const auto& step : report.steps) into.steps[step.name] += seconds(step.elapsed);
  for (const auto& each : report.devices) {
    into.staged_bytes += each.staged_bytes;
    if (!each.staged_because.empty()) into.staged_because = each.staged_because;
  }
}

template <class Transfer>
timing time(Transfer&& transfer) {
  timing result;
  decltype(transfer()) report;
  const double cpu_before = cpu_seconds();
  result.total_s = seconds_of([&] { report = transfer(); });
  result.cpu_s = cpu_seconds() - cpu_before;
  note(report, result);
  return result;
}

}  // namespace sleep_bench

#endif  // BENCH_SLEEP_TIMING_HPP
