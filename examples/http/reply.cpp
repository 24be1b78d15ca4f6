#include "http/reply.hpp"

#include <sys/eventfd.h>

#include <cstdint>

#include <fmt/format.h>

namespace http {
namespace {

std::string_view words_for(int status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return status < 500 ? "Refused" : "Server Error";
  }
}

std::string head_of(int status, std::string_view type, const fields& headers) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nConnection: close\r\n",
                                 status, words_for(status), type);
  for (const auto& [name, value] : headers) text += fmt::format("{}: {}\r\n", name, value);
  return text;
}

}  // namespace

outbox::outbox() : bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd") {}

void outbox::put(const std::shared_ptr<exchange>& changed) {
  {
    const std::lock_guard lock(mutex_);
    changed_.push_back(changed);
  }
  ring();
}

std::vector<std::shared_ptr<exchange>> outbox::take() {
  std::uint64_t rings = 0;
  // Nothing to read: nobody rang.
  static_cast<void>(::read(bell(), &rings, sizeof rings) < 0);
  std::vector<std::weak_ptr<exchange>> changed;
  {
    const std::lock_guard lock(mutex_);
    changed.swap(changed_);
  }
  std::vector<std::shared_ptr<exchange>> alive;
  for (const auto& each : changed) {
    if (auto one = each.lock()) alive.push_back(std::move(one));
  }
  return alive;
}

void outbox::ring() const noexcept {
  constexpr std::uint64_t once = 1;
  // It can only be full of rings.
  static_cast<void>(::write(bell(), &once, sizeof once) < 0);
}

reply::~reply() {
  if (with_ != nullptr) add({}, true);
}

void reply::send(const answer& what) {
  if (with_ == nullptr) return;  // moved away: another answers
  std::string text = head_of(what.status, what.type, what.headers);
  text += fmt::format("Content-Length: {}\r\n\r\n", what.body.size());
  if (!with_->head_only) text += what.body;
  add(text, true);
}

void reply::begin(std::string_view type) {
  in_pieces_ = true;
  const std::string coding = with_->chunks ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
  add(head_of(200, type, {}) + coding, with_->head_only);
}

void reply::write(std::string_view piece) {
  // A chunk of no bytes would be the end.
  if (piece.empty()) return;
  add(with_->chunks ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : std::string(piece),
      false);
}

void reply::end() {
  add(with_->chunks && in_pieces_ ? "0\r\n\r\n" : "", true);
}

void reply::add(std::string_view text, bool ends) {
  {
    const std::lock_guard lock(with_->mutex);
    if (with_->ended) return;
    with_->output += text;
    with_->ended = ends;
  }
  with_->door->put(with_);
}

}  // namespace http
