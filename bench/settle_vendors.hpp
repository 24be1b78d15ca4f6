#ifndef BENCH_SETTLE_VENDORS_HPP
#define BENCH_SETTLE_VENDORS_HPP

#include <functional>

#include <benchmark/benchmark.h>

namespace bench {

using add_benchmark =
    std::function<void(const char* name, const std::function<void(benchmark::State&)>& body)>;

/// One look at a device's memory by the module of each vendor that is built, on its simulated
/// machine: what the way through lull costs, with a vendor's library that answers at once.
void add_vendor_probes(const add_benchmark& add);

}  // namespace bench

#endif  // BENCH_SETTLE_VENDORS_HPP
