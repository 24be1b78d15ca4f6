#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "read.hpp"

namespace lull::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ConfigMacros, HoldEachOtherInAnyOrder) {
  const config read = good(R"(
macros:
  server: "${binary} --port ${PORT} --ctx ${ctx}"
  binary: ${env.HOME}/bin/server
  ctx: 4096
models:
  a: {cmd: '${server} -m ${MODEL_ID}.gguf'}
  b: {macros: {ctx: 16384, extra: true}, cmd: '${server} ${extra}'}
)",
                           {{"HOME", "/home/me"}});
  EXPECT_THAT(read.models.at(0).command, ElementsAre("/home/me/bin/server", "--port", "5800",
                                                     "--ctx", "4096", "-m", "a.gguf"));
  EXPECT_THAT(read.models.at(1).command,
              ElementsAre("/home/me/bin/server", "--port", "5801", "--ctx", "16384", "true"));
}

TEST(ConfigMacros, WhatIsUnknownIsSaidWhereItIsUsed) {
  EXPECT_EQ(wrong("macros: {server: 'x ${PORT} ${ctxx}', ctx: 5}\n"
                  "models:\n"
                  "  a: {cmd: '${server}'}\n"
                  "  b: {cmd: 'x ${PORT} ${PID}', cmdStop: 'kill ${PID}'}\n"),
            "serve.yaml:3:12: models.a.cmd: there is no macro 'ctxx'; did you mean 'ctx'?\n"
            "serve.yaml:4:12: models.b.cmd: there is no macro 'PID'\n");
}

TEST(ConfigMacros, ACycleIsSaidOnceAtItsFirst) {
  EXPECT_EQ(wrong("macros:\n"
                  "  one: ${two}\n"
                  "  two: a ${three}\n"
                  "  three: b ${one}\n"
                  "  self: ${self}\n"
                  "models:\n"
                  "  a: {cmd: 'x ${PORT} ${two}'}\n"
                  "  b: {cmd: 'x ${PORT} ${one} ${self}'}\n"),
            "serve.yaml:2:8: macros.one: a cycle of macros: one -> two -> three -> one; one must "
            "do without the next\n"
            "serve.yaml:5:9: macros.self: a cycle of macros: self -> self; one must do without "
            "the next\n");
}

TEST(ConfigMacros, AModelMayCloseACycle) {
  EXPECT_THAT(wrong("macros: {one: '${two}', two: x}\n"
                    "models:\n"
                    "  a: {cmd: '${one} ${PORT}', macros: {two: '${one}'}}\n"),
              HasSubstr("a cycle of macros: one -> two -> one"));
}

TEST(ConfigMacros, DoNotGrowWithoutEnd) {
  std::string text = "macros:\n  m0: 0123456789\n";
  for (int i = 1; i < 40; ++i) {
    const std::string inner = "${m" + std::to_string(i - 1) + "}";
    text += "  m" + std::to_string(i) + ": " + inner + inner + "\n";
  }
  EXPECT_THAT(wrong(text + "models:\n  a: {cmd: 'x ${PORT} ${m39}'}\n"),
              HasSubstr("longer than 64 KiB"));
}

TEST(ConfigMacros, NamesAreLettersAndSomeAreTheRouters) {
  EXPECT_THAT(wrong("macros: {a b: 1, PORT: 2, list: [1]}\n" + with_model("")),
              AllOf(HasSubstr("macros.a b: a macro's name has letters"),
                    HasSubstr("macros.PORT: the router itself fills this one in"),
                    HasSubstr("macros.list: is a list, and must be one value")));
}

TEST(ConfigMacros, TheEnvironmentMustHaveWhatIsAskedFor) {
  EXPECT_EQ(wrong("token: ${env.LULL_TOKEN}\n" + with_model("")),
            "serve.yaml:1:8: token: there is no variable 'LULL_TOKEN' in the environment\n");
  EXPECT_EQ(good("token: ${env.LULL_TOKEN}\n" + with_model(""), {{"LULL_TOKEN", "secret"}}).token,
            "secret");
}

TEST(ConfigMacros, CommentsAreNoText) {
  const config read = good(
      "models:\n"
      "  a:\n"
      "    cmd: |\n"
      "      # with ${nothing}\n"
      "      server --port ${PORT} \\\n"
      "        --name 'two words' # no comment\n");
  EXPECT_THAT(read.models.at(0).command,
              ElementsAre("server", "--port", "5800", "--name", "two words", "#", "no", "comment"));
}

TEST(ConfigMacros, ANameOfAModelIsNoMacro) {
  EXPECT_THAT(wrong("models:\n  '${MODEL_ID}': {cmd: 'x ${PORT} ${MODEL_ID}'}\n"),
              AllOf(HasSubstr("there is no macro 'MODEL_ID'"), Not(HasSubstr("cycle"))));
}

}  // namespace
}  // namespace lull::serve
