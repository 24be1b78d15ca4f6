// The page in a real browser, with the real router behind it.

#include <string>

#include "serve/router_fixture.hpp"
#include "serve/ui/browser.hpp"

namespace lull::test {
namespace {

class PageOfTheRouter : public router_test {
 protected:
  void SetUp() override {
    const auto program = serve::find_chromium();
    if (!program) GTEST_SKIP() << "no Chromium here (Debian: apt-get install chromium)";
    page_ = std::make_unique<serve::browser>(*program);
  }
  void open() {
    page_->open(fmt::format("http://127.0.0.1:{}/", port_));  // which leads to the page
    ASSERT_TRUE(page_->wait_for("document.getElementById('link').dataset.state === 'live'"));
  }
  void press(const std::string& model, const std::string& action) {
    const std::string button = fmt::format("[data-model={}] [data-action={}]", model, action);
    ASSERT_TRUE(page_->wait_for(fmt::format("!document.querySelector('{}').disabled", button)));
    page_->click(button);
  }
  bool shows(const std::string& model, const std::string& state) {
    return page_->wait_for(fmt::format(
        "document.querySelector('[data-model={}] .badge').textContent === '{}'", model, state));
  }

  std::unique_ptr<serve::browser> page_;
};

TEST_F(PageOfTheRouter, ItsButtonsDoWhatTheySay) {
  add("a", {.keys = "sleep: routes"});
  add("b");
  start();
  open();
  EXPECT_TRUE(shows("a", "stopped"));
  press("a", "load");
  EXPECT_TRUE(shows("a", "ready"));
  press("a", "sleep");
  EXPECT_TRUE(shows("a", "asleep: offload"));
  press("a", "load");
  EXPECT_TRUE(shows("a", "ready"));
  press("a", "pin");
  EXPECT_TRUE(
      page_->wait_for("document.querySelector('[data-action=pin]').textContent === 'Pinned'"));
  EXPECT_EQ(model("a").at("pinned"), true);
  press("a", "pin");
  EXPECT_TRUE(page_->wait_for("document.querySelector('[data-action=pin]').textContent === 'Pin'"));
  EXPECT_EQ(model("a").at("pinned"), false);
  press("a", "stop");
  EXPECT_TRUE(shows("a", "stopped"));
  EXPECT_TRUE(shows("b", "stopped"));
  page_->screenshot(LULL_TEST_SCREENSHOTS "/page-of-the-router.png");
}

TEST_F(PageOfTheRouter, WithoutTheTokenItChangesNothing) {
  set("token: secret");
  add("a");
  start();
  open();
  press("a", "load");
  ASSERT_TRUE(page_->wait_for("document.getElementById('token-dialog').open"));
  EXPECT_EQ(state_of("a"), "stopped");
  page_->type("secret");
  page_->press_enter();
  ASSERT_TRUE(page_->wait_for("!document.getElementById('token-dialog').open"));
  press("a", "load");
  EXPECT_TRUE(shows("a", "ready"));
}

}  // namespace
}  // namespace lull::test
