#ifndef LULL_TESTS_CAPI_FAILING_ALLOCATIONS_HPP
#define LULL_TESTS_CAPI_FAILING_ALLOCATIONS_HPP

#include <cstdint>
#include <functional>

namespace lull::test {

/// Calls `work` with the n-th allocation of this thread failing; 0: none. For programs that have
/// failing_allocations.cpp, which replaces the global operator new.
/// @return whether it came to that
bool with_failure_at(std::uint64_t n, const std::function<void()>& work);

}  // namespace lull::test

#endif  // LULL_TESTS_CAPI_FAILING_ALLOCATIONS_HPP
