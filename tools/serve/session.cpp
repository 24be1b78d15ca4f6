#include "session.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "exchange.hpp"
#include "parse_buffered.hpp"
#include "session_stream.hpp"

namespace lull::serve {

namespace http = boost::beast::http;
using std::chrono::seconds;

namespace {

constexpr std::size_t piece_bytes = std::size_t{16} << 10;
constexpr std::size_t relayed_piece_bytes = std::size_t{64} << 10;
/// For a client to send the next piece of a body, or to take what is written to it.
constexpr seconds stall_time{60};
constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";

bool is_no_http(const error_code& failed) {
  return failed.category() == http::make_error_code(http::error::bad_method).category();
}

/// What the parser lets pass, and what might be understood otherwise by those behind it.
std::optional<refusal> ambiguous(const http::request_header<>& head) {
  if (head.count(http::field::host) > 1) return refusal{400, "there is more than one Host", {}};
  const auto coding = head.find(http::field::transfer_encoding);
  if (coding == head.end()) return {};
  if (head.version() < 11) return refusal{400, "HTTP/1.0 has no Transfer-Encoding", {}};
  if (head.count(http::field::transfer_encoding) > 1 ||
      !boost::beast::iequals(coding->value(), "chunked")) {
    return refusal{501, "the only Transfer-Encoding that is understood is 'chunked'", {}};
  }
  return {};
}

}  // namespace

session::session(session_world& world, tcp_socket socket)
    : world_(world), socket_(std::move(socket)) {
  ++world_.counts.connections;
}

session::~session() = default;

void session::start() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  const tcp::endpoint from = socket_.remote_endpoint(ignored);
  if (!ignored) client_address_ = from.address().to_string();
  read_header();
}

void session::close() {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  --world_.counts.connections;
  error_code ignored;
  socket_.close(ignored);
  if (const auto over = std::exchange(exchange_, nullptr)) over->abandon();
  if (const auto over = std::exchange(stream_, nullptr)) over->end();
  world_.ended(*this);
}

bool session::is_at_work() const noexcept {
  return stage_ == stage::body || stage_ == stage::answering || stage_ == stage::exchanging;
}

void session::check_time(time_point now) {
  if (now >= deadline_) close();
}

/// Between requests nothing is read, so that the time for a header begins with its first byte.
void session::wait_for_request() {
  stage_ = stage::idle;
  parser_.reset();
  body_.clear();
  in_json_.reset();
  in_form_.reset();
  searched_ = 0;
  if (buffer_.size() > 0) return read_header();
  if (half_closed_) return close();
  deadline_ = steady_clock().coarse_now() + world_.limits.idle_time;
  watch();
}

void session::watch() {
  if (half_closed_ || std::exchange(watching_, true)) return;
  socket_.async_wait(net::socket_base::wait_read, [self = shared_from_this()](error_code failed) {
    self->watching_ = false;
    if (failed || self->closed_) return;
    if (self->stage_ == stage::idle) return self->read_header();
    if (self->stage_ == stage::header || self->stage_ == stage::body) return;
    // What is there may be the next request already: then it is noticed when something is written.
    const readable there = peek(self->socket_);
    if (there == readable::end) self->client_ended();
    if (there == readable::broken) self->client_gone();
  });
}

/// One that has closed its side may still wait for its answer, or have gone. That shows only when
/// something is sent to it: who has gone resets the connection.
void session::client_ended() {
  half_closed_ = true;
  if (stage_ == stage::streaming) return close();
  socket_.async_wait(net::socket_base::wait_error, [self = shared_from_this()](error_code failed) {
    if (!failed && !self->closed_) self->client_gone();
  });
  // What clients of HTTP/1.1 have to pass over where they do not expect it. Nothing else is being
  // written as long as the answer has not begun.
  if (!exchange_ || exchange_->responding() || parser_->get().version() < 11) return;
  error_code failed;
  socket_.non_blocking(true, failed);
  const std::size_t sent = socket_.write_some(net::buffer(go_on.data(), go_on.size()), failed);
  const bool whole = sent == go_on.size() || failed == net::error::would_block;
  if (!whole) client_gone();
}

void session::client_gone() {
  close();
}

