#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "browser.hpp"
#include "stand_in_router.hpp"
#include "ui/files.hpp"

namespace lull::serve {
namespace {

using json = nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

json a_model(const std::string& name, const std::string& state, double holds, double estimate) {
  const auto on_gpu = [](double gibs) {
    return gibs == 0 ? json::object()
                     : json{{"CUDA0", static_cast<std::uint64_t>(gibs * static_cast<double>(gib))}};
  };
  return {{"name", name},     {"state", state},
          {"level", nullptr}, {"holds", on_gpu(holds)},
          {"active", 0},      {"estimate", on_gpu(estimate)},
          {"waiting", 0},     {"pinned", false},
          {"last_error", ""}, {"pid", state == "stopped" ? json() : json(4711)}};
}

/// @param at of the clock of the stand-in
json a_state(std::int64_t at, json models) {
  json by_model = json::object();
  std::uint64_t used = 3 * gib;
  for (const json& model : models) {
    const auto bytes = model["holds"].value("CUDA0", std::uint64_t{0});
    if (bytes != 0) by_model[model["name"].get<std::string>()] = bytes;
    used += bytes;
  }
  return {{"time_ms", at},
          {"models", std::move(models)},
          {"devices", json::array({{{"name", "CUDA0"},
                                    {"uuid", "GPU-5e6b0c2a"},
                                    {"capacity_bytes", 80 * gib},
                                    {"margin_bytes", 2 * gib},
                                    {"used_bytes", used},
                                    {"by_model", by_model},
                                    {"foreign_bytes", 3 * gib}}})},
          {"waiting", json::array()}};
}

constexpr std::int64_t start_ms = 1790000000000;

/// The first element of a model's row that a selector finds.
std::string of_model(const std::string& name, const std::string& selector) {
  return "[data-model=" + json(name).dump() + "] " + selector;
}

std::string text_of(const std::string& selector) {
  return "document.querySelector(" + json(selector).dump() + ").textContent";
}

std::string is_shown(const std::string& selector, const std::string& text) {
  return "document.querySelector(" + json(selector).dump() + ") && " + text_of(selector) +
         " === " + json(text).dump();
}

/// One browser for all of them, since its start takes longer than they do.
class Page : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto program = find_chromium();
    if (program) shown() = std::make_unique<browser>(*program);
  }
  static void TearDownTestSuite() { shown().reset(); }

  void SetUp() override {
    if (!shown()) GTEST_SKIP() << "no Chromium here (Debian: apt-get install chromium)";
    page().resize(1280, 900);
    page().prefer("light");
  }

  static std::unique_ptr<browser>& shown() {
    static auto& one = *new std::unique_ptr<browser>;
    return one;
  }
  static browser& page() { return *shown(); }

  static void open(const stand_in_router& router) {
    page().open(router.url());
    ASSERT_TRUE(page().wait_for("document.getElementById('link').dataset.state === 'live'"));
  }
};

TEST_F(Page, AClickPutsAModelToSleepAndTheStateIsSeen) {
  stand_in_router router(a_state(start_ms, {a_model("llama", "ready", 20, 20)}));
  open(router);
  EXPECT_EQ(page().evaluate(text_of(of_model("llama", ".badge"))), "ready");
  page().click(of_model("llama", "[data-action=sleep]"));
  EXPECT_TRUE(page().wait_for(is_shown(of_model("llama", ".badge"), "asleep: suspend")));
  EXPECT_THAT(router.posts(), ElementsAre("POST /ui/models/llama/sleep"));
  EXPECT_EQ(page().evaluate("document.querySelector('[data-action=sleep]').disabled"), true);
  page().click(of_model("llama", "[data-action=load]"));
  EXPECT_TRUE(page().wait_for(is_shown(of_model("llama", ".badge"), "ready")));
  page().click(of_model("llama", "[data-action=pin]"));
  EXPECT_TRUE(page().wait_for(is_shown(of_model("llama", "[data-action=pin]"), "Pinned")));
  page().click(of_model("llama", "[data-action=pin]"));
  EXPECT_TRUE(page().wait_for(is_shown(of_model("llama", "[data-action=pin]"), "Pin")));
  page().click(of_model("llama", "[data-action=stop]"));
  EXPECT_TRUE(page().wait_for(is_shown(of_model("llama", ".badge"), "stopped")));
  EXPECT_THAT(router.posts(),
              ElementsAre("POST /ui/models/llama/sleep", "POST /ui/models/llama/load",
                          "POST /ui/models/llama/pin", "POST /ui/models/llama/unpin",
                          "POST /ui/models/llama/stop"));
}

TEST_F(Page, ARefusalIsSaidInTheRoutersWords) {
  json model = a_model("llama", "failed", 0, 20);
  model["last_error"] = "refuses";
  stand_in_router router(a_state(start_ms, {model}));
  open(router);
  EXPECT_EQ(page().evaluate(text_of(".failure")), "refuses");
  page().click(of_model("llama", "[data-action=load]"));
  EXPECT_TRUE(page().wait_for(is_shown("#news", "llama: CUDA0 lacks 2 GiB")));
}

