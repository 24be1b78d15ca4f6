#ifndef BENCH_SLEEP_CASES_HPP
#define BENCH_SLEEP_CASES_HPP

#include <lull/device.hpp>

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace sleep_bench {

struct arguments {
  std::string device;
  std::string size = "8GiB";
  int cycles = 3;
  unsigned threads = 0;
  std::uint64_t scale = 1;
  std::string directory = "/tmp";
  std::string output;
};

/// Takes every case once in each round, and keeps the medians.
/// @throws std::exception also when contents came back wrong
nlohmann::json run_cases(const lull::device& where, const arguments& given);

}  // namespace sleep_bench

#endif  // BENCH_SLEEP_CASES_HPP
