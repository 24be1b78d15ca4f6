#include <lull/stop.hpp>

#include <condition_variable>
#include <functional>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

namespace lull {
namespace {

static_assert(std::is_nothrow_copy_constructible_v<stop_view> &&
              std::is_nothrow_copy_assignable_v<stop_view>);

TEST(StopView, OfNothingIsNeverStopped) {
  const stop_view nothing;
  const stop_view of_nobody{std::stop_token{}};
  for (const stop_view& each : {nothing, of_nobody}) {
    EXPECT_FALSE(each.stop_possible());
    EXPECT_FALSE(each.stop_requested());
    EXPECT_FALSE(std::stop_token(each).stop_possible());
  }
}

TEST(StopView, FollowsAStopToken) {
  std::stop_source source;
  const stop_view view = source.get_token();
  EXPECT_TRUE(view.stop_possible());
  EXPECT_FALSE(view.stop_requested());
  source.request_stop();
  EXPECT_TRUE(view.stop_requested());
}

TEST(StopView, FollowsACancelAndOutlivesIt) {
  std::optional<cancel> source;
  source.emplace();
  const stop_view early = *source;
  EXPECT_TRUE(early.stop_possible());
  const cancel same = *source;
  same.request();
  EXPECT_TRUE(source->requested());
  const stop_view late = *source;
  source.reset();
  EXPECT_TRUE(early.stop_requested());
  EXPECT_TRUE(late.stop_requested());
}

TEST(StopView, OfACancelThatIsGoneCanBeStoppedNoMore) {
  std::optional<stop_view> view;
  {
    const cancel source;
    view.emplace(source);
    EXPECT_TRUE(view->stop_possible());
  }
  EXPECT_FALSE(view->stop_possible());
  EXPECT_FALSE(view->stop_requested());
}

TEST(StopView, CanBeCopiedAndAssignedInEveryWay) {
  const cancel first;
  const cancel second;
  stop_view view = first;
  stop_view copy = view;
  const stop_view& self = copy;
  copy = self;
  view = second;
  first.request();
  EXPECT_TRUE(copy.stop_requested());
  EXPECT_FALSE(view.stop_requested());
  const stop_view moved = std::move(copy);
  EXPECT_TRUE(moved.stop_requested());
  view = stop_view();
  EXPECT_FALSE(view.stop_possible());
  view = moved;
  EXPECT_TRUE(view.stop_requested());
}

TEST(StopView, IsAStopTokenForWhatTakesOne) {
  const cancel source;
  const stop_view view = source;
  bool called = false;
  const std::stop_callback<std::function<void()>> callback(view, [&called] { called = true; });
  const std::stop_callback deduced(view, [] {});
  source.request();
  EXPECT_TRUE(called);
}

}  // namespace
}  // namespace lull
