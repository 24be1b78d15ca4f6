#ifndef LULL_TESTS_GPU_CHECKS_PLAN_HPP
#define LULL_TESTS_GPU_CHECKS_PLAN_HPP

#include <vector>

#include "check.hpp"

namespace gpu_checks {

/// Everything that there is to run on a GPU, the most telling first, in under nine minutes
/// together.
/// @param quick small sizes, and no comparison with others
/// @param free_bytes of the device: what is too large for it is marked as unfit
std::vector<check> plan(bool quick, double free_bytes);

/// Asks a program whether it starts at all.
check start_check(const std::string& program);

/// Asks which devices there are.
check devices_check();

}  // namespace gpu_checks

#endif  // LULL_TESTS_GPU_CHECKS_PLAN_HPP
