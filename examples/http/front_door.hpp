#ifndef EXAMPLES_HTTP_FRONT_DOOR_HPP
#define EXAMPLES_HTTP_FRONT_DOOR_HPP

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "http/descriptor.hpp"
#include "http/reply.hpp"
#include "http/request.hpp"

namespace http {

struct front_door_options {
  std::string host = "127.0.0.1";
  int port = 0;  ///< 0: any that is free
  /// A socket that listens already, instead of both: that of the program that was here before.
  std::optional<int> listener = {};
  request_limits limits = {};
  /// Open at once. When there are more, who has not sent a whole request for the longest has to go.
  std::size_t most_connections = 768;
  /// From the connection to the whole head, and to the whole request.
  std::chrono::milliseconds head_limit = std::chrono::seconds{5};
  std::chrono::milliseconds request_limit = std::chrono::seconds{30};
  /// For how long a client may take nothing of an answer.
  std::chrono::milliseconds send_limit = std::chrono::seconds{30};
};

/// Accepts connections, reads requests and sends answers, all on one thread that never waits for
/// any client. So clients that send their headers byte by byte, or do not read what they asked for,
/// cost a descriptor and a few kilobytes, and hold nobody up. One request per connection.
class front_door {
 public:
  /// Gets each request, on the thread of run(): must not block. What it throws closes the
  /// connection.
  using handler = std::function<void(request&&, reply&&)>;
  /// The answer to a request that cannot be read: the fault's status and words.
  using explainer = std::function<answer(int status, const std::string& reason)>;

  /// Binds the port. Nobody can connect before run().
  /// @throws std::system_error; std::runtime_error: the host is unknown
  front_door(front_door_options options, handler handle, explainer explain);
  ~front_door();
  front_door(const front_door&) = delete;
  front_door& operator=(const front_door&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  /// Whether only this machine can connect.
  [[nodiscard]] bool is_loopback() const noexcept { return loopback_; }

  /// Lets nobody in any more, so that who comes waits in the queue of the listening socket, and
  /// waits until all who were let in have left. While run() runs, on any other thread.
  /// @param give_up asked again and again; true: all is as before
  /// @return whether nobody is left. Then nobody is let in before open_again().
  bool empty_out(const std::function<bool()>& give_up);
  void open_again() noexcept;
  /// The listening socket.
  [[nodiscard]] int listener() const noexcept { return listener_->get(); }

  /// Serves until `stop`; then nobody waits for answers any more (reply::unwanted), and what is
  /// answered within half a second is still sent. Once.
  void run(const std::stop_token& stop);

 private:
  using clock = std::chrono::steady_clock;
  struct connection;

  void bind_to(const std::string& host, int port);
  void look_at_own_address();
  void watch_the_door();
  void accept_all();
  bool make_room();
  void watch(connection& which, std::uint32_t events, bool anew = false);
  void look_at(connection& which, std::uint32_t events);
  void read_from(connection& which);
  void hand_over(connection& which);
  void refuse(connection& which, int status, const std::string& reason);
  void send_to(connection& which);
  void send_what_changed();
  void close(connection& which);
  void close_the_late();
  void send_everybody_home();

  const front_door_options options_;
  const handler handle_;
  const explainer explain_;
  int port_ = 0;
  bool loopback_ = false;
  const descriptor poll_;
  const std::shared_ptr<outbox> outbox_;
  std::optional<descriptor> listener_;
  std::map<int, std::unique_ptr<connection>> connections_;  ///< by descriptor
  clock::time_point late_ones_closed_at_{};
  std::atomic<bool> closed_{false};    ///< nobody is to be let in
  std::atomic<bool> deserted_{false};  ///< nobody is let in, and nobody is left
  bool watched_ = false;               ///< whether who comes is let in
};

}  // namespace http

#endif  // EXAMPLES_HTTP_FRONT_DOOR_HPP
