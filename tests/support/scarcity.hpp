#ifndef LULL_TESTS_SUPPORT_SCARCITY_HPP
#define LULL_TESTS_SUPPORT_SCARCITY_HPP

#include <functional>
#include <string>

#include <gtest/gtest.h>

namespace lull::test {

/// What a process may run out of. A program that uses this has failing_allocations.cpp too.
enum class resource {
  allocation,  ///< of operator new, on whatever thread
  thread,      ///< not under a sanitizer, which starts threads its own way
  descriptor,  ///< from the n-th on; the others fail once
};

/// The end of a test's name.
[[nodiscard]] std::string name_of(const testing::TestParamInfo<resource>& which);

/// Runs `operation` with its first, second, ... one of a resource failing, until there are no more.
/// It may throw an error or std::bad_alloc, or succeed all the same; it must not hang or end the
/// process.
/// @param check with all there again, whether or not it failed: everything works
void fail_each(resource what, const std::function<void()>& operation,
               const std::function<void(bool operation_failed)>& check);

/// Whether one was made to fail since the operation began.
[[nodiscard]] bool one_has_failed() noexcept;

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_SCARCITY_HPP
