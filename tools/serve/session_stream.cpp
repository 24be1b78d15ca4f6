#include "session_stream.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include <fmt/format.h>

namespace lull::serve {

void session_stream::begin(const std::string& type) {
  waiting_ = fmt::format(
      "HTTP/1.1 200 OK\r\nServer: lull\r\nContent-Type: {}\r\nCache-Control: no-cache\r\n"
      "Transfer-Encoding: chunked\r\n\r\n",
      type);
  write();
}

bool session_stream::send(std::string_view text) {
  constexpr std::size_t most = std::size_t{1} << 20;
  if (ended_) return false;
  if (text.empty()) return true;
  if (waiting_.size() > most) {
    if (const auto open = session_.lock()) open->close();
    return false;
  }
  waiting_ += fmt::format("{:x}\r\n", text.size());
  waiting_ += text;
  waiting_ += "\r\n";
  write();
  return true;
}

void session_stream::on_end(std::function<void()> told) {
  if (ended_) return told();
  told_ = std::move(told);
}

void session_stream::end() {
  if (std::exchange(ended_, true)) return;
  if (const auto tell = std::exchange(told_, nullptr)) tell();
}

void session_stream::write() {
  const auto open = session_.lock();
  if (!open || !writing_.empty() || waiting_.empty()) return;
  writing_.swap(waiting_);
  net::async_write(open->socket(), net::buffer(writing_),
                   [self = shared_from_this(), open](error_code failed, std::size_t) {
                     if (failed) return open->close();
                     self->writing_.clear();
                     if (!self->ended_) self->write();
                   });
}

}  // namespace lull::serve
