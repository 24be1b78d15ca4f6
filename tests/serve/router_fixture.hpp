#ifndef TESTS_SERVE_ROUTER_FIXTURE_HPP
#define TESTS_SERVE_ROUTER_FIXTURE_HPP

#include <lull/process.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include "server/raw_connection.hpp"
#include "support/eventually.hpp"
#include "support/scratch_folder.hpp"

namespace lull::test {

/// The router as a program, in front of servers that are programs too.
class router_test : public testing::Test {
 protected:
  using json = nlohmann::json;

  /// A port that nobody has.
  static int free_port() {
    static std::set<int> given;
    while (true) {
      const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      ::bind(socket, reinterpret_cast<const sockaddr*>(&address), size);
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
      ::close(socket);
      if (given.insert(ntohs(address.sin_port)).second) return ntohs(address.sin_port);
    }
  }

  /// A model in the configuration, served by upstream.py.
  struct given_model {
    std::string options = {};  ///< of upstream.py
    std::string keys = {};     ///< besides, one a line
    std::string memory = "100MiB";
    int port = free_port();
  };
  void add(const std::string& name) { add(name, given_model()); }
  void add(const std::string& name, const given_model& what) {
    models_ += fmt::format("  {}:\n", name);
    if (what.keys.find("cmd:") == std::string::npos) {
      models_ += fmt::format("    cmd: python3 -S -E {} --name {} --port {} --journal {} {}\n",
                             LULL_UPSTREAM, name, what.port, journal_.string(), what.options);
    }
    models_ += fmt::format("    proxy: http://127.0.0.1:{}\n", what.port);
    if (!what.memory.empty())
      models_ += fmt::format("    memory: {{{}: {}}}\n", device_, what.memory);
    std::istringstream lines(what.keys);
    for (std::string line; std::getline(lines, line);) models_ += "    " + line + "\n";
    ports_[name] = what.port;
  }
  /// Keys of the file beside models and devices.
  void set(const std::string& lines) { keys_ += lines + "\n"; }
  /// What all models together may hold.
  void set_capacity(const std::string& bytes) { capacity_ = bytes; }
  /// Models "a" and "b", which only stop.
  void two_of_which_one_fits() {
    set_capacity("120MiB");
    for (const char* const name : {"a", "b"}) {
      add(name, {.options = "--hold 62914560", .keys = "ladder: stop"});
    }
  }

  void write_config() {
    const std::string devices =
        fmt::format("{{{}: {{capacity: {}, margin: 0}}}}", device_, capacity_);
    std::ofstream(config_) << fmt::format("devices: {}\nstate_folder: {}\n{}models:\n{}", devices,
                                          (scratch_.path() / "state").string(), keys_, models_);
  }
  void start(std::vector<std::string> options = {}) {
    write_config();
    process_options how;
    how.arguments = {LULL_SERVE, "--config", config_.string(), "--listen", "127.0.0.1:0"};
    how.arguments.insert(how.arguments.end(), options.begin(), options.end());
    how.output = child_stream::pipe;
    how.errors = child_stream::pipe;
    how.state_pipe = false;
    how.environment = environment_;
    router_ = std::make_unique<process>(how);
    FILE* const output = ::fdopen(router_->take_output(), "r");
    char line[256] = {};
    if (std::fgets(line, sizeof line, output) != nullptr) {
      const std::string text(line);
      port_ = std::stoi(text.substr(text.rfind(':') + 1));
    }
    std::fclose(output);
    // What it logs is read, for when a test fails.
    reader_ = std::thread([this, errors = router_->take_errors()] {
      char text[4096];
      for (ssize_t count = 0; (count = ::read(errors, text, sizeof text)) > 0;) {
        const std::lock_guard lock(mutex_);
        log_.append(text, static_cast<std::size_t>(count));
      }
      ::close(errors);
    });
    ASSERT_GT(port_, 0) << wait_for_end();
  }
  std::string log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }
  /// Kills it if it does not end when told to. @return what it logged
  std::string wait_for_end() {
    router_.reset();
    if (reader_.joinable()) reader_.join();
    return log();
  }
  /// As a service manager would.
  void stop() {
    router_->stop({.grace = std::chrono::seconds{30}});
    router_.reset();
    reader_.join();
  }
  ~router_test() override {
    if (router_) router_->stop({.grace = std::chrono::seconds{30}});
    wait_for_end();
    if (HasFailure()) std::fprintf(stderr, "%s\n%s\n", log_.c_str(), journal().c_str());
  }

