#ifndef TOOLS_SERVE_SERVER_HPP
#define TOOLS_SERVE_SERVER_HPP

#include <lull/log.hpp>

#include <boost/asio/signal_set.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "fleet.hpp"
#include "launcher.hpp"
#include "metrics.hpp"
#include "net.hpp"
#include "routes.hpp"
#include "session.hpp"

namespace lull::serve {

struct server_options {
  config given;
  std::filesystem::path state_folder;
  /// Reads the configuration again, for SIGHUP; absent where it has mistakes, which it has told.
  std::function<std::optional<config>()> reread = {};
  log_sink log = {};
  /// How long requests may go on after it was told to end.
  duration drain_time = std::chrono::seconds{30};
};

/// The router: listens, and looks after its clients. Everything happens on the thread that runs it.
class server {
 public:
  /// Listens, ends orphans, asks the devices.
  /// @throws error: also invalid_argument when others than this machine could connect and there is
  ///         no token; io: cannot listen
  explicit server(server_options options);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Serves until it is told to stop, by a signal, and all servers have ended. Once.
  void run();
  /// Where it listens, for people and programs.
  [[nodiscard]] std::vector<std::string> addresses() const;

 private:
  void accept(std::size_t which);
  void accepted(session_world& world, tcp_socket socket, std::string door = {});
  void add_launcher();
  void on_signal();
  void reload();
  void drain();
  void drained();
  void every_half_second();

  server_options options_;
  net::io_context io_;
  log_book logs_;
  log_sink log_;
  fleet fleet_;
  metrics metrics_;
  routes routes_;
  session_world world_;
  std::optional<launcher> launcher_;
  std::vector<tcp_acceptor> acceptors_;
  std::unordered_map<session*, std::weak_ptr<session>> sessions_;
  net::basic_signal_set<executor> signals_;
  steady_timer timer_;
  steady_timer accept_again_;
  time_point drain_until_ = no_deadline;
  unsigned half_seconds_ = 0;
  bool closing_ = false;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_SERVER_HPP
