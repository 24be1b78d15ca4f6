#include "browser.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <utility>

extern char** environ;

namespace lull::serve {
namespace {

using json = nlohmann::json;
using namespace std::chrono_literals;

constexpr auto patience = 60s;  // a machine may stand still for seconds

/// Both ends above the descriptors that the browser shall have as 3 and 4.
std::pair<int, int> high_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  const std::pair high{::fcntl(ends[0], F_DUPFD_CLOEXEC, 10),
                       ::fcntl(ends[1], F_DUPFD_CLOEXEC, 10)};
  ::close(ends[0]);
  ::close(ends[1]);
  return high;
}

std::string decode_base64(const std::string& text) {
  std::string bytes;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const char* const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char* const place = c == '\0' ? nullptr : std::char_traits<char>::find(alphabet, 64, c);
    if (place == nullptr) continue;
    bits = bits << 6 | static_cast<unsigned>(place - alphabet);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

}  // namespace

std::optional<std::string> find_chromium() {
  if (const char* const given = std::getenv("LULL_CHROMIUM")) return given;
  for (const char* const path :
       {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return std::nullopt;
}

browser::browser(const std::string& program) {
  std::string pattern = std::filesystem::temp_directory_path() / "lull-browser-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  folder_ = pattern;
  const auto [browser_reads, we_write] = high_pipe();
  const auto [we_read, browser_writes] = high_pipe();
  to_ = we_write;
  from_ = we_read;

  std::vector<std::string> words{program,
                                 "--headless=new",
                                 "--no-sandbox",
                                 "--disable-gpu",
                                 "--disable-dev-shm-usage",
                                 "--no-first-run",
                                 "--hide-scrollbars",
                                 "--disable-background-networking",
                                 "--disable-component-update",
                                 "--disable-sync",
                                 "--remote-debugging-pipe",
                                 "--user-data-dir=" + folder_,
                                 "about:blank"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, browser_reads, 3);
  ::posix_spawn_file_actions_adddup2(&actions, browser_writes, 4);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int failed =
      ::posix_spawn(&process_, program.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(browser_reads);
  ::close(browser_writes);
  if (failed != 0) throw std::runtime_error("the browser does not start");

  const std::string target = call("Target.createTarget", {{"url", "about:blank"}})["targetId"];
  session_ = call("Target.attachToTarget", {{"targetId", target}, {"flatten", true}})["sessionId"];
  call("Page.enable");
  call("Accessibility.enable");
}

browser::~browser() {
  ::close(to_);
  ::close(from_);
  if (process_ > 0) {
    ::kill(-process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  // Its other processes may write for a moment yet.
  std::error_code failed;
  for (int i = 0; i < 50; ++i) {
    std::filesystem::remove_all(folder_, failed);
    if (!std::filesystem::exists(folder_)) return;
    std::this_thread::sleep_for(20ms);
  }
}

json browser::receive() {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    if (const std::size_t end = received_.find('\0'); end != std::string::npos) {
      json message = json::parse(received_.substr(0, end));
      received_.erase(0, end + 1);
      return message;
    }
    pollfd asked{.fd = from_, .events = POLLIN, .revents = 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    char buffer[65536];
    ssize_t count = 0;
    if (left.count() > 0 && ::poll(&asked, 1, static_cast<int>(left.count())) == 1) {
      count = ::read(from_, buffer, sizeof buffer);
    }
    if (count <= 0) throw std::runtime_error("the browser does not answer");
    received_.append(buffer, static_cast<std::size_t>(count));
  }
}

json browser::call(const std::string& method, json parameters) {
  const int id = ++last_id_;
  json message{{"id", id}, {"method", method}};
  message["params"] = parameters.is_null() ? json::object() : std::move(parameters);
  if (!session_.empty()) message["sessionId"] = session_;
  std::string text = message.dump();
  text.push_back('\0');
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t count = ::write(to_, text.data() + at, text.size() - at);
    if (count <= 0) throw std::runtime_error("the browser is gone");
    at += static_cast<std::size_t>(count);
  }
  while (true) {
    json answer = receive();
    if (answer.value("id", 0) != id) continue;  // an event
    if (answer.contains("error")) throw std::runtime_error(method + ": " + answer["error"].dump());
    return answer["result"];
  }
}

void browser::open(const std::string& url) {
  const json result = call("Page.navigate", {{"url", url}});
  if (result.contains("errorText")) throw std::runtime_error(result["errorText"]);
  if (!wait_for("document.readyState === 'complete'")) throw std::runtime_error("loads for ever");
}

void browser::resize(int width, int height) {
  call("Emulation.setDeviceMetricsOverride",
       {{"width", width}, {"height", height}, {"deviceScaleFactor", 2}, {"mobile", false}});
}

void browser::prefer(const std::string& scheme) {
  const json feature{{"name", "prefers-color-scheme"}, {"value", scheme}};
  call("Emulation.setEmulatedMedia", {{"features", json::array({feature})}});
}

json browser::evaluate(const std::string& expression) {
  const json result =
      call("Runtime.evaluate",
           {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
  if (result.contains("exceptionDetails")) {
    throw std::runtime_error(expression + ": " + result["exceptionDetails"].dump());
  }
  return result["result"].value("value", json());
}

bool browser::wait_for(const std::string& expression) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (evaluate("Boolean(" + expression + ")") == true) return true;
    std::this_thread::sleep_for(20ms);
  }
  return false;
}

void browser::click(const std::string& selector) {
  const json place = evaluate("(() => { const e = document.querySelector(" + json(selector).dump() +
                              "); e.scrollIntoView({block: 'center', behavior: 'instant'}); "
                              "const r = e.getBoundingClientRect(); "
                              "return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()");
  for (const char* const kind : {"mousePressed", "mouseReleased"}) {
    call("Input.dispatchMouseEvent", {{"type", kind},
                                      {"x", place["x"]},
                                      {"y", place["y"]},
                                      {"button", "left"},
                                      {"clickCount", 1}});
  }
}

void browser::type(const std::string& text) {
  call("Input.insertText", {{"text", text}});
}

void browser::press_enter() {
  for (const char* const kind : {"keyDown", "keyUp"}) {
    json key{{"type", kind}, {"key", "Enter"}, {"code", "Enter"}, {"windowsVirtualKeyCode", 13}};
    if (std::string_view(kind) == "keyDown") key["text"] = "\r";
    call("Input.dispatchKeyEvent", key);
  }
}

void browser::screenshot(const std::string& path) {
  const json result =
      call("Page.captureScreenshot", {{"format", "png"}, {"captureBeyondViewport", true}});
  std::ofstream(path, std::ios::binary) << decode_base64(result["data"]);
}

std::vector<std::pair<std::string, std::string>> browser::accessible() {
  std::vector<std::pair<std::string, std::string>> all;
  const json tree = call("Accessibility.getFullAXTree");
  for (const json& node : tree["nodes"]) {
    if (node.value("ignored", false) || !node.contains("role")) continue;
    const json name = node.value("name", json::object());
    all.emplace_back(node["role"].value("value", ""), name.value("value", ""));
  }
  return all;
}

}  // namespace lull::serve
