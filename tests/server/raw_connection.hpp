#ifndef TESTS_SERVER_RAW_CONNECTION_HPP
#define TESTS_SERVER_RAW_CONNECTION_HPP

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

/// A connection to a port of this machine, for requests that an HTTP library would not send.
class raw_connection {
 public:
  /// @throws std::system_error
  explicit raw_connection(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      const int code = errno;
      ::close(socket_);
      throw std::system_error(code, std::generic_category(), "connect");
    }
  }
  raw_connection(raw_connection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  raw_connection& operator=(raw_connection&&) = delete;
  ~raw_connection() {
    if (socket_ >= 0) ::close(socket_);
  }

  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) throw std::system_error(errno, std::generic_category(), "send");
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  /// No more will be sent, and what comes is still read.
  void end_sending() const { ::shutdown(socket_, SHUT_WR); }

  /// Its end will be a reset, as that of a program that leaves with something unread.
  void reset_when_closed() const {
    const linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

  /// What comes next.
  [[nodiscard]] std::string receive_some() const {
    std::array<char, 4096> part;
    const ssize_t got = ::recv(socket_, part.data(), part.size(), 0);
    return {part.data(), static_cast<std::size_t>(got < 0 ? 0 : got)};
  }

  /// All that comes until the other side closes.
  [[nodiscard]] std::string receive_all() const {
    std::string all;
    std::array<char, 4096> part;
    while (true) {
      const ssize_t got = ::recv(socket_, part.data(), part.size(), 0);
      if (got <= 0) return all;
      all.append(part.data(), static_cast<std::size_t>(got));
    }
  }

 private:
  int socket_;
};

#endif  // TESTS_SERVER_RAW_CONNECTION_HPP
