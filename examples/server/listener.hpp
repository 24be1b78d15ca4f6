#ifndef EXAMPLES_SERVER_LISTENER_HPP
#define EXAMPLES_SERVER_LISTENER_HPP

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace example {

/// A second handle on a listening socket, through which listening can be ended at any moment.
/// cpp-httplib's own stop() does nothing before its loop has begun, so that a signal that comes
/// early would be lost.
class listener {
 public:
  /// @throws std::system_error
  explicit listener(int socket) : descriptor_(::fcntl(socket, F_DUPFD_CLOEXEC, 0)) {
    if (descriptor_ < 0) {
      throw std::system_error(errno, std::generic_category(), "listening socket");
    }
  }
  ~listener() { ::close(descriptor_); }
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  /// cpp-httplib lets five connections wait to be accepted; a burst of clients would be reset.
  void set_backlog(int connections) const noexcept { ::listen(descriptor_, connections); }

  /// Every accept() fails from now on, also one that is waiting.
  void close_for_good() const noexcept { ::shutdown(descriptor_, SHUT_RDWR); }

 private:
  int descriptor_;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_LISTENER_HPP
