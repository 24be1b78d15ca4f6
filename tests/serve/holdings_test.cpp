// What is refused for good, and what may be asked for again.

#include "holdings.hpp"

#include <cstdint>

#include <gtest/gtest.h>

namespace {

using lull::budget_device_snapshot;
using lull::budget_model_snapshot;
using lull::budget_snapshot;
using lull::serve::is_too_large;

budget_model_snapshot a_model(const char* name, std::uint64_t bytes, bool pinned = false) {
  budget_model_snapshot result;
  result.name = name;
  result.estimate = {{"CUDA0", bytes}};
  result.pinned = pinned;
  if (pinned) result.holds = result.estimate;
  return result;
}

budget_snapshot books(std::uint64_t foreign_bytes) {
  budget_snapshot result;
  budget_device_snapshot device;
  device.name = "CUDA0";
  device.capacity_bytes = 100;
  device.margin_bytes = 10;
  device.foreign_bytes = foreign_bytes;
  result.devices = {device};
  result.models = {a_model("stays", 40, true), a_model("fits", 50), a_model("large", 51)};
  return result;
}

TEST(TooLarge, IsWhatHasNoRoomBesideMarginAndPinnedModels) {
  EXPECT_TRUE(is_too_large(books(0), "large"));
  EXPECT_FALSE(is_too_large(books(0), "fits"));
}

TEST(TooLarge, IsNotWhatOtherProgramsLeaveNoRoomForNow) {
  EXPECT_FALSE(is_too_large(books(60), "fits"));
}

TEST(TooLarge, IsWhatTheMarginAloneLeavesNoRoomFor) {
  budget_snapshot all = books(0);
  all.devices.front().margin_bytes = 200;
  EXPECT_TRUE(is_too_large(all, "fits"));
}

}  // namespace
