#include "launcher_door.hpp"

#include <utility>

namespace lull::serve {

struct launcher_door::state : std::enable_shared_from_this<state> {
  state(net::io_context& io, std::function<void(tcp_socket)> who)
      : came(std::move(who)), again(io.get_executor()) {}

  void accept(std::size_t which) {
    acceptors[which].async_accept(
        [self = shared_from_this(), which](error_code failed, tcp_socket socket) {
          if (self->closed) return;
          if (!failed) {
            self->came(std::move(socket));
            return self->accept(which);
          }
          // Out of descriptors, most likely: it is tried again when some may be free.
          self->again.expires_after(std::chrono::milliseconds{100});
          self->again.async_wait([self, which](error_code) {
            if (!self->closed) self->accept(which);
          });
        });
  }

  std::vector<tcp_acceptor> acceptors;
  std::function<void(tcp_socket)> came;
  steady_timer again;
  bool closed = false;
};

launcher_door::launcher_door(net::io_context& io, const std::vector<std::string>& hosts,
                             std::uint16_t port, std::function<void(tcp_socket)> came)
    : state_(std::make_shared<state>(io, std::move(came))) {
  for (const std::string& host : hosts) {
    state_->acceptors.push_back(listen_on(io, {.host = host, .port = port}));
  }
  for (std::size_t which = 0; which < hosts.size(); ++which) state_->accept(which);
}

launcher_door::~launcher_door() {
  state_->closed = true;
  state_->again.cancel();
  for (tcp_acceptor& each : state_->acceptors) {
    error_code ignored;
    each.close(ignored);
  }
}

}  // namespace lull::serve
