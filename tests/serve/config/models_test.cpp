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

TEST(ConfigModels, AFirstConfigurationIsACommand) {
  const config read = good("models:\n  llama:\n    cmd: llama-server --port ${PORT} -m a.gguf\n");
  ASSERT_EQ(read.models.size(), 1U);
  const model_config& model = read.models.front();
  EXPECT_EQ(model.name, "llama");
  EXPECT_THAT(model.command, ElementsAre("llama-server", "--port", "5800", "-m", "a.gguf"));
  EXPECT_EQ(model.upstream, (endpoint{.host = "127.0.0.1", .port = 5800}));
  EXPECT_EQ(model.upstream_path, "");
  EXPECT_EQ(model.check_path, "/health");
  EXPECT_EQ(model.check_timeout, 120s);
  EXPECT_EQ(model.stop_timeout, 10s);
  EXPECT_THAT(read.listen, ElementsAre(endpoint{.host = "127.0.0.1", .port = 8080}));
  EXPECT_FALSE(read.token);
  EXPECT_TRUE(read.devices.empty());
  EXPECT_TRUE(read.groups.empty());
}

TEST(ConfigModels, EveryKeyOfAModel) {
  const config read = good(R"(
devices: [CUDA0, CUDA1]
models:
  llama:
    cmd: docker run --name ${MODEL_ID} -p ${PORT}:8080 image
    cmdStop: docker stop -t 5 ${MODEL_ID} ${PID}
    proxy: http://localhost:${PORT}/v2/
    checkEndpoint: /ready
    env: ["CUDA_VISIBLE_DEVICES=0,1", EMPTY=]
    name: Llama on ${PORT}
    description: a model
    aliases: [gpt-4o, {id: hidden, unlisted: true}]
    unlisted: yes
    ttl: 300
    unloadTimeout: 30
    healthCheckTimeout: 5m
    concurrencyLimit: 4
    memory: {CUDA0: 9GiB, CUDA1: 512MiB}
    priority: -3
    min_resident: 30s
    max_wait: 2m
    sleep: routes
    level: discard
)");
  ASSERT_EQ(read.models.size(), 1U);
  const model_config& model = read.models.front();
  EXPECT_THAT(model.command,
              ElementsAre("docker", "run", "--name", "llama", "-p", "5800:8080", "image"));
  EXPECT_THAT(model.stop_command, ElementsAre("docker", "stop", "-t", "5", "llama", "${PID}"));
  EXPECT_EQ(model.upstream, (endpoint{.host = "localhost", .port = 5800}));
  EXPECT_EQ(model.upstream_path, "/v2");
  EXPECT_EQ(model.check_path, "/ready");
  EXPECT_THAT(model.environment, ElementsAre("CUDA_VISIBLE_DEVICES=0,1", "EMPTY="));
  EXPECT_EQ(model.title, "Llama on 5800");
  EXPECT_EQ(model.description, "a model");
  EXPECT_THAT(model.aliases, ElementsAre("gpt-4o", "hidden"));
  EXPECT_THAT(model.unlisted_aliases, ElementsAre("hidden"));
  EXPECT_TRUE(model.unlisted);
  EXPECT_EQ(model.stop_timeout, 30s);
  EXPECT_EQ(model.check_timeout, 5min);
  EXPECT_EQ(model.concurrency_limit, 4U);
  EXPECT_EQ(model.memory, (bytes_by_device{{"CUDA0", 9_GiB}, {"CUDA1", 512_MiB}}));
  EXPECT_EQ(model.priority, -3);
  EXPECT_EQ(model.min_resident, 30s);
  EXPECT_EQ(model.max_wait, duration{2min});
  EXPECT_THAT(model.ladder,
              ElementsAre(sleep_rung{.level = "discard", .way = sleep_way::routes},
                          sleep_rung{.level = "stop", .way = sleep_way::stop, .after = 300s}));
  EXPECT_EQ(read.find("gpt-4o"), &read.models.front());
  EXPECT_EQ(read.find("hidden"), &read.models.front());
  EXPECT_EQ(read.find("gpt"), nullptr);
}

TEST(ConfigModels, WhatTheFileSaysForAllAModelMaySayForItself) {
  const config read = good(R"(
healthCheckTimeout: 60
unloadTimeout: 20
globalTTL: 600
min_resident: 5s
max_wait: 1m
allow_remote: true
sleep: stop
models:
  a: {cmd: 'x ${PORT}'}
  b: {cmd: 'x ${PORT}', ttl: -1, unloadTimeout: 0}
  c: {cmd: 'x ${PORT}', ttl: 0, healthCheckTimeout: 1, unloadTimeout: 1, min_resident: 1s,
      max_wait: 2s, allow_remote: no, sleep: driver}
)");
  ASSERT_EQ(read.models.size(), 3U);
  for (const model_config& model : {read.models[0], read.models[1]}) {
    EXPECT_EQ(model.check_timeout, 60s);
    EXPECT_EQ(model.stop_timeout, 20s);
    EXPECT_EQ(model.min_resident, 5s);
    EXPECT_EQ(model.max_wait, duration{1min});
    EXPECT_TRUE(model.allow_remote);
    EXPECT_THAT(model.ladder,
                ElementsAre(sleep_rung{.level = "stop", .way = sleep_way::stop, .after = 600s}));
  }
  const model_config& own = read.models[2];
  EXPECT_EQ(own.check_timeout, 1s);
  EXPECT_EQ(own.stop_timeout, 1s);
  EXPECT_FALSE(own.allow_remote);
  EXPECT_EQ(own.min_resident, 1s);
  EXPECT_EQ(own.max_wait, duration{2s});
  EXPECT_THAT(own.ladder, ElementsAre(sleep_rung{.level = "suspend", .way = sleep_way::driver},
                                      sleep_rung{.level = "stop", .way = sleep_way::stop}));
}

