#include "comparison.hpp"

#include <vector>

#include <fmt/format.h>

namespace bench {
namespace {

/// Prints as usual and keeps the median of every case, in the order they were registered.
class collector final : public benchmark::ConsoleReporter {
 public:
  explicit collector(bool rates) : ConsoleReporter(OO_None), rates_(rates) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Aggregate || run.aggregate_name != "median") continue;
      const double median =
          rates_ ? run.counters.at("bytes_per_second").value / 1e9 : run.GetAdjustedRealTime();
      medians_.push_back({run.run_name.function_name, run.run_name.threads, median});
    }
  }

  void print_table(const std::string& unit) const {
    fmt::print("\n{:<40} {:>16} {:>8}\n", "case", unit + " (median)", "ratio");
    const result* first = nullptr;
    for (const result& each : medians_) {
      if (first == nullptr || group_of(each) != group_of(*first)) first = &each;
      fmt::print("{:<40} {:>16.2f} {:>8.2f}\n", fmt::format("{} {}", each.name, each.threads),
                 each.median, each.median / first->median);
    }
  }

 private:
  struct result {
    std::string name;
    std::string threads;
    double median;
  };

  /// Cases are compared that differ in the contestant only.
  static std::string group_of(const result& each) {
    return each.name.substr(0, each.name.find('/')) + each.threads;
  }

  bool rates_;
  std::vector<result> medians_;
};

}  // namespace

int run(int argc, char** argv, const std::string& unit) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  collector reporter(unit != "ns");
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  reporter.print_table(unit);
  return 0;
}

}  // namespace bench
