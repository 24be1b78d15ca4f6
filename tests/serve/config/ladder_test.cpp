#include <lull/bytes.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "read.hpp"

namespace lull::serve {
namespace {

using namespace lull::literals;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const sleep_rung stop_by_need{.level = "stop", .way = sleep_way::stop};

TEST(ConfigLadder, WithoutAWordTheBestWayIsTakenByNeed) {
  EXPECT_THAT(model("").ladder,
              ElementsAre(sleep_rung{.level = "auto", .way = sleep_way::automatic}, stop_by_need));
}

TEST(ConfigLadder, AWayHasALevel) {
  EXPECT_THAT(model("    sleep: driver\n").ladder,
              ElementsAre(sleep_rung{.level = "suspend", .way = sleep_way::driver}, stop_by_need));
  EXPECT_THAT(model("    sleep: routes\n").ladder,
              ElementsAre(sleep_rung{.level = "offload", .way = sleep_way::routes}, stop_by_need));
  EXPECT_THAT(model("    sleep: stop\n").ladder, ElementsAre(stop_by_need));
  EXPECT_THAT(model("    level: discard\n").ladder,
              ElementsAre(sleep_rung{.level = "discard", .way = sleep_way::routes}, stop_by_need));
}

TEST(ConfigLadder, InOneLine) {
  EXPECT_THAT(model("    ladder: offload:30s, suspend:10m ,stop:2h\n").ladder,
              ElementsAre(sleep_rung{.level = "offload", .way = sleep_way::routes, .after = 30s},
                          sleep_rung{.level = "suspend", .way = sleep_way::driver, .after = 10min},
                          sleep_rung{.level = "stop", .way = sleep_way::stop, .after = 2h}));
}

TEST(ConfigLadder, AsAList) {
  EXPECT_THAT(model("    ladder:\n"
                    "      - offload\n"
                    "      - level: suspend\n"
                    "        after: 10m\n"
                    "        left: {CUDA0: 600MiB}\n"
                    "    ttl: 3600\n")
                  .ladder,
              ElementsAre(sleep_rung{.level = "offload", .way = sleep_way::routes},
                          sleep_rung{.level = "suspend",
                                     .way = sleep_way::driver,
                                     .after = 10min,
                                     .left = bytes_by_device{{"CUDA0", 600_MiB}}},
                          sleep_rung{.level = "stop", .way = sleep_way::stop, .after = 1h}));
}

TEST(ConfigLadder, GoesDownAndNotUp) {
  EXPECT_THAT(wrong(with_model("    ladder: suspend,offload\n")),
              HasSubstr("models.a.ladder: 'offload' is not deeper than 'suspend' before it"));
  EXPECT_THAT(wrong(with_model("    ladder: offload:10m,suspend:30s\n")),
              HasSubstr("models.a.ladder: 'suspend' comes no later than what is before it"));
  EXPECT_THAT(wrong(with_model("    ladder: auto,suspend\n")),
              HasSubstr("models.a.ladder: 'auto' chooses a level by itself"));
  EXPECT_THAT(
      wrong(with_model("    ladder: suspend:10m\n    ttl: 60\n")),
      HasSubstr("models.a.ladder: it would stop, by its ttl, before it sleeps ('suspend')"));
  EXPECT_THAT(wrong(with_model("    ladder: stop:10m\n    ttl: 60\n")),
              HasSubstr("models.a.ttl: the ladder says already when it stops"));
}

TEST(ConfigLadder, SaysWhatThereIs) {
  EXPECT_THAT(
      wrong(with_model("    ladder: ofload:3s\n")),
      HasSubstr("serve.yaml:4:13: models.a.ladder: there is no level 'ofload'; did you mean "
                "'offload'?; there are auto, offload, discard, suspend, stop"));
  EXPECT_THAT(wrong(with_model("    sleep: drivers\n")),
              HasSubstr("models.a.sleep: 'drivers' is no way to sleep; did you mean 'driver'?"));
  EXPECT_THAT(wrong(with_model("    sleep: driver\n    level: offload\n")),
              HasSubstr("models.a.level: 'offload' is not a level of that way to sleep"));
  EXPECT_THAT(wrong(with_model("    sleep: driver\n    ladder: offload\n")),
              HasSubstr("models.a.ladder: says how it sleeps, as `sleep` and `level` do"));
}

}  // namespace
}  // namespace lull::serve
