#ifndef TOOLS_SERVE_SESSION_HPP
#define TOOLS_SERVE_SESSION_HPP

#include <lull/clock.hpp>

#include <array>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "model_name.hpp"
#include "net.hpp"
#include "routes.hpp"

namespace lull::serve {

class exchange;
class session;
class session_stream;

/// What sessions share.
struct session_world {
  net::io_context& io;
  routes& where_to;
  metrics& counts;
  limits_config limits;
  bool draining = false;
  std::function<void(session&)> ended = {};
};

/// A client's connection, and the requests that come over it, one after the other.
class session : public std::enable_shared_from_this<session> {
 public:
  session(session_world& world, tcp_socket socket);
  ~session();

  void start();
  /// Ends it now, whatever is under way.
  void close();
  /// Whether somebody waits for its answer: not one that watches, or has yet to ask.
  [[nodiscard]] bool is_at_work() const noexcept;
  /// Ends it when its time is over.
  void check_time(time_point now);

  // For the exchange that answers its request.
  [[nodiscard]] tcp_socket& socket() noexcept { return socket_; }
  [[nodiscard]] boost::beast::http::request_parser<boost::beast::http::buffer_body>& parser() {
    return *parser_;
  }
  [[nodiscard]] boost::beast::flat_buffer& buffer() noexcept { return buffer_; }
  /// What has been read of the body and not yet been sent on.
  [[nodiscard]] std::string& body() noexcept { return body_; }
  [[nodiscard]] bool request_complete() const { return parser_->is_done(); }
  [[nodiscard]] bool keeps_alive() const { return keeps_alive_ && !world_.draining; }
  [[nodiscard]] session_world& world() noexcept { return world_; }
  /// Empty: not known.
  [[nodiscard]] const std::string& client_address() const noexcept { return client_address_; }
  [[nodiscard]] time_point asked_at() const noexcept { return asked_at_; }
  /// More of the body, appended to body(); `then` is not called where the client has gone.
  void read_body(std::function<void()> then);
  /// Notices it when the client goes while nothing is read from it.
  void watch();
  /// The client has to take what is written to it within some time.
  void expect_write();
  void expect_nothing() noexcept { deadline_ = no_deadline; }
  /// The exchange is over. @param keep the connection can be used for another request
  void exchanged(bool keep);
  /// The same, with an answer of the router's own.
  void exchanged(const refusal& why);

 private:
  friend class session_stream;
  enum class stage : std::uint8_t { idle, header, body, answering, exchanging, streaming, ending };

  void wait_for_request();
  void read_header();
  void decided(decision what);
  void find_model();
  void run_local(to_do::local what);
  void open_stream(const to_do::streaming& what);
  void begin_exchange(to_do::send_to what);
  void send(answer what, bool keep);
  void refuse(const refusal& why) { send(answer_of(why), false); }
  void linger();
  void client_gone();
  void client_ended();
  void body_broken(const error_code& how);
  [[nodiscard]] std::string_view header(std::string_view name) const;

  session_world& world_;
  tcp_socket socket_;
  std::string client_address_;
  stage stage_ = stage::idle;
  bool watching_ = false;
  bool half_closed_ = false;   ///< the client sends nothing more, and may have gone
  bool reading_body_ = false;  ///< into body_, which has to stay where it is meanwhile
  bool closed_ = false;
  bool keeps_alive_ = true;
  bool head_only_ = false;
  time_point deadline_ = no_deadline;
  time_point asked_at_{};
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::buffer_body>> parser_;
  std::string body_;
  std::optional<json_model_finder> in_json_;
  std::optional<form_model_finder> in_form_;
  std::size_t searched_ = 0;
  std::shared_ptr<exchange> exchange_;
  std::shared_ptr<session_stream> stream_;
  std::optional<boost::beast::http::response<boost::beast::http::string_body>> response_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_SESSION_HPP
