// A server that answers as fast as one thread can: what a router in front of it adds is the
// router's.
//
//   serve-bench-upstream PORT
//
// A request whose target has "stream" in it gets one event of a stream that stays open.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

constexpr std::string_view answer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    "{\"content\":\"x\"}";
constexpr std::string_view opening =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    "b\r\ndata: one\n\n\r\n";

/// The size of the first request in `text`; 0: it is not whole yet.
std::size_t request_size(std::string_view text) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  std::size_t body = 0;
  constexpr std::string_view name = "\r\nContent-Length: ";
  const std::size_t at = text.substr(0, end).find(name);
  if (at != std::string_view::npos) {
    std::from_chars(text.data() + at + name.size(), text.data() + end, body);
  }
  const std::size_t whole = end + 4 + body;
  return text.size() >= whole ? whole : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, SOMAXCONN) != 0) {
    std::perror("serve-bench-upstream");
    return 1;
  }
  const int all = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted{.events = EPOLLIN, .data = {.fd = listener}};
  ::epoll_ctl(all, EPOLL_CTL_ADD, listener, &wanted);
  std::unordered_map<int, std::string> heard;
  std::array<epoll_event, 256> events{};
  while (true) {
    const int count = ::epoll_wait(all, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int from = events[static_cast<std::size_t>(i)].data.fd;
      if (from == listener) {
        const int made = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (made < 0) continue;
        ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_event reads{.events = EPOLLIN, .data = {.fd = made}};
        ::epoll_ctl(all, EPOLL_CTL_ADD, made, &reads);
        continue;
      }
      std::array<char, 16384> part{};
      const ssize_t got = ::recv(from, part.data(), part.size(), 0);
      std::string& text = heard[from];
      if (got <= 0) {
        heard.erase(from);
        ::close(from);
        continue;
      }
      text.append(part.data(), static_cast<std::size_t>(got));
      while (const std::size_t size = request_size(text)) {
        const std::string_view line = std::string_view(text).substr(0, text.find("\r\n"));
        const bool streams = line.find("stream") != std::string_view::npos;
        const std::string_view reply = streams ? opening : answer;
        ::send(from, reply.data(), reply.size(), MSG_NOSIGNAL);
        text.erase(0, size);
      }
    }
  }
}
