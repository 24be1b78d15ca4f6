#ifndef TESTS_SERVER_SERVER_FIXTURE_HPP
#define TESTS_SERVER_SERVER_FIXTURE_HPP

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include "gguf/writer.hpp"
#include "raw_connection.hpp"
#include "server/server.hpp"

/// A server of this process on a free port, and a small model that goes with it.
class server_test : public testing::Test {
 protected:
  /// @param host_bytes what the device holds; empty: the memory of the machine
  explicit server_test(const std::string& host_bytes = {}) : registry_(options_for(host_bytes)) {
    gguf::write_model(model_, {.total_bytes = std::uint64_t{8} << 20, .blocks = 2});
  }
  ~server_test() override {
    stop();
    std::filesystem::remove(model_);
  }

  void start(example::server_options options = {}) {
    if (options.files.empty()) options.files = {{"m", model_}};
    options.port = 0;
    options.kv_bytes = std::uint64_t{1} << 20;
    server_.emplace(registry_.find("HOST"), std::move(options));
    const auto ready = std::make_shared<std::promise<void>>();
    thread_ = std::thread([this, ready] { server_->run([ready] { ready->set_value(); }); });
    ready->get_future().wait();
  }
  void stop() {
    if (!server_) return;
    client_.reset();
    server_->stop();
    thread_.join();
    server_.reset();
  }

  httplib::Client connect() const {
    httplib::Client client("127.0.0.1", server_->port());
    client.set_read_timeout(std::chrono::seconds{60});
    client.set_connection_timeout(std::chrono::seconds{10});
    client.set_tcp_nodelay(true);  // else the body waits 40 ms for the headers to be acknowledged
    return client;
  }
  raw_connection connect_raw() const { return raw_connection(server_->port()); }
  httplib::Client& client() {
    if (!client_) client_ = std::make_unique<httplib::Client>(connect());
    return *client_;
  }

  static httplib::Result post(httplib::Client& client, const std::string& path,
                              const nlohmann::json& body) {
    return client.Post(path, body.dump(), "application/json");
  }
  std::string answer(const std::string& prompt) {
    const auto result = post(client(), "/completion", {{"prompt", prompt}, {"n_predict", 12}});
    if (!result || result->status != 200) {
      ADD_FAILURE() << (result ? result->body : "no answer");
      return {};
    }
    return nlohmann::json::parse(result->body).at("content");
  }
  nlohmann::json get(const std::string& path) {
    const auto result = client().Get(path);
    EXPECT_TRUE(result && result->status == 200) << path;
    return nlohmann::json::parse(result->body);
  }
  int status_of(const std::string& path, const std::string& body) {
    const auto result = client().Post(path, body, "application/json");
    EXPECT_TRUE(result);
    EXPECT_TRUE(nlohmann::json::parse(result->body).contains("error") || result->status == 200);
    return result->status;
  }
  /// What the sleeper has done since the model is there, which took the first wake.
  lull::sleeper_snapshot seen() {
    lull::sleeper_snapshot now = server_->model().sleeper().observe();
    --now.counters.sleeps;
    --now.counters.wakes;
    return now;
  }

  static lull::registry_options options_for(const std::string& host_bytes) {
    lull::registry_options options;
    options.search = false;
    if (!host_bytes.empty()) options.settings = {{"host", "capacity_bytes", host_bytes}};
    return options;
  }

  lull::registry registry_;
  std::filesystem::path model_ =
      std::filesystem::path(testing::TempDir()) / fmt::format("lull-server-{}.gguf", ::getpid());
  std::optional<example::server> server_;
  std::thread thread_;
  std::unique_ptr<httplib::Client> client_;
};

#endif  // TESTS_SERVER_SERVER_FIXTURE_HPP
