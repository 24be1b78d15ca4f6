// Replacing the image of the process, from C: what is handed over, and a sleeper that does it. What
// comes after a success is shown where processes are real (unit/process/rebirth_test.cpp).

#include <lull/lull.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/scratch_folder.hpp"

namespace {

using testing::HasSubstr;

void ok(lull_status code) {
  EXPECT_EQ(code, LULL_OK) << lull_last_error_message();
}

TEST(CApiRebirth, WhatIsHandedOverCanBeReadAgain) {
  lull_handover* left = nullptr;
  ok(lull_handover_create(&left));
  ok(lull_handover_add_descriptor(left, "listener", 7));
  ok(lull_handover_set_blob(left, 3, "a\0b", 3));
  int32_t number = -1;
  ok(lull_handover_descriptor(left, "listener", &number));
  EXPECT_EQ(number, 7);
  EXPECT_EQ(lull_handover_descriptor(left, "other", &number), LULL_ERROR_NOT_FOUND);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("'other'"));
  EXPECT_EQ(lull_handover_version(left), 3u);
  ASSERT_EQ(lull_handover_blob_size(left), 3u);
  EXPECT_EQ(std::memcmp(lull_handover_blob(left), "a\0b", 3), 0);
  EXPECT_EQ(lull_handover_rebirths(left), 0u);
  ok(lull_handover_set_blob(left, 0, nullptr, 0));
  EXPECT_EQ(lull_handover_blob_size(left), 0u);
  lull_handover_destroy(left);
}

class CApiRebirthSleep : public testing::Test {
 protected:
  CApiRebirthSleep() {
    lull_handover* before = nullptr;
    ok(lull_rebirth_take(&before));
    EXPECT_EQ(before, nullptr);
    std::ofstream(program_) << "\x7f garbage";
    std::filesystem::permissions(program_, std::filesystem::perms::owner_all);
    lull_rebirth_options_init(&how_);
    how_.program = program_.c_str();
    lull_sleeper_rebirth_options_init(&rebirth_);
    rebirth_.how = &how_;
    rebirth_.user = this;
    rebirth_.hand_over = [](void* user, const lull_sleep_counters* then, lull_handover* into) {
      auto& self = *static_cast<CApiRebirthSleep*>(user);
      self.sleeps_ = then->sleeps;
      ok(lull_handover_set_blob(into, 1, "x", 1));
      return self.answer_;
    };
    rebirth_.called_off = [](void* user) { ++static_cast<CApiRebirthSleep*>(user)->called_off_; };
    lull_sleeper_options options;
    lull_sleeper_options_init(&options);
    options.rebirth = &rebirth_;
    ok(lull_sleeper_create(&options, &sleeper_));
    ok(lull_sleep_plan_init(&plan_, LULL_LEVEL_REBIRTH));
  }
  ~CApiRebirthSleep() override { lull_sleeper_destroy(sleeper_); }

  lull::test::scratch_folder folder_;
  const std::string program_ = (folder_.path() / "program").string();
  lull_rebirth_options how_{};
  lull_sleeper_rebirth_options rebirth_{};
  lull_sleeper* sleeper_ = nullptr;
  lull_sleep_plan plan_{};
  lull_status answer_ = LULL_OK;
  uint64_t sleeps_ = 0;
  int called_off_ = 0;
};

TEST_F(CApiRebirthSleep, OneThatTheKernelRefusesIsTakenBack) {
  ok(lull_rebirth_check(&how_));
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, &plan_, nullptr), LULL_ERROR_IO);
  EXPECT_EQ(sleeps_, 1u);
  EXPECT_EQ(called_off_, 1);
}

TEST_F(CApiRebirthSleep, AHandOverMayCallItOff) {
  answer_ = LULL_ERROR_BUSY;
  EXPECT_EQ(lull_sleeper_sleep(sleeper_, &plan_, nullptr), LULL_ERROR_CALLBACK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("LULL_ERROR_BUSY"));
  EXPECT_EQ(called_off_, 0);
}

TEST_F(CApiRebirthSleep, AnImageBeginsAsleep) {
  lull_sleep_counters counters{};
  counters.struct_size = sizeof counters;
  counters.sleeps = 9;
  ok(lull_sleeper_begin_asleep(sleeper_, &plan_, &counters));
  lull_sleeper_snapshot seen{};
  seen.struct_size = sizeof seen;
  ok(lull_sleeper_observe(sleeper_, &seen));
  EXPECT_EQ(seen.state, LULL_STATE_ASLEEP);
  EXPECT_STREQ(seen.plan, "rebirth");
  EXPECT_EQ(seen.sleeps, 9u);
  EXPECT_EQ(lull_sleeper_begin_asleep(sleeper_, &plan_, nullptr), LULL_ERROR_BUSY);
  ok(lull_sleeper_wake(sleeper_, 10 * LULL_SECOND, nullptr));
}

TEST_F(CApiRebirthSleep, ArgumentsAndVariablesAreTaken) {
  const char* const words[] = {"name", "argument"};
  const lull_variable variables[] = {{"ONE", "1"}, {"PATH", nullptr}};
  how_.arguments = words;
  how_.argument_count = 2;
  how_.environment = variables;
  how_.environment_count = 2;
  ok(lull_rebirth_check(&how_));
  const std::string large(200000, 'x');
  const lull_variable too_large{"ONE", large.c_str()};
  how_.environment = &too_large;
  how_.environment_count = 1;
  EXPECT_EQ(lull_rebirth_check(&how_), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("131071 in one"));
  how_.environment = nullptr;
  EXPECT_EQ(lull_rebirth_check(&how_), LULL_ERROR_INVALID_ARGUMENT);
}

}  // namespace
