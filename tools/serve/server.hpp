#ifndef TOOLS_SERVE_SERVER_HPP
#define TOOLS_SERVE_SERVER_HPP

#include <lull/log.hpp>

#include <boost/asio/signal_set.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "fleet.hpp"
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
  /// Instead of drain_config::requests.
  std::optional<duration> drain_time = {};
};

/// How a router that was told to end has ended.
enum class ending : std::uint8_t {
  drained,  ///< all requests had come to their end
  cut,      ///< some were broken off
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
  ending run();
  /// Where it listens, for people and programs.
  [[nodiscard]] std::vector<std::string> addresses() const;

 private:
  void listen(const endpoint& where);
  void accept(std::size_t which);
  void accepted(tcp_socket socket);
  void on_signal();
  void reload();
  void drain();
  void drained();
  void hurry();
  void end_all();
  [[nodiscard]] std::vector<std::shared_ptr<session>> open_sessions() const;
  void every_half_second();

  server_options options_;
  net::io_context io_{1};  // one thread runs it, which spares wake-ups; any may post to it
  log_book logs_;
  log_sink log_;
  fleet fleet_;
  metrics metrics_;
  routes routes_;
  session_world world_;
  std::vector<tcp_acceptor> acceptors_;
  std::unordered_map<session*, std::weak_ptr<session>> sessions_;
  net::basic_signal_set<executor> signals_;
  steady_timer timer_;
  steady_timer accept_again_;
  // When what happens, after it was told to end.
  time_point refuse_from_ = no_deadline;
  time_point cut_at_ = no_deadline;
  time_point end_by_ = no_deadline;
  std::size_t cut_ = 0;  ///< requests that were broken off
  unsigned half_seconds_ = 0;
  bool refusing_ = false;
  bool closing_ = false;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_SERVER_HPP
