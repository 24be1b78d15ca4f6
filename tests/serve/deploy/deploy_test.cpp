#include <yaml-cpp/yaml.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/reader.hpp"
#include "manifest_check.hpp"

namespace lull::serve {
namespace {

using test::manifest_mistakes;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

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

class Kubernetes : public testing::Test {
 protected:
  /// The only one of its kind, or the one of that name.
  [[nodiscard]] YAML::Node of(const std::string& kind, const std::string& name = "") const {
    for (const YAML::Node& each : all_) {
      const bool named = name.empty() || each["metadata"]["name"].as<std::string>() == name;
      if (each["kind"].as<std::string>() == kind && named) return each;
    }
    ADD_FAILURE() << "there is no " << kind << " " << name;
    return {};
  }
  [[nodiscard]] YAML::Node pod() const { return of("DaemonSet")["spec"]["template"]["spec"]; }
  [[nodiscard]] YAML::Node container() const { return pod()["containers"][0]; }
  [[nodiscard]] config read() const {
    auto text = of("ConfigMap")["data"]["serve.yaml"].as<std::string>();
    const std::string token = "token_file: /run/secrets/lull/token";
    EXPECT_NE(text.find(token), std::string::npos);
    text.replace(text.find(token), token.size(), "token: secret");
    EXPECT_EQ(mistakes(text), "");
    return read_config(text, "serve.yaml").value;
  }
  static std::vector<YAML::Node> manifests() {
    std::vector<YAML::Node> all;
    for (const char* const name : {"lull-serve.yaml", "service-monitor.yaml"}) {
      for (const YAML::Node& each : YAML::LoadAll(file(std::string("deploy/kubernetes/") + name))) {
        all.push_back(each);
      }
    }
    return all;
  }
  static bool same(const YAML::Node& a, const YAML::Node& b) {
    return YAML::Dump(a) == YAML::Dump(b);
  }

  const std::vector<YAML::Node> all_ = manifests();
  const YAML::Node fields_ = YAML::Load(file("tests/serve/deploy/manifest_fields.yaml"));
};

TEST_F(Kubernetes, ItsManifestsHaveNothingButFieldsThatThereAreOfTheTypesThatTheyHave) {
  EXPECT_EQ(all_.size(), 5U);
  for (const YAML::Node& each : all_) EXPECT_THAT(manifest_mistakes(each, fields_), IsEmpty());
}

TEST_F(Kubernetes, WhoeverLooksAtManifestsSeesMistakes) {
  const auto wrong = [&](const std::string& text) {
    return manifest_mistakes(YAML::Load(text), fields_);
  };
  const std::string begin = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
  EXPECT_THAT(wrong(begin + "spec: {selector: {a: b}, ports: [{name: http, port: 80}]}"),
              IsEmpty());
  EXPECT_THAT(wrong(begin + "spec: {selector: {a: b}, ports: [{name: http, port: '80'}]}"),
              ElementsAre("Service.spec.ports[0].port '80' is not whole"));
  EXPECT_THAT(wrong(begin + "spec: {selectors: {a: b}, ports: [{name: http, port: 80}]}"),
              ElementsAre("Service.spec has no selector",
                          "Service.spec has selectors, which is not known"));
  EXPECT_THAT(
      wrong(begin + "spec: {selector: {a: true}, ports: {}}"),
      ElementsAre("Service.spec.selector.a 'true' is not text", "Service.spec.ports is no list"));
  EXPECT_THAT(wrong("kind: Pod"), ElementsAre("'Pod' is no known kind"));
}

TEST_F(Kubernetes, ItsPartsFindEachOther) {
  const YAML::Node labels = of("DaemonSet")["spec"]["template"]["metadata"]["labels"];
  EXPECT_TRUE(same(of("DaemonSet")["spec"]["selector"]["matchLabels"], labels));
  EXPECT_TRUE(same(of("Service", "lull-serve")["spec"]["selector"], labels));
  const YAML::Node nodes = of("Service", "lull-serve-nodes");
  EXPECT_TRUE(same(nodes["spec"]["selector"], labels));
  const YAML::Node monitor = of("ServiceMonitor")["spec"];
  EXPECT_TRUE(same(monitor["selector"]["matchLabels"], nodes["metadata"]["labels"]));
  EXPECT_EQ(monitor["endpoints"][0]["port"].as<std::string>(),
            nodes["spec"]["ports"][0]["name"].as<std::string>());
  const auto port = container()["ports"][0]["name"].as<std::string>();
  for (const char* const service : {"lull-serve", "lull-serve-nodes"}) {
    EXPECT_EQ(of("Service", service)["spec"]["ports"][0]["targetPort"].as<std::string>(), port);
  }
  EXPECT_EQ(container()["ports"][0]["containerPort"].as<int>(), read().listen.at(0).port);
  std::vector<std::string> volumes;
  for (const YAML::Node& each : pod()["volumes"]) volumes.push_back(each["name"].as<std::string>());
  for (const YAML::Node& each : container()["volumeMounts"]) {
    EXPECT_THAT(volumes, Contains(each["name"].as<std::string>()));
  }
  EXPECT_EQ(pod()["volumes"][0]["configMap"]["name"].as<std::string>(),
            of("ConfigMap")["metadata"]["name"].as<std::string>());
}

/// Only what says 200 for a model that sleeps may decide whether requests come.
TEST_F(Kubernetes, ItsProbesCountASleepingModelAsReady) {
  std::vector<std::string> paths;
  for (const char* const probe : {"startupProbe", "livenessProbe", "readinessProbe"}) {
    paths.push_back(container()[probe]["httpGet"]["path"].as<std::string>());
    EXPECT_EQ(container()[probe]["httpGet"]["port"].as<std::string>(), "http");
  }
  EXPECT_THAT(paths, ElementsAre("/health/live", "/health/live", "/health/ready"));
}

TEST_F(Kubernetes, TheRouterHasEndedBeforeItIsKilledAndServesUntilItsServiceHasHeardOfIt) {
  const drain_config drain = read().drain;
  ASSERT_TRUE(drain.total);
  const std::chrono::seconds grace{pod()["terminationGracePeriodSeconds"].as<int>()};
  EXPECT_LE(*drain.total + std::chrono::seconds{5}, grace) << "a killed server may take a moment";
  const YAML::Node ready = container()["readinessProbe"];
  EXPECT_GE(drain.delay, std::chrono::seconds{ready["periodSeconds"].as<int>() *
                                              ready["failureThreshold"].as<int>()});
}

TEST_F(Kubernetes, ItHasNoRightsThatItDoesNotNeed) {
  const YAML::Node own = container()["securityContext"];
  EXPECT_TRUE(pod()["securityContext"]["runAsNonRoot"].as<bool>());
  EXPECT_FALSE(own["allowPrivilegeEscalation"].as<bool>());
  EXPECT_TRUE(own["readOnlyRootFilesystem"].as<bool>());
  EXPECT_EQ(YAML::Dump(own["capabilities"]["drop"]), "[ALL]");
  EXPECT_FALSE(own["capabilities"]["add"]);
  EXPECT_FALSE(pod()["automountServiceAccountToken"].as<bool>());
  for (const char* const shared : {"hostPID", "hostNetwork", "hostIPC"})
    EXPECT_FALSE(pod()[shared]);
}

}  // namespace
}  // namespace lull::serve
