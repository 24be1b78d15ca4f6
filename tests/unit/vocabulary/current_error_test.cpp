#include "vocabulary/current_error.hpp"

#include <new>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using lull::error;
using lull::status;
using lull::detail::current_error;

template <class Thrown>
error caught(const Thrown& what, std::string_view context = {}) {
  try {
    throw what;
  } catch (...) {
    return current_error(status::callback, context);
  }
}

TEST(CurrentError, KeepsAnErrorOfOursWhole) {
  const error seen = caught(error(status::busy, "in use", {"CUDA0", "cuMemUnmap", 1, "words"}));
  EXPECT_EQ(seen.code(), status::busy);
  EXPECT_STREQ(seen.what(), "in use");
  ASSERT_NE(seen.vendor(), nullptr);
  EXPECT_EQ(seen.vendor()->call, "cuMemUnmap");
}

TEST(CurrentError, GivesForeignExceptionsTheStatusOfWhoThrewThem) {
  EXPECT_EQ(caught(std::runtime_error("no luck")).code(), status::callback);
  EXPECT_STREQ(caught(std::runtime_error("no luck")).what(), "no luck");
  EXPECT_EQ(caught(4711).code(), status::callback);
  EXPECT_STREQ(caught(4711).what(), "an exception of unknown type");
}

TEST(CurrentError, LackOfMemoryIsLackOfMemoryWhoeverNoticesIt) {
  EXPECT_EQ(caught(std::bad_alloc()).code(), status::out_of_host_memory);
  EXPECT_STREQ(caught(std::bad_alloc()).what(), "out of host memory");
}

TEST(CurrentError, SaysWhoseExceptionItIs) {
  const error seen = caught(error(status::busy, "in use", {"CUDA0", "", 0, ""}), "memory");
  EXPECT_STREQ(seen.what(), "memory: in use");
  EXPECT_EQ(seen.device(), "CUDA0");
  EXPECT_STREQ(caught(4711, "graphs").what(), "graphs: an exception of unknown type");
}

static_assert(noexcept(current_error(status::internal, "context")));

}  // namespace