  [[nodiscard]] httplib::Client connect() const {
    httplib::Client client("127.0.0.1", port_);
    client.set_read_timeout(std::chrono::seconds{60});
    client.set_tcp_nodelay(true);
    return client;
  }
  static std::string body_for(const std::string& model, json more = json::object()) {
    more["model"] = model;
    return more.dump();
  }
  /// A completion.
  struct answered {
    int status = 0;
    json body;
    std::string raw;
    httplib::Headers headers;
  };
  [[nodiscard]] answered ask(const std::string& model, const json& more = json::object()) const {
    httplib::Client client = connect();
    return of(client.Post("/v1/chat/completions", body_for(model, more), "application/json"));
  }
  [[nodiscard]] std::future<answered> ask_later(const std::string& model,
                                                const json& more = json::object()) const {
    return std::async(std::launch::async, [this, model, more] { return ask(model, more); });
  }
  [[nodiscard]] answered get(const std::string& path) const {
    httplib::Client client = connect();
    return of(client.Get(path));
  }
  [[nodiscard]] answered post(const std::string& path, const std::string& body = "",
                              const httplib::Headers& headers = {}) const {
    httplib::Client client = connect();
    return of(client.Post(path, headers, body, "application/json"));
  }
  static answered of(const httplib::Result& result) {
    if (!result) return {};
    return {result->status, json::parse(result->body, nullptr, false), result->body,
            result->headers};
  }

  [[nodiscard]] json state() const { return get("/ui/state").body; }
  [[nodiscard]] json model(const std::string& name) const {
    const json all = state();
    for (const json& each : all.at("models")) {
      if (each.at("name") == name) return each;
    }
    return {};
  }
  [[nodiscard]] std::string state_of(const std::string& name) const {
    return model(name).at("state");
  }
  bool becomes(const std::string& name, const std::string& wanted) const {
    return eventually([&] { return state_of(name) == wanted; });
  }

  /// What servers wrote down.
  [[nodiscard]] std::string journal() const {
    std::ifstream in(journal_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] int times(const std::string& line) const {
    int count = 0;
    std::istringstream lines(journal());
    for (std::string each; std::getline(lines, each);) count += each.starts_with(line) ? 1 : 0;
    return count;
  }
  bool noted(const std::string& line, int count = 1) const {
    return eventually([&] { return times(line) >= count; });
  }
  /// A file that a server waits for.
  [[nodiscard]] std::string gate(const std::string& name) const {
    return (scratch_.path() / name).string();
  }
  void open_gate(const std::string& name) const { std::ofstream(gate(name)) << "open"; }
  /// Not one that has ended and was not reaped yet.
  static bool is_alive(int id) {
    std::ifstream in(fmt::format("/proc/{}/stat", id));
    std::string text;
    std::getline(in, text);
    const std::size_t bracket = text.rfind(')');
    return bracket != std::string::npos && text[bracket + 2] != 'Z' && text[bracket + 2] != 'X';
  }

  scratch_folder scratch_;
  std::filesystem::path journal_ = scratch_.path() / "journal";
  std::filesystem::path config_ = scratch_.path() / "serve.yaml";
  std::string models_;
  std::string keys_;
  std::string capacity_ = "1GiB";
  std::string device_ = "HOST";
  std::map<std::string, std::optional<std::string>> environment_;
  std::map<std::string, int> ports_;
  std::unique_ptr<process> router_;
  std::thread reader_;
  std::mutex mutex_;
  std::string log_;
  int port_ = 0;
};

}  // namespace lull::test

#endif  // TESTS_SERVE_ROUTER_FIXTURE_HPP
