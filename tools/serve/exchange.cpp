#include "exchange.hpp"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/write.hpp>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "parse_buffered.hpp"
#include "session.hpp"
#include "tunnel.hpp"

namespace lull::serve {

namespace http = boost::beast::http;
using std::chrono::seconds;

namespace {

constexpr std::size_t first_piece_bytes = std::size_t{4} << 10;
constexpr std::size_t largest_piece_bytes = std::size_t{64} << 10;

/// Takes out what is between two neighbours only (RFC 9110, 7.6.1). The transfer coding is put
/// right by whoever knows what is sent.
void strip_hop_by_hop(http::fields& of, bool keep_upgrade) {
  std::vector<std::string> named;
  for (const auto& token : http::token_list{of[http::field::connection]}) {
    named.emplace_back(token.data(), token.size());
  }
  for (const std::string& each : named) {
    const bool stays = boost::beast::iequals(each, "transfer-encoding") ||
                       boost::beast::iequals(each, "content-length") ||
                       boost::beast::iequals(each, "host") ||
                       (keep_upgrade && boost::beast::iequals(each, "upgrade"));
    if (!stays) of.erase(each);
  }
  for (const http::field each :
       {http::field::connection, http::field::keep_alive, http::field::proxy_connection,
        http::field::te, http::field::trailer, http::field::proxy_authorization}) {
    of.erase(each);
  }
  if (!keep_upgrade) of.erase(http::field::upgrade);
}

bool is_error_of_reader(error_code failed) {
  return failed && failed != http::error::need_buffer;
}

}  // namespace

exchange::exchange(session& of, to_do::send_to what)
    : session_(of.shared_from_this()), what_(std::move(what)) {
  const auto& head = session_->parser().get();
  head_only_ = head.method() == http::verb::head;
}

void exchange::start() {
  if (what_.observes) {
    if (!what_.to->answers()) {
      const model::view seen = what_.to->look();
      return give_up({503,
                      fmt::format("'{}' is {}, and is not woken for this", what_.to->name(),
                                  to_string(seen.is)),
                      {}});
    }
    return connect();
  }
  ask_for_lease();
}

void exchange::ask_for_lease() {
  const std::uint64_t wait = what_.to->acquire(
      [self = shared_from_this()](lease given, const refusal& why, const std::string& found) {
        self->admitted(std::move(given), why, found);
      });
  if (wait == 0 || is_over()) return;
  wait_ = wait;
  if (session_->request_complete()) session_->watch();
}

void exchange::abandon() {
  if (is_over()) return;
  if (wait_ != 0) what_.to->cancel(std::exchange(wait_, 0));
  if (!responding_) session_->world().counts.client_left(what_.to->name());
  session_ = nullptr;
  error_code ignored;
  if (upstream_) upstream_->close(ignored);
  lease_.release();
}

void exchange::count(unsigned status) {
  session_->world().counts.answered(what_.to->name(), status);
}

void exchange::admitted(lease given, const refusal& why, const std::string& found) {
  wait_ = 0;
  if (is_over()) return;  // the lease goes back
  if (!given) return give_up(why);
  lease_ = std::move(given);
  found_ = found;
  connect();
}

void exchange::connect() {
  run_ = what_.to->run();
  if (session_->request_complete()) {
    if (auto kept = what_.to->take_connection()) {
      upstream_.emplace(std::move(*kept));
      reused_ = true;
      return send();
    }
  }
  reused_ = false;
  upstream_.emplace(session_->world().io.get_executor());
  upstream_->async_connect(what_.to->address(), [self = shared_from_this()](error_code failed) {
    if (self->is_over()) return;
    if (failed) return self->not_connected("cannot be connected to: " + failed.message());
    error_code ignored;
    self->upstream_->set_option(tcp::no_delay(true), ignored);
    self->send();
  });
}

void exchange::make_request() {
  const auto& asked = session_->parser().get();
  const bool upgrades = session_->parser().upgrade();
  request_.base() = asked.base();
  const std::string upgrade(asked[http::field::upgrade]);
  strip_hop_by_hop(request_, upgrades);
  request_.version(11);
  request_.target(what_.to->config().upstream_path + what_.target);
  request_.set(http::field::host, what_.to->host_header());
  request_.erase(http::field::expect);
  // The router has judged it by its own name, which the server does not know.
  request_.erase(http::field::origin);
  if (upgrades) {
    request_.set(http::field::connection, "upgrade");
    request_.set(http::field::upgrade, upgrade);
  }
  const std::string& client = session_->client_address();
  if (!client.empty()) request_.insert("X-Forwarded-For", client);
  request_.insert("X-Forwarded-Host", std::string(asked[http::field::host]));
}

void exchange::send() {
  sent_some_ = true;
  make_request();
  const std::string& body = session_->body();
  const bool complete = session_->request_complete();
  request_.body().data = body.empty() ? nullptr : session_->body().data();
  request_.body().size = body.size();
  request_.body().more = !complete;
  request_writer_.emplace(request_);
  http::async_write(
      *upstream_, *request_writer_,
      [self = shared_from_this()](error_code failed, std::size_t) { self->sent(failed); });
  receive();
}

void exchange::sent(error_code failed) {
  if (is_over()) return;
  // A server may answer before it has read it all, and close: what it says counts.
  if (is_error_of_reader(failed)) return;
  if (!session_->request_complete()) return relay_request();
  sent_all_ = true;
  session_->watch();
}

void exchange::relay_request() {
  session_->body().clear();
  session_->read_body([self = shared_from_this()] {
    if (self->is_over()) return;
    std::string& body = self->session_->body();
    const bool complete = self->session_->request_complete();
    if (body.empty() && !complete) return self->relay_request();
    self->request_.body().data = body.empty() ? nullptr : body.data();
    self->request_.body().size = body.size();
    self->request_.body().more = !complete;
    http::async_write(
        *self->upstream_, *self->request_writer_,
        [self, keep = self->session_](error_code failed, std::size_t) { self->sent(failed); });
  });
}

void exchange::receive() {
  parser_.emplace();
  parser_->header_limit(std::uint32_t{64} << 10);
  parser_->body_limit(std::numeric_limits<std::uint64_t>::max());
  parser_->skip(head_only_);
  http::async_read_header(
      *upstream_, buffer_, *parser_,
      [self = shared_from_this()](error_code failed, std::size_t) { self->received(failed); });
}

void exchange::received(error_code failed) {
  if (is_over()) return;
  if (failed) {
    // The server had closed a connection that was kept: on a new one it can be tried again.
    if (std::exchange(reused_, false) && session_->request_complete()) {
      error_code ignored;
      upstream_->close(ignored);
      buffer_.clear();
      upstream_.reset();
      return connect();
    }
    return failed_upstream("does not answer: " + failed.message());
  }
  const unsigned status = parser_->get().result_int();
  constexpr unsigned switching = 101;
  constexpr unsigned final = 200;
  if (status != switching && status < final) return receive();
  if (!what_.observes) {
    session_->world().counts.first_byte(what_.to->name(), found_,
                                        steady_clock().now() - session_->asked_at());
  }
  count(status);
  responding_ = true;
  if (status == switching) return upgrade();
  respond();
}

/// @param whole_body set to whether the response has its end where its framing says
void exchange::make_response(bool& whole_body) {
  response_.base() = std::move(parser_->get().base());
  const bool chunked = parser_->chunked();
  const bool to_end = parser_->need_eof() && !parser_->is_done();
  strip_hop_by_hop(response_, false);
  const bool old_client = session_->parser().get().version() < 11;
  response_.version(11);
  whole_body = true;
  if (old_client && (chunked || to_end)) {
    response_.chunked(false);
    whole_body = false;
  } else if (to_end) {
    response_.chunked(true);
  }
  keep_ = session_->keeps_alive() && session_->request_complete() && whole_body;
  response_.keep_alive(keep_);
  if (old_client && keep_) response_.set(http::field::connection, "keep-alive");
}

void exchange::respond() {
  bool whole_body = true;
  make_response(whole_body);
  response_writer_.emplace(response_);
  constexpr unsigned no_content = 204;
  constexpr unsigned not_modified = 304;
  const unsigned status = response_.result_int();
  session_->expect_write();
  if (head_only_ || status == no_content || status == not_modified) {
    response_writer_->split(true);
    http::async_write_header(session_->socket(), *response_writer_,
                             [self = shared_from_this(), keep = session_](
                                 error_code failed, std::size_t) { self->wrote(failed, true); });
    return;
  }
  piece_.resize(first_piece_bytes);
  parser_->get().body().data = piece_.data();
  parser_->get().body().size = piece_.size();
  if (is_error_of_reader(parse_buffered(*parser_, buffer_))) return cut_off();
  write_response(piece_.size() - parser_->get().body().size);
}

void exchange::relay_response() {
  parser_->get().body().data = piece_.data();
  parser_->get().body().size = piece_.size();
  http::async_read_some(
      *upstream_, buffer_, *parser_, [self = shared_from_this()](error_code failed, std::size_t) {
        if (self->is_over()) return;
        if (is_error_of_reader(failed)) return self->cut_off();
        self->write_response(self->piece_.size() - self->parser_->get().body().size);
      });
}

void exchange::write_response(std::size_t count) {
  const bool last = parser_->is_done();
  if (count == 0 && !last) {
    if (response_writer_->is_header_done()) return relay_response();
    // It does not wait for a body that may be long in coming, or never come.
    response_writer_->split(true);
    session_->expect_write();
    http::async_write_header(session_->socket(), *response_writer_,
                             [self = shared_from_this(), keep = session_](
                                 error_code failed, std::size_t) { self->wrote(failed, false); });
    return;
  }
  response_.body().data = count > 0 ? piece_.data() : nullptr;
  response_.body().size = count;
  response_.body().more = !last;
  session_->expect_write();
  http::async_write(session_->socket(), *response_writer_,
                    [self = shared_from_this(), keep = session_, last](
                        error_code failed, std::size_t) { self->wrote(failed, last); });
}

void exchange::wrote(error_code failed, bool last) {
  if (is_over()) return;
  if (is_error_of_reader(failed) && failed != http::error::end_of_stream) {
    return session_->close();  // the client has gone; that abandons this
  }
  session_->expect_nothing();
  if (last) return finish();
  make_room();
  relay_response();
}

/// Streams of small events keep small buffers; they grow while reads fill them.
void exchange::make_room() {
  const std::size_t room = std::min(piece_.size(), buffer_.capacity());  // it is read there first
  if (room >= largest_piece_bytes || response_.body().size * 2 < room) return;
  piece_.resize(std::max(piece_.size(), room * 2));
  buffer_.reserve(room * 2);
}

void exchange::finish() {
  const auto self = shared_from_this();
  const auto of = std::exchange(session_, nullptr);
  lease_.release();
  if (sent_all_ && parser_->keep_alive() && parser_->is_done() && buffer_.size() == 0) {
    what_.to->keep_connection(std::move(*upstream_), run_);
  }
  upstream_.reset();
  of->exchanged(keep_ && sent_all_);
}

/// Both sides speak something else from now on.
void exchange::upgrade() {
  response_.base() = std::move(parser_->get().base());
  response_.body().more = false;
  response_writer_.emplace(response_);
  http::async_write_header(
      session_->socket(), *response_writer_,
      [self = shared_from_this(), keep = session_](error_code failed, std::size_t) {
        if (self->is_over()) return;
        if (failed) return self->session_->close();
        join(self->session_->socket(), *self->upstream_, self->session_->buffer(), self->buffer_,
             [self, keep] {
               if (!self->is_over()) keep->close();
             });
      });
}

/// A server that has just ended, which was not known yet, has seen nothing of this request: it is
/// for the next one.
void exchange::not_connected(const std::string& words) {
  if (what_.observes || sent_some_ || std::exchange(asked_again_, true)) {
    return failed_upstream(words);
  }
  what_.to->explain(run_, [self = shared_from_this(), words](const std::string& reason) {
    if (self->is_over()) return;
    if (reason.empty()) return self->failed_upstream(words);  // it lives, and does not listen
    self->lease_.release();
    self->ask_for_lease();
  });
}

void exchange::failed_upstream(const std::string& words) {
  error_code ignored;
  upstream_->close(ignored);
  what_.to->explain(run_, [self = shared_from_this(), words](const std::string& reason) {
    if (self->is_over()) return;
    std::string all = fmt::format("the server of '{}' {}", self->what_.to->name(), words);
    if (!reason.empty()) all += (reason.starts_with("killed") ? "; it was " : "; it ") + reason;
    self->give_up({502, std::move(all), {}});
  });
}

void exchange::give_up(const refusal& why) {
  if (is_over()) return;
  count(why.status);
  lease_.release();
  const auto self = shared_from_this();
  const auto of = std::exchange(session_, nullptr);
  of->exchanged(why);
}

void exchange::reject(const refusal& why) {
  if (responding_) return cut_off();
  error_code ignored;
  if (upstream_) upstream_->close(ignored);
  give_up(why);
}

/// The response ends in the middle, which the client sees by its connection.
void exchange::cut_off() {
  session_->close();
}

}  // namespace lull::serve
