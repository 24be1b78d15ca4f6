#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "read.hpp"

namespace lull::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string three_models =
    "models:\n"
    "  a: {cmd: 'x ${PORT}', aliases: [first]}\n"
    "  b: {cmd: 'x ${PORT}'}\n"
    "  c: {cmd: 'x ${PORT}'}\n";

TEST(ConfigRelations, GroupsAndTheModelsOfNone) {
  const config read =
      good(three_models +
           "groups:\n"
           "  small: {swap: false, exclusive: no, persistent: true, members: [b]}\n");
  EXPECT_THAT(read.groups, ElementsAre(group_config{.name = "small",
                                                    .swap = false,
                                                    .exclusive = false,
                                                    .persistent = true,
                                                    .members = {"b"}},
                                       group_config{.name = "(default)", .members = {"a", "c"}}));
}

TEST(ConfigRelations, TheNewerPlaceOfGroupsAndPriorities) {
  const config read = good(three_models + R"(
routing:
  scheduler: {use: fifo, settings: {fifo: {priority: {first: 10, b: -1}}}}
  router: {use: group, settings: {groups: {g: {members: [a, b, c]}}}}
)");
  EXPECT_THAT(read.groups, ElementsAre(group_config{.name = "g", .members = {"a", "b", "c"}}));
  EXPECT_EQ(read.models.at(0).priority, 10);
  EXPECT_EQ(read.models.at(1).priority, -1);
  EXPECT_EQ(read.models.at(2).priority, 0);
}

TEST(ConfigRelations, AModelIsInOneGroup) {
  EXPECT_THAT(wrong(three_models + "groups: {g: {members: [a]}, h: {members: [first]}}\n"),
              HasSubstr("groups.h.members: 'a' is in group 'g' already"));
  EXPECT_THAT(wrong(three_models + "groups: {g: {members: a}}\n"),
              HasSubstr("groups.g.members: must be a list"));
}

TEST(ConfigRelations, WhatIsLoadedAtTheStart) {
  const config read = good(three_models + "hooks: {on_startup: {preload: [first, c]}}\n");
  EXPECT_TRUE(read.models.at(0).preload);
  EXPECT_FALSE(read.models.at(1).preload);
  EXPECT_TRUE(read.models.at(2).preload);
  EXPECT_THAT(wrong(three_models + "hooks: {on_startup: {preload: [d]}, on_start: 1}\n"),
              AllOf(HasSubstr("hooks.on_startup.preload: there is no model 'd'\n"),
                    HasSubstr("hooks.on_start: there is no such key; did you mean "
                              "'on_startup'?")));
}

}  // namespace
}  // namespace lull::serve