TEST(ConfigModels, APortIsGivenByNameAndNotTwice) {
  const config read = good(R"(
startPort: 9000
listen: 127.0.0.1:9001
models:
  c: {cmd: 'x ${PORT}'}
  a: {cmd: 'x ${PORT}'}
  d: {cmd: x, proxy: 'http://127.0.0.1:9000'}
  b: {cmd: 'x ${PORT}'}
)");
  ASSERT_EQ(read.models.size(), 4U);
  EXPECT_EQ(read.models[1].upstream.port, 9002);
  EXPECT_EQ(read.models[3].upstream.port, 9003);
  EXPECT_EQ(read.models[0].upstream.port, 9004);
}

TEST(ConfigModels, APortUsedTwiceIsSaid) {
  EXPECT_EQ(wrong("models:\n"
                  "  a: {cmd: x, proxy: 'http://127.0.0.1:9000'}\n"
                  "  b: {cmd: x, proxy: 'http://localhost:9000/x'}\n"),
            "serve.yaml:3:22: models.b.proxy: port 9000 is that of models.a.proxy already; with "
            "${PORT} each gets one of its own\n");
  EXPECT_THAT(wrong("listen: 9000\nmodels:\n  a: {cmd: x, proxy: 'http://127.0.0.1:9000'}\n"),
              HasSubstr("port 9000 is that of listen already"));
}

TEST(ConfigModels, ThePortsEnd) {
  EXPECT_THAT(wrong("startPort: 65535\nmodels:\n  a: {cmd: '${PORT}'}\n  b: {cmd: '${PORT}'}\n"),
              HasSubstr("serve.yaml:4:12: models.b.cmd: no port is left"));
}

TEST(ConfigModels, AServerMustBeFound) {
  EXPECT_THAT(wrong("models:\n  a: {cmd: server}\n"),
              HasSubstr("models.a.cmd: has no ${PORT}; put it where"));
  EXPECT_THAT(wrong("models:\n  a: {cmd: server, proxy: 'http://127.0.0.1:${PORT}'}\n"),
              HasSubstr("models.a.proxy: has ${PORT}, but `cmd` has not"));
  EXPECT_THAT(wrong("models:\n  a: {ttl: 5}\n"),
              HasSubstr("serve.yaml:2:6: models.a.cmd: is missing"));
  EXPECT_THAT(wrong("models:\n  a: {cmd: ''}\n"), HasSubstr("models.a.cmd"));
  EXPECT_THAT(wrong("models:\n  a: {cmd: '\"server ${PORT}'}\n"),
              HasSubstr("models.a.cmd: a quote that is not closed"));
}

TEST(ConfigModels, NoHealthRouteIsSaidByAWord) {
  EXPECT_EQ(model("    checkEndpoint: none\n").check_path, "");
  EXPECT_THAT(wrong(with_model("    checkEndpoint: health\n")),
              HasSubstr("serve.yaml:4:20: models.a.checkEndpoint: 'health' is no path"));
}

TEST(ConfigModels, ANameMeansOneModel) {
  EXPECT_THAT(wrong("models:\n"
                    "  a: {cmd: 'x ${PORT}', aliases: [b, c]}\n"
                    "  b: {cmd: 'x ${PORT}', aliases: [c, c2]}\n"),
              AllOf(HasSubstr("serve.yaml:2:35: models.a.aliases: 'b' means model 'b' already"),
                    HasSubstr("serve.yaml:3:35: models.b.aliases: 'c' means model 'a' already")));
}

TEST(ConfigModels, MemoryWithoutADeviceIsOnTheOnlyOne) {
  EXPECT_EQ(model("    memory: 9GiB\n").memory_anywhere, 9_GiB);
  const config read =
      good("devices: {CUDA0: , HOST: {capacity: 64GiB}}\n" + with_model("    memory: 9GiB\n"));
  EXPECT_EQ(read.models.at(0).memory, (bytes_by_device{{"CUDA0", 9_GiB}}));
  EXPECT_FALSE(read.models.at(0).memory_anywhere);
  EXPECT_THAT(wrong("devices: [CUDA0, CUDA1]\n" + with_model("    memory: 9GiB\n")),
              HasSubstr("serve.yaml:5:13: models.a.memory: there are several devices"));
}

TEST(ConfigModels, WhatCanNeverFitIsSaidBeforeAnythingStarts) {
  EXPECT_THAT(wrong("devices: {CUDA0: {capacity: 8GiB, margin: 10%}}\n" +
                    with_model("    memory: {CUDA0: 7.5GiB}\n")),
              HasSubstr("models.a.memory: 7.5 GiB can never fit on CUDA0, which has 8 GiB with a "
                        "margin of 819.2 MiB"));
  EXPECT_THAT(wrong("devices: [CUDA0]\n" + with_model("    memory: {CUDA1: 1GiB}\n")),
              HasSubstr("models.a.memory.CUDA1: `devices` has no such one; did you mean 'CUDA0'?"));
}

TEST(ConfigModels, APinnedModelIsNeverPutAway) {
  const config read = good("globalTTL: 60\n" + with_model("    pinned: true\n"));
  ASSERT_TRUE(read.models.at(0).pinned);
  for (const sleep_rung& rung : read.models[0].ladder) EXPECT_FALSE(rung.after);
  EXPECT_THAT(wrong(with_model("    pinned: true\n    ttl: 5\n")),
              HasSubstr("models.a.pinned: a pinned model is never put away"));
}

}  // namespace
}  // namespace lull::serve
