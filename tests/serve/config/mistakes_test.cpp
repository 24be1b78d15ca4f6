#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "read.hpp"

namespace lull::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ConfigMistakes, AllAreSaidAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(wrong("listen: nowhere\n"
                  "models:\n"
                  "  a:\n"
                  "    cmd: server --port ${PORT}\n"
                  "    tll: 60\n"
                  "    concurrencyLimit: many\n"
                  "    unlisted: [yes]\n"
                  "  b: server\n"
                  "groups:\n"
                  "  g: {members: [a, bb]}\n"
                  "globalTtl: 5\n"),
            "serve.yaml:1:9: listen: 'nowhere' is nothing to listen on; write 8080, "
            "127.0.0.1:8080, [::1]:8080 or :8080 (all)\n"
            "serve.yaml:5:5: models.a.tll: there is no such key; did you mean 'ttl'?\n"
            "serve.yaml:6:23: models.a.concurrencyLimit: 'many' is no whole number from 0 to "
            "1000000\n"
            "serve.yaml:7:15: models.a.unlisted: is a list, and must be one value\n"
            "serve.yaml:8:6: models.b: must be a map, with a key on each line\n"
            "serve.yaml:8:6: models.b.cmd: is missing: the command of the server\n"
            "serve.yaml:10:20: groups.g.members: there is no model 'bb'; did you mean 'b'?\n"
            "serve.yaml:11:1: globalTtl: there is no such key; did you mean 'globalTTL'?\n");
}

TEST(ConfigMistakes, AKeyTwiceIsOneTooMany) {
  EXPECT_EQ(wrong("models:\n  a: {cmd: '${PORT}', ttl: 5, ttl: 6}\n  a: {}\n"),
            "serve.yaml:2:31: models.a.ttl: is there twice, first in line 2; keep one\n"
            "serve.yaml:3:3: models.a: is there twice, first in line 2; keep one\n");
}

TEST(ConfigMistakes, WhatIsNoYamlHasAPlaceToo) {
  EXPECT_THAT(wrong("models:\n  a: [1, 2\nb: }\n"), HasSubstr("serve.yaml:3:"));
  EXPECT_THAT(wrong("models:\n  a: [1, 2\nb: }\n"), HasSubstr("this is no YAML"));
  EXPECT_THAT(wrong(","), HasSubstr("a second document"));
  EXPECT_THAT(wrong(""), HasSubstr("models: is missing"));
  EXPECT_THAT(wrong("- a\n"), HasSubstr("must be a map"));
  EXPECT_THAT(wrong("a: 1\n---\nb: 2\n"), HasSubstr("a second document"));
  EXPECT_THAT(wrong(std::string(3000, '[')), HasSubstr("this is no YAML"));
}

TEST(ConfigMistakes, KeysOfLlamaSwapThatDoNothingAreSaidAndNoMistakes) {
  const reading result = read("logLevel: debug\n" + with_model("    metadata: {a: [1]}\n"
                                                               "    filters: {stripParams: x}\n"));
  EXPECT_EQ(mistakes(result), "");
  std::string notices;
  for (const remark& each : result.notices) notices += each.text() + "\n";
  EXPECT_EQ(notices,
            "serve.yaml:1:1: logLevel: does nothing here\n"
            "serve.yaml:5:5: models.a.metadata: does nothing here: requests go on as they came\n"
            "serve.yaml:6:5: models.a.filters: does nothing here: requests go on as they came\n");
}

TEST(ConfigMistakes, KeysThatWouldBeMissedAreMistakes) {
  EXPECT_THAT(wrong("apiKeys: [secret]\n" + with_model("")),
              HasSubstr("apiKeys: this router has no keys for inference"));
  EXPECT_THAT(wrong("peers: {a: {}}\n" + with_model("")), HasSubstr("peers: this router"));
}

TEST(ConfigMistakes, DefaultsAreMergedAndMayBeReplaced) {
  const config read = good(
      "x-defaults: &defaults\n"
      "  ttl: 60\n"
      "  priority: 2\n"
      "models:\n"
      "  a: {<<: *defaults, cmd: 'x ${PORT}', priority: 7}\n"
      "  b: {<<: [*defaults], cmd: 'x ${PORT}'}\n");
  EXPECT_EQ(read.models.at(0).priority, 7);
  EXPECT_EQ(read.models.at(1).priority, 2);
  EXPECT_EQ(read.models.at(0).ladder.back().after, std::chrono::seconds{60});
  EXPECT_THAT(wrong("models:\n  a: {<<: 5, cmd: 'x ${PORT}'}\n"),
              HasSubstr("models.a.<<: must be"));
}

TEST(ConfigMistakes, AMapThatMergesItselfIsReadOnce) {
  std::string again = "*a";
  for (int i = 0; i < 40; ++i) again += ", *a";
  EXPECT_EQ(wrong("models:\n  a: &a {<<: [" + again + "], cmd: 'x ${PORT}'}\n"), "");
}

TEST(ConfigMistakes, AFileThatCannotBeReadIsOne) {
  EXPECT_THAT(mistakes(read_config_file("/nowhere/serve.yaml")),
              "/nowhere/serve.yaml: cannot be opened: No such file or directory\n");
  EXPECT_THAT(mistakes(read_config_file("/")), "/: is a folder\n");
  const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                     ("lull-serve-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(path) << with_model("");
  EXPECT_TRUE(read_config_file(path.string()).ok());
  std::filesystem::resize_file(path, (4 << 20) + 1);
  EXPECT_THAT(mistakes(read_config_file(path.string())), HasSubstr("is above 4 MiB"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace lull::serve