TEST_F(Page, ATokenIsAskedForAndSent) {
  stand_in_router router(a_state(start_ms, {a_model("llama", "ready", 20, 20)}));
  router.need_token("secret");
  open(router);
  page().click(of_model("llama", "[data-action=sleep]"));
  ASSERT_TRUE(page().wait_for("document.getElementById('token-dialog').open"));
  page().type("secret");
  page().press_enter();
  ASSERT_TRUE(page().wait_for("!document.getElementById('token-dialog').open"));
  EXPECT_THAT(router.posts(), IsEmpty());
  page().click(of_model("llama", "[data-action=sleep]"));
  EXPECT_TRUE(page().wait_for(is_shown(of_model("llama", ".badge"), "asleep: suspend")));
}

TEST_F(Page, WhatTheRouterSaysIsTextAndNeverHtml) {
  const std::string evil = "<img src=x onerror=\"window.taken=1\"><b>bold</b>";
  json model = a_model(evil, "failed", 1, 1);
  model["last_error"] = evil;
  model["level"] = evil;
  json state = a_state(start_ms, {model});
  state["devices"][0]["name"] = evil;
  state["devices"][0]["uuid"] = evil;
  state["waiting"] = json::array({{{"model", evil}, {"since_ms", start_ms}, {"why", evil}}});
  stand_in_router router(state);
  open(router);
  EXPECT_EQ(page().evaluate(text_of(".model h3")), evil);
  EXPECT_EQ(page().evaluate(text_of(".failure")), evil);
  EXPECT_EQ(page().evaluate(text_of(".waiting b")), evil);
  EXPECT_EQ(page().evaluate("document.querySelectorAll('main img, main b b').length"), 0);
  EXPECT_EQ(page().evaluate("typeof window.taken"), "undefined");
  page().click(".model [data-action=load]");
  EXPECT_TRUE(page().wait_for("document.getElementById('news').textContent.length > 0"));
  EXPECT_EQ(page().evaluate("document.querySelectorAll('#news img').length"), 0);
}

TEST_F(Page, ALostConnectionIsSaidAndComesBack) {
  stand_in_router router(a_state(start_ms, {a_model("llama", "ready", 20, 20)}));
  open(router);
  router.refuse_events(true);
  EXPECT_TRUE(page().wait_for(is_shown("#link-text", "reconnecting")));
  router.set(a_state(start_ms + 5000, {a_model("llama", "asleep", 0, 20)}));
  router.refuse_events(false);
  EXPECT_TRUE(page().wait_for(is_shown("#link-text", "live")));
  EXPECT_TRUE(page().wait_for(is_shown(of_model("llama", ".badge"), "asleep")));
}

TEST_F(Page, ModelsThatComeAndGoAreFollowed) {
  stand_in_router router(a_state(start_ms, {a_model("a", "ready", 20, 20)}));
  open(router);
  router.set(
      a_state(start_ms + 1000, {a_model("b", "ready", 1, 1), a_model("c", "stopped", 0, 2)}));
  EXPECT_TRUE(page().wait_for("document.querySelectorAll('.model').length === 2"));
  EXPECT_EQ(page().evaluate("document.querySelector('[data-model=a]')"), json());
  EXPECT_EQ(page().evaluate(text_of(of_model("c", ".holds"))), "0 B of 2 GiB on CUDA0");
  EXPECT_EQ(page().evaluate(text_of(".legend")), "b1 GiBothers3 GiBfree76 GiB");
}

TEST_F(Page, WhoWaitsIsThereWithTheReason) {
  json state = a_state(start_ms, {a_model("a", "starting", 20, 20)});
  state["waiting"] =
      json::array({{{"model", "a"}, {"since_ms", start_ms - 65000}, {"why", "CUDA0 lacks 2 GiB"}}});
  stand_in_router router(state);
  open(router);
  EXPECT_EQ(page().evaluate(text_of(".waiting b")), "a");
  EXPECT_THAT(page().evaluate(text_of(".waiting li")).get<std::string>(),
              AllOf(HasSubstr("for 1 min"), HasSubstr("CUDA0 lacks 2 GiB")));
}

TEST_F(Page, NothingIsAskedForElsewhere) {
  stand_in_router router(a_state(start_ms, {a_model("a", "ready", 20, 20)}));
  open(router);
  EXPECT_EQ(page().evaluate("performance.getEntriesByType('resource')"
                            ".filter((each) => !each.name.startsWith(location.origin)).length"),
            0);
  EXPECT_THAT(router.strays(), IsEmpty());
}

TEST_F(Page, FollowsTheColoursOfTheSystemAndOfTheReader) {
  stand_in_router router(a_state(start_ms, {a_model("a", "ready", 20, 20)}));
  const std::string ground = "getComputedStyle(document.body).backgroundColor";
  open(router);
  const json light = page().evaluate(ground);
  page().prefer("dark");
  EXPECT_TRUE(page().wait_for(ground + " !== " + light.dump()));
  page().click("#theme");  // light, whatever the system says
  EXPECT_TRUE(page().wait_for(ground + " === " + light.dump()));
  page().evaluate("localStorage.clear()");
}

