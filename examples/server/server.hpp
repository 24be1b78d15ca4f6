#ifndef EXAMPLES_SERVER_SERVER_HPP
#define EXAMPLES_SERVER_SERVER_HPP

#include <lull/lull.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include <httplib.h>
#include <nlohmann/json.hpp>

#include "server/graph_runner.hpp"
#include "server/listener.hpp"
#include "server/model.hpp"
#include "server/requests.hpp"
#include "server/slots.hpp"

namespace example {

struct server_options {
  std::filesystem::path model;
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: any that is free
  std::optional<std::chrono::milliseconds> sleep_idle;
  lull::sleep_level sleep_level = lull::sleep_level::discard;
  /// Where offloaded weights go; absent: host memory on a GPU, the system's temporary directory on
  /// the host device, where a copy in host memory would free nothing.
  std::optional<std::filesystem::path> offload_directory;
  int parallel = 2;        ///< completions computed at once
  int most_waiting = 256;  ///< completions that wait or are computed; more are turned away
  std::chrono::milliseconds request_timeout = std::chrono::minutes{2};
  std::uint64_t kv_bytes = std::uint64_t{64} << 20;
  /// Of the captured graphs. An absent bound does not bound.
  lull::graph_limits graphs{
      .entries = 64, .bytes = std::uint64_t{256} << 20, .idle_time = std::chrono::minutes{1}};
  /// For tests: makes every wake take this much longer.
  std::chrono::milliseconds wake_delay{0};
  lull::log_sink log;
};

/// An inference server in the style of llama.cpp's, over a stand-in for inference.
///
/// What only observes (/health, /props, /models, /metrics) takes no lease: it never wakes the model
/// and never postpones its sleep. A wake that fails is an error for those who waited; the server
/// lives on, and the next request tries again.
class server {
 public:
  /// Loads the model and binds the port.
  /// @throws gguf::format_error, gguf::model_error, std::system_error, lull::error
  server(lull::device device, server_options options);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }

  /// Answers until stop() is called from another thread.
  void run();
  /// Ends run(), now or as soon as it is called. Who waits for a wake or a slot gets an error,
  /// streams end. Harmless when repeated; thread-safe.
  void stop() noexcept;

  [[nodiscard]] lull::sleeper& sleeper() noexcept { return sleeper_; }
  [[nodiscard]] const lull::any_graph_cache& graphs() const noexcept { return graphs_.cache(); }

 private:
  struct running;

  void bind(std::size_t connections);
  void get(const std::string& path, std::function<void(httplib::Response&)> handler);
  void post(const std::string& path,
            std::function<void(const std::string& body, httplib::Response&)> handler);
  void add_routes();
  void add_error_handlers();
  void refuse(const httplib::Request& request, httplib::Response& response) const;
  [[nodiscard]] lull::sleep_plan plan_for(lull::sleep_level level) const;
  [[nodiscard]] nlohmann::json props() const;
  [[nodiscard]] nlohmann::json models() const;

  void complete(const std::string& body, httplib::Response& response);
  void sleep(const std::string& body, httplib::Response& response);
  void wake(httplib::Response& response);
  [[nodiscard]] std::shared_ptr<running> admit(lull::time_point deadline);
  void answer_whole(const completion_request& what, std::uint64_t digest,
                    httplib::Response& response);
  void answer_stream(const completion_request& what, std::uint64_t digest,
                     std::shared_ptr<running> holding, httplib::Response& response);

  const server_options options_;
  const lull::device device_;
  lull::memory memory_;
  model model_;
  graph_runner graphs_;
  lull::sleeper sleeper_;
  slots slots_;
  std::atomic<int> waiting_{0};
  std::atomic<std::uint64_t> completions_{0};
  std::atomic<std::uint64_t> rejected_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> tokens_{0};
  std::stop_source stopping_;
  std::map<std::string, std::string, std::less<>> methods_;  ///< of each route
  httplib::Server http_;
  std::optional<listener> listener_;
  bool ran_ = false;
  int port_ = 0;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_SERVER_HPP
