#ifndef TOOLS_LULL_DEMO_SERVER_PROCESS_HPP
#define TOOLS_LULL_DEMO_SERVER_PROCESS_HPP

#include <lull/process.hpp>
#include <lull/sleeper.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "child_output.hpp"

namespace lull::demo {

struct server_options {
  std::filesystem::path program;
  std::filesystem::path model = {};
  std::string device = {};
  sleep_level level = sleep_level::discard;
  std::chrono::seconds idle_time{1};
  std::filesystem::path offload_dir = {};  ///< empty: the server's own choice
  std::vector<std::string> more_arguments = {};
};

/// The example server as a child process, listening on loopback, that ends with this object or with
/// this process. A stop request kills it, so that no request waits for it any more.
class server_process {
 public:
  /// Starts it and waits until it listens.
  /// @throws error io: it does not start, with its last words; cancelled
  server_process(const server_options& options, const std::stop_token& stop);
  /// Asks it to end, and kills it when it does not.
  ~server_process();
  server_process(const server_process&) = delete;
  server_process& operator=(const server_process&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] int id() const noexcept { return child_.id(); }
  [[nodiscard]] time_point started_at() const noexcept { return started_at_; }

  /// What became of it, to be added to an error: how it ended, if it has, and its last words.
  [[nodiscard]] std::string condition();

 private:
  int await_port(const std::stop_token& stop);

  time_point started_at_;
  process child_;
  child_output output_;
  std::stop_callback<std::function<void()>> kill_on_stop_;
  int port_;
};

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_SERVER_PROCESS_HPP
