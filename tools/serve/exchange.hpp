#ifndef TOOLS_SERVE_EXCHANGE_HPP
#define TOOLS_SERVE_EXCHANGE_HPP

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model.hpp"
#include "net.hpp"
#include "routes.hpp"

namespace lull::serve {

class session;

/// One request of a client, sent on to a model's server, and its response on the way back. Both are
/// passed on in pieces as they come; a client that goes takes its request with it.
class exchange : public std::enable_shared_from_this<exchange> {
 public:
  exchange(session& of, to_do::send_to what);

  void start();
  /// The client has gone.
  void abandon();
  /// What the client sends makes no sense.
  void reject(const refusal& why);
  /// Whether something of the answer has been passed on.
  [[nodiscard]] bool responding() const noexcept { return responding_; }

 private:
  using buffer_body = boost::beast::http::buffer_body;

  void ask_for_lease();
  void admitted(lease given, const refusal& why, const std::string& found);
  void connect();
  void make_request();
  void send();
  void sent(error_code failed);
  void relay_request();
  void receive();
  void received(error_code failed);
  void respond();
  void make_response(bool& whole_body);
  void relay_response();
  void write_response(std::size_t count);
  void wrote(error_code failed, bool last);
  void make_room();
  void finish();
  void upgrade();
  void not_connected(const std::string& words);
  void failed_upstream(const std::string& words);
  void give_up(const refusal& why);
  void cut_off();
  [[nodiscard]] bool is_over() const noexcept { return session_ == nullptr; }
  void count(unsigned status);

  std::shared_ptr<session> session_;  ///< null when it is over
  to_do::send_to what_;
  std::uint64_t wait_ = 0;
  lease lease_;
  std::string found_ = "hot";
  std::uint64_t run_ = 0;
  std::optional<tcp_socket> upstream_;
  bool reused_ = false;     ///< the connection, which the server may just be closing
  bool sent_some_ = false;  ///< to any connection: the server may have begun to work on it
  bool asked_again_ = false;
  bool sent_all_ = false;
  bool responding_ = false;
  bool head_only_ = false;
  bool keep_ = true;
  boost::beast::http::request<buffer_body> request_;
  std::optional<boost::beast::http::request_serializer<buffer_body>> request_writer_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::response_parser<buffer_body>> parser_;
  boost::beast::http::response<buffer_body> response_;
  std::optional<boost::beast::http::response_serializer<buffer_body>> response_writer_;
  std::vector<char> piece_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_EXCHANGE_HPP
