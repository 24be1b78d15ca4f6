#include "client.hpp"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <optional>
#include <utility>

namespace lull::serve {
namespace {

namespace http = boost::beast::http;

class asking : public std::enable_shared_from_this<asking> {
 public:
  asking(net::io_context& io, small_request what, std::function<void(small_answer)> done)
      : socket_(io.get_executor()),
        timer_(io.get_executor()),
        what_(std::move(what)),
        done_(std::move(done)) {}

  void start() {
    timer_.expires_after(what_.time_limit);
    timer_.async_wait([self = shared_from_this()](error_code failed) {
      if (!failed) self->finish({0, {}, "no answer in time"});
    });
    socket_.async_connect(what_.where, [self = shared_from_this()](error_code failed) {
      if (failed) return self->finish({0, {}, failed.message()});
      self->write();
    });
  }
  void cancel() {
    done_ = nullptr;
    finish({});
  }

 private:
  void write() {
    request_.method_string(what_.method);
    request_.target(what_.target);
    request_.version(11);
    request_.set(http::field::host, what_.host);
    request_.set(http::field::connection, "close");
    if (!what_.body.empty()) request_.set(http::field::content_type, "application/json");
    request_.body() = what_.body;
    request_.prepare_payload();
    http::async_write(socket_, request_, [self = shared_from_this()](error_code failed, auto) {
      if (failed) return self->finish({0, {}, failed.message()});
      self->read();
    });
  }
  void read() {
    parser_.body_limit(std::size_t{64} << 10);
    http::async_read(
        socket_, buffer_, parser_, [self = shared_from_this()](error_code failed, auto) {
          // One that answers at length has answered.
          if (failed && failed != http::error::body_limit) {
            return self->finish({0, {}, failed.message()});
          }
          self->finish({self->parser_.get().result_int(), self->parser_.get().body(), {}});
        });
  }
  void finish(small_answer answer) {
    error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(answer));
  }

  tcp_socket socket_;
  steady_timer timer_;
  small_request what_;
  std::function<void(small_answer)> done_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  boost::beast::flat_buffer buffer_;
};

}  // namespace

std::string query_of(const std::vector<std::string>& tags) {
  std::string query;
  for (const std::string& each : tags) query += (query.empty() ? "?tags=" : "&tags=") + each;
  return query;
}

cancel_function ask(net::io_context& io, small_request what,
                    std::function<void(small_answer)> done) {
  const auto made = std::make_shared<asking>(io, std::move(what), std::move(done));
  made->start();
  return [weak = std::weak_ptr(made)] {
    if (const auto still = weak.lock()) still->cancel();
  };
}

}  // namespace lull::serve
