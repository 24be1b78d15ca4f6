#include <lull/bytes.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "read.hpp"

namespace lull::serve {
namespace {

using namespace lull::literals;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ConfigRouter, ListensInSeveralPlaces) {
  const config read = good("listen: [9000, '[::1]:9000', 'localhost:0']\n" + with_model(""));
  EXPECT_THAT(read.listen, ElementsAre(endpoint{"127.0.0.1", 9000}, endpoint{"::1", 9000},
                                       endpoint{"localhost", 0}));
  EXPECT_EQ(read.listen[1].text(), "[::1]:9000");
}

TEST(ConfigRouter, BeyondThisMachineATokenIsNeeded) {
  EXPECT_EQ(wrong("listen: :9000\n" + with_model("")),
            "serve.yaml:1:9: listen: 0.0.0.0:9000 is reached from other machines, which takes a "
            "`token` or a `token_file`\n");
  EXPECT_EQ(good("listen: :9000\ntoken: secret\n" + with_model("")).token, "secret");
  EXPECT_TRUE((endpoint{"127.1.2.3", 1}).is_loopback());
  EXPECT_FALSE((endpoint{"127.evil.example", 1}).is_loopback());
}

TEST(ConfigRouter, ATokenComesFromAFileToo) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("lull-token-" + std::to_string(::getpid()));
  std::ofstream(path) << "of-a-file\nmore\n";
  EXPECT_EQ(good("token_file: " + path.string() + "\n" + with_model("")).token, "of-a-file");
  std::ofstream(path) << "";
  EXPECT_THAT(wrong("token_file: " + path.string() + "\n" + with_model("")),
              HasSubstr("token_file: '" + path.string() + "' cannot be read, or is empty"));
  std::filesystem::remove(path);
  EXPECT_THAT(wrong("token: a b\ntoken_file: x\n" + with_model("")),
              AllOf(HasSubstr("token: a token is a word"), HasSubstr("there is a `token` too")));
}

TEST(ConfigRouter, DevicesHaveMargins) {
  const config read = good(
      "margin: 2GiB\n"
      "devices:\n"
      "  CUDA0:\n"
      "  CUDA1: {margin: 5%}\n"
      "  HOST: {capacity: 64GiB, margin: 0}\n" +
      with_model(""));
  EXPECT_THAT(
      read.devices,
      ElementsAre(device_config{.name = "CUDA0", .margin_bytes = 2_GiB},
                  device_config{.name = "CUDA1", .margin_bytes = 0, .margin_share = 0.05},
                  device_config{.name = "HOST", .capacity_bytes = 64_GiB, .margin_bytes = 0}));
  EXPECT_THAT(wrong("devices: {CUDA0: {capacity: 1GiB}}\n" + with_model("")),
              HasSubstr("devices.CUDA0.capacity: is no more than its margin"));
  EXPECT_THAT(wrong("devices: [A, A]\n" + with_model("")), HasSubstr("'A' is there twice"));
}

TEST(ConfigRouter, Limits) {
  const config read = good(
      "limits: {connections: 7, header_size: 16KiB, body_size: 1MiB,\n"
      "         header_time: 3, idle_time: 1m}\n"
      "fair_wait: 5s\n"
      "state_folder: /var/lib/lull\n"
      "allowed_hosts: models.example\n" +
      with_model(""));
  EXPECT_EQ(read.limits, (limits_config{.connections = 7,
                                        .header_bytes = 16_KiB,
                                        .body_bytes = 1_MiB,
                                        .header_time = 3s,
                                        .idle_time = 1min}));
  EXPECT_EQ(read.fair_wait, 5s);
  EXPECT_EQ(read.state_folder, "/var/lib/lull");
  EXPECT_THAT(read.allowed_hosts, ElementsAre("models.example"));
  EXPECT_THAT(
      wrong("limits: {connections: 0, header_size: 1EiB, header_time: 0}\n" + with_model("")),
      AllOf(HasSubstr("limits.connections: '0' is no whole number"),
            HasSubstr("limits.header_size: '1EiB' is not from 1024 to 1048576 bytes"),
            HasSubstr("limits.header_time: must be more than 0")));
}

TEST(ConfigRouter, TheWholeTimeToEndLeavesSomeForServers) {
  const config read = good("drain: {delay: 5, requests: 1m, total: 70s}\n" + with_model(""));
  EXPECT_EQ(read.drain, (drain_config{.delay = 5s, .requests = 1min, .total = 70s}));
  EXPECT_EQ(good(with_model("")).drain, (drain_config{.delay = 0s, .requests = 30s}));
  EXPECT_EQ(wrong("drain: {delay: 5, requests: 1m, total: 66s}\n" + with_model("")),
            "serve.yaml:1:40: drain.total: is no more than `delay`, `requests` and one second "
            "together, so that nothing is left for servers to end in\n");
}

}  // namespace
}  // namespace lull::serve