/// What follows in a body that is not as it should be is anybody's guess.
void session::body_broken(const error_code& how) {
  const refusal why{400, "the body of the request is broken: " + how.message(), {}};
  if (exchange_) return exchange_->reject(why);
  refuse(why);
}

void session::expect_write() {
  deadline_ = steady_clock().coarse_now() + stall_time;
}

void session::read_header() {
  stage_ = stage::header;
  deadline_ = steady_clock().coarse_now() + world_.limits.header_time;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(world_.limits.header_bytes));
  parser_->body_limit(std::numeric_limits<std::uint64_t>::max());
  http::async_read_header(
      socket_, buffer_, *parser_, [self = shared_from_this()](error_code failed, std::size_t) {
        if (self->closed_) return;
        if (failed == http::error::header_limit) {
          return self->refuse({431, "the headers are too long", {}});
        }
        if (failed == http::error::end_of_stream || failed == http::error::partial_message) {
          return self->close();
        }
        if (is_no_http(failed)) {
          return self->refuse({400, "this is no HTTP request: " + failed.message(), {}});
        }
        if (failed) return self->close();
        self->asked_at_ = steady_clock().now();
        const auto& head = self->parser_->get();
        if (const auto why = ambiguous(head)) return self->refuse(*why);
        self->keeps_alive_ = head.keep_alive();
        self->head_only_ = head.method() == http::verb::head;
        const auto method = head.method_string();
        const auto target = head.target();
        if (target.empty() || target.front() != '/') {
          return self->refuse({400, "the target of a request begins with '/'", {}});
        }
        self->decided(self->world_.where_to.decide(head, {method.data(), method.size()},
                                                   {target.data(), target.size()},
                                                   self->parser_->upgrade()));
      });
}

std::string_view session::header(std::string_view name) const {
  const auto value = parser_->get()[{name.data(), name.size()}];
  return {value.data(), value.size()};
}

void session::decided(decision what) {
  if (auto* const own = std::get_if<answer>(&what)) {
    return send(std::move(*own), parser_->is_done());
  }
  if (auto* const local = std::get_if<to_do::local>(&what)) return run_local(std::move(*local));
  if (auto* const open = std::get_if<to_do::streaming>(&what)) return open_stream(*open);
  if (auto* const to = std::get_if<to_do::send_to>(&what)) return begin_exchange(std::move(*to));
  if (header("content-type").find("multipart/form-data") != std::string_view::npos) {
    in_form_.emplace(header("content-type"));
  } else {
    in_json_.emplace();
  }
  find_model();
}

/// Reads as much of the body as it takes to know the model.
void session::find_model() {
  bool known = parser_->is_done();
  std::optional<std::string> name;
  if (in_form_) {
    known |= in_form_->look(body_);
    name = in_form_->model();
  } else {
    known |= in_json_->feed(std::string_view(body_).substr(searched_));
    searched_ = body_.size();
    name = in_json_->model();
  }
  if (!known && body_.size() >= world_.limits.body_bytes) {
    return refuse({413,
                   fmt::format("no model is named in the first {} bytes of the body",
                               world_.limits.body_bytes),
                   {}});
  }
  if (!known) return read_body([self = shared_from_this()] { self->find_model(); });
  const auto target = parser_->get().target();
  decided(world_.where_to.for_model(name, {target.data(), target.size()}));
}

void session::read_body(std::function<void()> then) {
  stage_ = stage::body;
  deadline_ = steady_clock().coarse_now() + stall_time;
  if (header("expect").find("100-continue") != std::string_view::npos) {
    parser_->get().erase(http::field::expect);
    net::async_write(socket_, net::buffer(go_on.data(), go_on.size()),
                     [self = shared_from_this(), then = std::move(then)](error_code failed, auto) {
                       if (self->closed_) return;
                       if (failed) return self->client_gone();
                       self->read_body(then);
                     });
    return;
  }
  const auto remaining = parser_->content_length_remaining();
  const std::size_t most = exchange_ ? relayed_piece_bytes : piece_bytes;
  const std::size_t piece =
      remaining ? static_cast<std::size_t>(std::min<std::uint64_t>(*remaining, most)) : most;
  const std::size_t before = body_.size();
  body_.resize(before + piece);
  parser_->get().body().data = body_.data() + before;
  parser_->get().body().size = piece;
  const auto have = [self = shared_from_this(), before, piece, then = std::move(then)](
                        error_code failed, std::size_t) {
    self->reading_body_ = false;
    if (self->closed_) return;
    if (self->stage_ == stage::ending) return self->linger();
    self->body_.resize(before + piece - self->parser_->get().body().size);
    if (failed && failed != http::error::need_buffer) {
      const bool left = failed == http::error::partial_message ||
                        failed == http::error::end_of_stream || !is_no_http(failed);
      return left ? self->client_gone() : self->body_broken(failed);
    }
    self->stage_ = self->exchange_ ? stage::exchanging : stage::answering;
    self->deadline_ = no_deadline;
    then();
  };
  // What has come with the header needs no further read.
  if (buffer_.size() > 0) {
    const error_code failed = parse_buffered(*parser_, buffer_);
    const bool some = parser_->get().body().size < piece || parser_->is_done();
    if (failed || some) return have(failed, 0);
  }
  buffer_.reserve(piece);  // it is read there first
  reading_body_ = true;
  http::async_read_some(socket_, buffer_, *parser_, have);
}

