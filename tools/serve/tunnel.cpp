#include "tunnel.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace lull::serve {
namespace {

class tunnel : public std::enable_shared_from_this<tunnel> {
 public:
  tunnel(tcp_socket& a, tcp_socket& b, std::function<void()> done)
      : sides_{&a, &b}, done_(std::move(done)) {}

  /// @param from 0 or 1
  void start(int from, boost::beast::flat_buffer& have) {
    const std::size_t count = have.size();
    piece_[from].resize(std::max(piece_bytes, count));
    if (count > 0) std::memcpy(piece_[from].data(), have.data().data(), count);
    have.consume(count);
    if (count > 0) return write(from, count);
    read(from);
  }

 private:
  static constexpr std::size_t piece_bytes = std::size_t{8} << 10;

  void read(int from) {
    sides_[from]->async_read_some(
        net::buffer(piece_[from]),
        [self = shared_from_this(), from](error_code failed, std::size_t count) {
          if (!self->done_) return;
          if (failed == net::error::eof) return self->end_of(from);
          if (failed) return self->finish();
          self->write(from, count);
        });
  }
  void write(int from, std::size_t count) {
    net::async_write(*sides_[1 - from], net::buffer(piece_[from].data(), count),
                     [self = shared_from_this(), from](error_code failed, std::size_t) {
                       if (!self->done_) return;
                       if (failed) return self->finish();
                       self->read(from);
                     });
  }
  void end_of(int from) {
    error_code ignored;
    sides_[1 - from]->shutdown(net::socket_base::shutdown_send, ignored);
    if (++ended_ == 2) finish();
  }
  void finish() {
    if (const auto done = std::exchange(done_, nullptr)) done();
  }

  tcp_socket* sides_[2];
  std::vector<char> piece_[2];
  std::function<void()> done_;
  int ended_ = 0;
};

}  // namespace

void join(tcp_socket& a, tcp_socket& b, boost::beast::flat_buffer& from_a,
          boost::beast::flat_buffer& from_b, std::function<void()> done) {
  const auto made = std::make_shared<tunnel>(a, b, std::move(done));
  made->start(0, from_a);
  made->start(1, from_b);
}

}  // namespace lull::serve
