#include "timing.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace sleep_bench {

double seconds(lull::duration span) {
  return std::chrono::duration<double>(span).count();
}

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& span) {
    return static_cast<double>(span.tv_sec) + static_cast<double>(span.tv_usec) / 1e6;
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

double median(std::vector<double> of) {
  std::sort(of.begin(), of.end());
  const std::size_t middle = of.size() / 2;
  return of.size() % 2 != 0 ? of[middle] : (of[middle - 1] + of[middle]) / 2;
}

}  // namespace sleep_bench