void session::run_local(to_do::local what) {
  constexpr std::size_t most = std::size_t{1} << 20;
  if (!parser_->is_done()) {
    if (body_.size() > most) return refuse({413, "the body is too long", {}});
    return read_body([self = shared_from_this(), what = std::move(what)]() mutable {
      self->run_local(std::move(what));
    });
  }
  const auto method = parser_->get().method_string();
  const auto target = parser_->get().target();
  local_request asked;
  asked.method.assign(method.data(), method.size());
  asked.target.assign(target.data(), target.size());
  asked.path = asked.target.substr(0, asked.target.find('?'));
  asked.body = std::move(body_);
  stage_ = stage::answering;
  deadline_ = no_deadline;
  watch();
  what.handle(std::move(asked), [weak = weak_from_this()](answer made) {
    const auto self = weak.lock();
    if (self && !self->closed_) self->send(std::move(made), true);
  });
}

void session::send(answer what, bool keep) {
  stage_ = stage::answering;
  keep = keep && keeps_alive();
  response_.emplace();
  response_->version(11);
  response_->result(what.status);
  response_->set(http::field::server, "lull");
  if (!what.type.empty()) response_->set(http::field::content_type, what.type);
  for (const auto& [name, value] : what.headers) response_->set(name, value);
  response_->keep_alive(keep);
  response_->body() = std::move(what.body);
  response_->prepare_payload();
  if (head_only_) response_->body().clear();
  expect_write();
  http::async_write(socket_, *response_,
                    [self = shared_from_this(), keep](error_code failed, std::size_t) {
                      if (self->closed_) return;
                      self->response_.reset();
                      if (failed) return self->close();
                      if (keep) return self->wait_for_request();
                      self->linger();
                    });
}

/// A client that still sends would lose the answer, were the connection closed at once.
void session::linger() {
  stage_ = stage::ending;
  error_code failed;
  socket_.shutdown(net::socket_base::shutdown_send, failed);
  if (failed || (parser_ && parser_->is_done() && buffer_.size() == 0)) return close();
  deadline_ = std::min(deadline_, steady_clock().coarse_now() + seconds{2});
  if (reading_body_) return;  // that goes on from there
  body_.resize(piece_bytes);
  socket_.async_read_some(net::buffer(body_),
                          [self = shared_from_this()](error_code ended, std::size_t) {
                            if (self->closed_) return;
                            if (ended) return self->close();
                            self->linger();
                          });
}

void session::begin_exchange(to_do::send_to what) {
  stage_ = stage::exchanging;
  deadline_ = no_deadline;
  exchange_ = std::make_shared<exchange>(*this, std::move(what));
  exchange_->start();
}

void session::exchanged(bool keep) {
  exchange_.reset();
  if (closed_) return;
  if (keep && keeps_alive() && parser_->is_done()) return wait_for_request();
  linger();
}

void session::exchanged(const refusal& why) {
  exchange_.reset();
  if (!closed_) send(answer_of(why), parser_->is_done());
}

void session::open_stream(const to_do::streaming& what) {
  stage_ = stage::streaming;
  deadline_ = no_deadline;
  stream_ = std::make_shared<session_stream>(shared_from_this());
  stream_->begin(what.type);
  watch();
  what.open(stream_);
}

}  // namespace lull::serve
