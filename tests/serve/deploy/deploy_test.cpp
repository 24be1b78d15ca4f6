#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/reader.hpp"

namespace lull::serve {
namespace {

using ::testing::ElementsAre;

std::string file(const std::string& path) {
  std::ifstream in(std::filesystem::path(LULL_SOURCE) / path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string mistakes(const std::string& text) {
  std::string lines;
  for (const remark& each : read_config(text, "serve.yaml").mistakes) lines += each.text() + "\n";
  return lines;
}

TEST(Docs, TheirFirstConfigurationIsOne) {
  const std::string page = file("docs/serve.md");
  const std::size_t begin = page.find("```yaml\n") + 8;
  const std::string text = page.substr(begin, page.find("```", begin) - begin);
  EXPECT_EQ(mistakes(text), "");
  EXPECT_EQ(read_config(text, "serve.yaml").value.models.size(), 2U);
}

TEST(Kubernetes, ItsConfigurationIsRead) {
  std::string text =
      YAML::LoadAll(file("deploy/kubernetes/lull-serve.yaml"))[0]["data"]["serve.yaml"]
          .as<std::string>();
  const std::string token = "token_file: /run/secrets/lull/token";
  ASSERT_NE(text.find(token), std::string::npos);
  text.replace(text.find(token), token.size(), "token: secret");
  EXPECT_EQ(mistakes(text), "");
}

/// Only what says 200 for a model that sleeps may decide whether requests come.
TEST(Kubernetes, ItsProbesCountASleepingModelAsReady) {
  const std::vector<YAML::Node> all = YAML::LoadAll(file("deploy/kubernetes/lull-serve.yaml"));
  const YAML::Node container = all[1]["spec"]["template"]["spec"]["containers"][0];
  std::vector<std::string> paths;
  for (const char* const probe : {"startupProbe", "livenessProbe", "readinessProbe"}) {
    paths.push_back(container[probe]["httpGet"]["path"].as<std::string>());
  }
  EXPECT_THAT(paths, ElementsAre("/health", "/health", "/upstream/chat/health"));
}

}  // namespace
}  // namespace lull::serve
