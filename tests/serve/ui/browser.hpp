#ifndef TESTS_SERVE_UI_BROWSER_HPP
#define TESTS_SERVE_UI_BROWSER_HPP

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace lull::serve {

/// The Chromium of this machine, if it has one: `LULL_CHROMIUM`, or what Debian calls it.
std::optional<std::string> find_chromium();

/// A headless Chromium with one page, spoken to over a pipe by its DevTools protocol.
class browser {
 public:
  explicit browser(const std::string& program);
  ~browser();
  browser(const browser&) = delete;
  browser& operator=(const browser&) = delete;

  void open(const std::string& url);
  void resize(int width, int height);
  /// As the system would say it: "dark" or "light".
  void prefer(const std::string& scheme);

  /// The value of an expression of JavaScript.
  nlohmann::json evaluate(const std::string& expression);
  /// Looks until an expression is true. False after a minute.
  bool wait_for(const std::string& expression);
  /// Presses the mouse in the middle of the first element that a selector finds.
  void click(const std::string& selector);
  void type(const std::string& text);
  void press_enter();
  void screenshot(const std::string& path);
  /// What people who hear the page are told of it: a role and a name each.
  std::vector<std::pair<std::string, std::string>> accessible();

 private:
  nlohmann::json call(const std::string& method, nlohmann::json parameters = {});
  nlohmann::json receive();

  std::string folder_;
  pid_t process_ = -1;
  int to_ = -1;
  int from_ = -1;
  int last_id_ = 0;
  std::string received_;
  std::string session_;
};

}  // namespace lull::serve

#endif  // TESTS_SERVE_UI_BROWSER_HPP
