#ifndef BENCH_SLEEP_OUTSIDE_HPP
#define BENCH_SLEEP_OUTSIDE_HPP

#include <lull/device.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sleep_bench {

/// `lull observe`: beside this program, or in its build tree; absent where it is neither.
std::optional<std::vector<std::string>> observer();

/// What is in use on a device, as a program says that is not this one, which may be suspended;
/// absent where it cannot say.
std::optional<std::uint64_t> used_outside(const std::vector<std::string>& observer,
                                          const std::string& device, std::uint64_t total_bytes);

}  // namespace sleep_bench

#endif  // BENCH_SLEEP_OUTSIDE_HPP
