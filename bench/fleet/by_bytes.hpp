#ifndef BENCH_FLEET_BY_BYTES_HPP
#define BENCH_FLEET_BY_BYTES_HPP

/// @file
/// A node behind which lull::budget stands: the very budget, on a clock of the simulation, with a
/// probe and members that are made up.

#include "fleet/machine.hpp"
#include "fleet/traffic.hpp"

namespace bench::fleet {

/// @param one_awake one model at a time is awake, as the cluster gives whole GPUs only; otherwise
///        as many as fit
outcome run_by_bytes(const node_load& load, bool one_awake);

}  // namespace bench::fleet

#endif  // BENCH_FLEET_BY_BYTES_HPP
