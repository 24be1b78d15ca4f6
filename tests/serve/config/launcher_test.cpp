#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "read.hpp"

namespace lull::serve {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

launcher_config launcher(const std::string& keys) {
  const config read = good("launcher: {" + keys + "}\n");
  return read.launcher.value_or(launcher_config{});
}

std::string wrong_launcher(const std::string& keys) {
  return wrong("launcher: {" + keys + "}\n");
}

TEST(ConfigLauncher, IsThereWhereTheFileHasOneOrSomebodyAsksForIt) {
  EXPECT_FALSE(good(with_model("")).launcher);
  EXPECT_TRUE(good("launcher: {}\n").launcher) << "and no models";
  const reading asked = read_config("", "none", {}, true);
  EXPECT_TRUE(asked.ok()) << mistakes(asked);
  EXPECT_TRUE(asked.value.launcher);
}

TEST(ConfigLauncher, StartsVllmUnlessItIsToldOtherwise) {
  const launcher_config plain = launcher("");
  EXPECT_THAT(plain.instance.command,
              ElementsAre("python3", "-m", "vllm.entrypoints.openai.api_server", "${options}",
                          "--host", "127.0.0.1", "--port", "${PORT}"));
  EXPECT_FALSE(plain.open);
  EXPECT_FALSE(plain.visible_by_uuid);
  EXPECT_EQ(plain.instance.check_timeout, 30min);
  EXPECT_EQ(plain.instance.ladder.back().way, sleep_way::stop);
}

TEST(ConfigLauncher, HasTheKeysOfAModelAndItsOwn) {
  const launcher_config all = launcher(
      "cmd: 'x ${options} --at=${PORT} ${MODEL_ID}', open: yes, visible_devices: uuid, "
      "memory: 2GiB, healthCheckTimeout: 5, env: ['A=${MODEL_ID}'], ladder: [offload, stop]");
  EXPECT_THAT(all.instance.command, ElementsAre("x", "${options}", "--at=${PORT}", "${MODEL_ID}"));
  EXPECT_THAT(all.instance.environment, ElementsAre("A=${MODEL_ID}"));
  EXPECT_TRUE(all.open);
  EXPECT_TRUE(all.visible_by_uuid);
  EXPECT_EQ(all.instance.memory_anywhere, std::uint64_t{2} << 30);
  EXPECT_EQ(all.instance.check_timeout, 5s);
  EXPECT_EQ(all.instance.ladder.size(), 2U);
  EXPECT_EQ(good("startPort: 7000\nlauncher: {}\n").launcher->first_port, 7000);
  EXPECT_EQ(good("healthCheckTimeout: 9\nlauncher: {}\n").launcher->instance.check_timeout, 9s);
}

TEST(ConfigLauncher, OfWhatIsWrongIsSaidWhatWouldBeRight) {
  EXPECT_THAT(wrong_launcher("cmd: 'x ${PORT}'"),
              HasSubstr("launcher.cmd: needs a program, the word ${options}, and ${PORT}"));
  EXPECT_THAT(wrong_launcher("cmd: 'x ${options}'"), HasSubstr("launcher.cmd: needs"));
  EXPECT_THAT(wrong_launcher("cmd: '${options} ${PORT}'"), HasSubstr("launcher.cmd: needs"));
  EXPECT_THAT(wrong_launcher("cmd: \"x '${options} ${PORT}\""), HasSubstr("launcher.cmd: a quote"));
  EXPECT_THAT(wrong_launcher("cmd: 'x ${options} ${PORT} ${OTHER}'"),
              HasSubstr("no macro 'OTHER'"));
  EXPECT_THAT(wrong_launcher("visible_devices: all"), HasSubstr("neither 'index' nor 'uuid'"));
  EXPECT_THAT(wrong_launcher("proxy: 'http://a'"), HasSubstr("launcher.proxy: is for one model"));
  EXPECT_THAT(wrong_launcher("memory: {CUDA0: 1GiB}"), HasSubstr("launcher.memory: is one size"));
  EXPECT_THAT(wrong_launcher("memry: 1GiB"),
              AllOf(HasSubstr("launcher.memry"), HasSubstr("did you mean 'memory'?")));
  EXPECT_THAT(wrong("launcher: 1\n"), HasSubstr("launcher"));
}

}  // namespace
}  // namespace lull::serve
