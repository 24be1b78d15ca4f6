#ifndef BENCH_SLEEP_REFERENCE_HPP
#define BENCH_SLEEP_REFERENCE_HPP

#include <lull/device.hpp>

#include <cstdint>
#include <vector>

namespace sleep_bench {

/// The limit of the machine: what one copy of the same bytes takes, either way.
struct reference {
  double out_s = 0;
  double in_s = 0;
  double cpu_s = 0;  ///< one way
};

/// Through memory that is pinned already, some of it at a time.
reference pinned_copy(const lull::device& where, std::uint64_t bytes, std::uint64_t scale);

/// For the host as a device: memcpy by one thread into fresh pages, which are given back.
reference fresh_copy(const std::vector<std::uint64_t>& sizes);

}  // namespace sleep_bench

#endif  // BENCH_SLEEP_REFERENCE_HPP
