#ifndef TOOLS_SERVE_LAUNCHER_DOOR_HPP
#define TOOLS_SERVE_LAUNCHER_DOOR_HPP

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net.hpp"

namespace lull::serve {

/// The port of one instance, at which the router listens in its place: so that it can be woken by
/// whoever comes, and nobody wakes it past the budget.
class launcher_door {
 public:
  /// @throws error (io): cannot listen
  launcher_door(net::io_context& io, const std::vector<std::string>& hosts, std::uint16_t port,
                std::function<void(tcp_socket)> came);
  ~launcher_door();
  launcher_door(const launcher_door&) = delete;
  launcher_door& operator=(const launcher_door&) = delete;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LAUNCHER_DOOR_HPP
