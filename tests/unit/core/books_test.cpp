#include "core/books.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using lull::detail::device_books;
using lull::detail::object_kind;
using testing::HasSubstr;
using testing::IsEmpty;

using slip = device_books::slip;

// Nothing that happens after the vendor was called can fail.
static_assert(noexcept(std::declval<device_books&>().add(object_kind::graph, slip{}, {})));
static_assert(noexcept(std::declval<device_books&>().put_back(object_kind::graph, slip{})));
static_assert(noexcept(std::declval<device_books&>().remove(object_kind::graph, 0)));

TEST(Books, WhatIsTakenOffIsGoneUntilItIsPutBack) {
  device_books books;
  books.add(object_kind::stream, slip::blank(), {7, 0, 0});
  slip taken = books.remove(object_kind::stream, 7);
  EXPECT_FALSE(taken.empty());
  EXPECT_FALSE(books.contains(object_kind::stream, 7));
  EXPECT_TRUE(books.remove(object_kind::stream, 7).empty());
  books.put_back(object_kind::stream, std::move(taken));
  EXPECT_TRUE(books.contains(object_kind::stream, 7));
}

TEST(Books, AHandleThatIsGivenOutAgainReplacesWhatHadIt) {
  device_books books;
  books.add(object_kind::allocation, slip::blank(), {7, 100, 0});
  books.add(object_kind::allocation, slip::blank(), {7, 200, 0});
  ASSERT_EQ(books.all(object_kind::allocation).size(), 1u);
  EXPECT_EQ(books.all(object_kind::allocation)[0].bytes, 200u);
}

TEST(Books, ARangeIsCoveredAsAWholeOrNotAtAll) {
  device_books books;
  EXPECT_FALSE(books.covers(object_kind::reservation, 1000, 1));
  books.add(object_kind::reservation, slip::blank(), {1000, 100, 0});
  EXPECT_TRUE(books.covers(object_kind::reservation, 1000, 100));
  EXPECT_TRUE(books.covers(object_kind::reservation, 1050, 50));
  EXPECT_FALSE(books.covers(object_kind::reservation, 1050, 51));
  EXPECT_FALSE(books.covers(object_kind::reservation, 999, 10));
  EXPECT_FALSE(books.covers(object_kind::reservation, 1101, 0));
  EXPECT_FALSE(books.covers(object_kind::reservation, 1050, UINT64_MAX)) << "no wrapping round";
}

TEST(Books, AResetEndsAllButStableAddresses) {
  device_books books;
  for (std::size_t kind = 0; kind < lull::detail::object_kinds; ++kind) {
    books.add(static_cast<object_kind>(kind), slip::blank(), {kind + 1, 10, 0});
  }
  EXPECT_THAT(books.describe_live(), HasSubstr("1 event"));
  EXPECT_THAT(books.describe_live(), testing::Not(HasSubstr("registration")));
  books.clear_what_a_reset_ends(true);
  for (const object_kind kind :
       {object_kind::allocation, object_kind::stream, object_kind::event, object_kind::pinned,
        object_kind::graph, object_kind::registration}) {
    EXPECT_THAT(books.all(kind), IsEmpty()) << to_string(kind);
  }
  for (const object_kind kind :
       {object_kind::memory, object_kind::mapping, object_kind::reservation}) {
    EXPECT_EQ(books.all(kind).size(), 1u) << to_string(kind);
  }
  books.clear_what_a_reset_ends(false);
  EXPECT_THAT(books.all(object_kind::reservation), IsEmpty());
}

}  // namespace