TEST_F(Page, EverythingThatCanBePressedHasAName) {
  stand_in_router router(a_state(start_ms, {a_model("llama", "ready", 20, 20)}));
  open(router);
  int buttons = 0;
  for (const auto& [role, name] : page().accessible()) {
    if (role != "button" && role != "image" && role != "img") continue;
    EXPECT_FALSE(name.empty()) << role;
    if (role == "button") ++buttons;
  }
  EXPECT_GE(buttons, 9);
  EXPECT_THAT(page().accessible(),
              Contains(std::pair<std::string, std::string>("button", "Sleep llama")));
}

TEST_F(Page, FitsAPhone) {
  json models = json::array();
  for (int i = 0; i < 5; ++i) {
    models.push_back(
        a_model("a-model-with-a-rather-long-name-of-its-own-" + std::to_string(i), "ready", 5, 5));
  }
  stand_in_router router(a_state(start_ms, models));
  page().resize(360, 740);
  open(router);
  EXPECT_EQ(page().evaluate("document.documentElement.scrollWidth"), 360);
}

/// What the page looks like, for somebody to look at: with an hour behind it.
TEST_F(Page, IsPhotographed) {
  json models = json::array(
      {a_model("llama-3.3-70b", "ready", 41.5, 41.5),
       a_model("qwen3-coder-30b", "asleep", 0.6, 19.2), a_model("gemma-3-12b", "ready", 9.1, 9.1),
       a_model("whisper-large-v3", "starting", 2.2, 3.1), a_model("bge-m3", "ready", 1.4, 1.4),
       a_model("flux-schnell", "failed", 0, 23.8),
       a_model("mistral-small-24b", "stopped", 0, 16.4)});
  models[0]["active"] = 3;
  models[1]["level"] = "offload";
  models[3]["waiting"] = 2;
  models[4]["pinned"] = true;
  models[5]["last_error"] = "CUDA error: out of memory\nthe process ended with status 1, 2 s ago";
  json state = a_state(start_ms, models);
  state["waiting"] = json::array({{{"model", "whisper-large-v3"},
                                   {"since_ms", start_ms - 2400},
                                   {"why", "the server is starting"}}});
  state["devices"].push_back(state["devices"][0]);
  state["devices"][1]["name"] = "CUDA1";
  state["devices"][1]["by_model"] = {{"llama-3.3-70b", 38 * gib}, {"flux-schnell", 12 * gib}};
  state["devices"][1]["used_bytes"] = 53 * gib;
  stand_in_router router(state);
  page().resize(1280, 900);
  open(router);
  // As if it had been open for two minutes.
  page().evaluate(R"((() => {
    const end = samples.pop();
    for (let i = 120; i >= 0; --i) {
      const at = end.at - i * 1000;
      const devices = structuredClone(end.devices);
      for (const device of Object.values(devices)) {
        if (i > 80) delete device.models['llama-3.3-70b'];
        if (i > 95 || i < 60) delete device.models['flux-schnell'];
        if (i > 100) device.models['qwen3-coder-30b'] = 19.2 * 2 ** 30;
        if (i > 30 && i < 50) device.foreign += 8 * 2 ** 30;
      }
      samples.push({ at, devices });
    }
    for (const view of deviceViews.values()) view.draw();
  })())");
  const std::string folder = LULL_TEST_SCREENSHOTS;
  page().screenshot(folder + "/page-light.png");
  page().prefer("dark");
  ASSERT_TRUE(page().wait_for("document.documentElement.dataset.theme === 'dark'"));
  page().screenshot(folder + "/page-dark.png");
  page().resize(390, 844);
  ASSERT_TRUE(page().wait_for("document.documentElement.clientWidth === 390"));
  page().screenshot(folder + "/page-phone.png");
}

TEST(PageFiles, AreThereAndNoOthers) {
  ASSERT_NE(ui::find_file("/ui/"), nullptr);
  EXPECT_THAT(std::string(ui::find_file("/ui/")->bytes), HasSubstr("<!doctype html>"));
  EXPECT_THAT(std::string(ui::find_file("/ui/page.js")->type), HasSubstr("javascript"));
  EXPECT_EQ(ui::find_file("/ui/../etc/passwd"), nullptr);
  EXPECT_EQ(ui::find_file("/ui"), nullptr);
  for (const char* const path : {"/ui/", "/ui/style.css", "/ui/page.js"}) {
    const std::string text(ui::find_file(path)->bytes);
    EXPECT_THAT(text, AllOf(Not(HasSubstr("http://")), Not(HasSubstr("https://")),
                            Not(HasSubstr("innerHTML")), Not(HasSubstr("eval("))))
        << path;
  }
}

}  // namespace
}  // namespace lull::serve
