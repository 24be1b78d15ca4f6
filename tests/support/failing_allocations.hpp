#ifndef LULL_TESTS_SUPPORT_FAILING_ALLOCATIONS_HPP
#define LULL_TESTS_SUPPORT_FAILING_ALLOCATIONS_HPP

/// @file
/// For programs that have failing_allocations.cpp, which replaces the global operator new by one
/// that counts and fails. They are programs of their own: with that, the address sanitizer could
/// not tell whether the memory of a new is given back by the right delete.

#include <cstdint>
#include <functional>

namespace lull::test {

/// How many this thread has made.
[[nodiscard]] std::uint64_t allocations_of_this_thread() noexcept;

/// Calls `work` with the n-th allocation of this thread failing; 0: none.
/// @return whether it came to that
bool with_failure_at(std::uint64_t n, const std::function<void()>& work);

/// The n-th allocation from now on fails, on whichever thread it is made; 1: the next one; 0: none.
void fail_allocation(std::uint64_t n) noexcept;
/// Whether it came to that.
[[nodiscard]] bool allocation_has_failed() noexcept;

/// Allocations made while this says so neither count nor fail. Null: all do.
void exempt_allocations(bool (*exempt)()) noexcept;

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_FAILING_ALLOCATIONS_HPP
