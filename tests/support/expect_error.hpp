#ifndef LULL_TESTS_SUPPORT_EXPECT_ERROR_HPP
#define LULL_TESTS_SUPPORT_EXPECT_ERROR_HPP

#include <lull/error.hpp>

#include <utility>

#include <gtest/gtest.h>

namespace lull::test {

/// The lull::error that `work` throws; a test failure when it throws none.
template <class Work>
error error_of(Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const error& failure) {
    return failure;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {status::ok, "nothing was thrown"};
}

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_EXPECT_ERROR_HPP
